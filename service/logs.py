"""What the service says on standard error: one event a line, for people (console) or for programs (JSON).

    logger = get_logger()                              once, at the top of a module; configure() may come later
    logger.info("model loaded", model="names")         fields by name
    with_request = bind(request_id, trace_id)          every event of this task carries them from here on

Loggers of the standard library, uvicorn's among them, end in the same lines.  No text of a request and no key is ever
logged: a field with a name such as ``texts`` is withheld, and so is the message of an exception that may quote one.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import MutableMapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import structlog

from model.errors import ArtifactError, MissingDependencyError
from service.settings import Settings

SERVICE = "charwgan"  # the logger above all of the service's own

# What a request, its answer or its head holds; a number or the path of a file is written all the same.
REQUEST_FIELDS = {"text", "texts", "body", "query", "path", "prefix", "pattern", "charset", "label", "latents"}
WITHHELD = REQUEST_FIELDS | {"headers", "key", "keys", "admin_key", "authorization", "token", "password"}
HIDDEN = "(withheld)"
# Their messages are of files, memory and engines.  Others, KeyError and ValueError above all, quote what was given.
TELLING = (OSError, MemoryError, RuntimeError, ImportError, ArtifactError, MissingDependencyError)
LONGEST_CHAIN = 8

Event = MutableMapping[str, Any]

_request: ContextVar[tuple[str | None, str | None]] = ContextVar("request", default=(None, None))


class Logger(structlog.BoundLoggerBase):
    """A structlog logger on one of the standard library's, which alone says what level is on.

    What is off costs one look at that, and no processor runs.
    """

    _logger: logging.Logger

    def debug(self, event: str, **fields: Any) -> None:
        """Tell who looks for a fault."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._proxy_to_logger("debug", event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        """Tell what happened."""
        if self._logger.isEnabledFor(logging.INFO):
            self._proxy_to_logger("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Tell what somebody should look at."""
        if self._logger.isEnabledFor(logging.WARNING):
            self._proxy_to_logger("warning", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """Tell what failed."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._proxy_to_logger("error", event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Tell what failed, with the exception that is being handled."""
        self.error(event, exc_info=sys.exc_info(), **fields)


def get_logger(name: str = "charwgan.service", **fields: Any) -> Logger:
    """The logger of that name; its events all carry the fields."""
    return Logger(logging.getLogger(name), [_say, _as_message], dict(fields))


def bind(request_id: str | None, trace_id: str | None = None) -> Token[tuple[str | None, str | None]]:
    """Let every event of the current task, and of those it starts, carry these."""
    return _request.set((request_id, trace_id))


def unbind(token: Token[tuple[str | None, str | None]]) -> None:
    """Undo what ``bind`` returned the token for."""
    _request.reset(token)


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Send all events to a stream, by default to standard error, in the format and from the level of the settings.

    Packages other than the service are heard from ``warning`` on.  A second call replaces the first.
    """
    root, level = logging.getLogger(), logging.getLevelName(settings.log_level.upper())
    for handler in _lines():
        root.removeHandler(handler)
    root.addHandler(Lines(settings.log_format, stream))
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger(SERVICE).setLevel(level)


def tell(line: str, *, event: str | None = None, level: str = "info", **fields: Any) -> None:
    """Say one line to whoever started the service, whatever the level.

    console: the line as it is.  json: an event with the fields, named by ``event`` or else by the line.
    """
    for handler in _lines():
        if handler.form == "json":
            handler.handle(_record(event or line, level, fields))
            return
    stream = next((handler.output for handler in _lines()), sys.stderr)
    stream.write(line + "\n")
    stream.flush()


def warn(sentence: str, **fields: Any) -> None:
    """Tell a warning: ``warning: SENTENCE`` on a console, an event of that level in JSON."""
    tell(f"warning: {sentence}", event=sentence, level="warning", **fields)


class Lines(logging.Handler):
    """Writes each record as a line of a form, console or json, to a stream; None: what sys.stderr is by then."""

    def __init__(self, form: str, stream: TextIO | None) -> None:
        super().__init__()
        self.form, self.stream = form, stream

    @property
    def output(self) -> TextIO:
        """Where lines go now."""
        return self.stream or sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, ours or of another package."""
        said = record.msg
        if not isinstance(said, Said):
            said = _say(None, "", {"event": record.getMessage().strip(), "exc_info": record.exc_info})
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        level = record.levelname.lower()
        if self.form == "console":
            return f"{moment} {level:7} {said}"
        first = {"timestamp": moment, "level": level, "event": said["event"], "logger": record.name}
        return json.dumps(first | {name: value for name, value in said.items() if name not in first})

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, at once and in one piece."""
        try:
            self.output.write(self.format(record) + "\n")
            self.output.flush()
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is the standard library's)
        """Nothing: the standard library's would print the record's arguments, and a log is no reason to stop."""


def _lines() -> list[Lines]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, Lines)]


def _record(event: str, level: str, fields: Event) -> logging.LogRecord:
    names = {"name": SERVICE, "levelno": logging.getLevelName(level.upper()), "levelname": level.upper()}
    return logging.makeLogRecord(names | {"msg": _say(None, level, {"event": event, **fields})})


class Said(dict[str, Any]):
    """An event of which everything may be written.

    Its text, which another handler than ours writes as well: the event, name=value, and then an exception on lines of
    its own, indented.
    """

    def __str__(self) -> str:
        rest = {name: value for name, value in self.items() if name not in ("event", "exception")}
        words = [_escaped(str(self["event"])), *(f"{name}={_word(value)}" for name, value in rest.items())]
        return "\n    ".join([" ".join(words), *str(self.get("exception", "")).splitlines()])


def _say(logger: Any, method: str, event: Event) -> Said:
    """An event without what must not be written, and with the request's identity."""
    error = event.pop("exc_info", None)
    error = sys.exc_info() if error is True else error
    error = error[1] if isinstance(error, tuple) else error
    said = Said({name: _speakable(name, value) for name, value in event.items()})
    request_id, trace_id = _request.get()
    if request_id:
        said["request_id"] = request_id
    if trace_id:
        said["trace_id"] = trace_id
    if isinstance(error, BaseException):
        said["exception"] = "\n".join(exception_lines(error))
    return said


def _as_message(logger: Any, method: str, event: Event) -> tuple[tuple[Event], dict[str, Any]]:
    """What structlog calls the method of the standard library's logger with."""
    return (event,), {}


def _speakable(name: str, value: Any) -> Any:
    """A value that JSON has; of an object only the name of its class, since its repr may hold anything."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Path():
            return str(value)
        case _ if name in WITHHELD:
            return HIDDEN
        case str():
            return str(value)
        case list() | tuple():
            return [_speakable("", item) for item in value]
        case dict():
            return {str(inner): _speakable(str(inner), item) for inner, item in value.items()}
    return f"<{type(value).__name__}>"


def _word(value: Any) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[\w.:/@+,#…-]+", value) else json.dumps(value)


def _escaped(text: str) -> str:
    """A text that cannot begin a line of its own, nor move the cursor."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)


def exception_lines(error: BaseException, depth: int = 0) -> list[str]:
    """An exception and what caused it as Python prints them, but for messages that may quote a request."""
    lines = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < LONGEST_CHAIN:
        lines += [*exception_lines(cause, depth + 1), "and then:"]
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) and depth < LONGEST_CHAIN else ()
    for part in inner:
        lines += [*exception_lines(part, depth + 1), "in a group:"]
    frames = "".join(traceback.format_tb(error.__traceback__)).rstrip("\n").split("\n")
    telling = isinstance(error, TELLING) or type(error).__module__.startswith("onnxruntime")
    message = _escaped(str(error)) if telling else HIDDEN
    return [*lines, *filter(None, frames), f"{type(error).__qualname__}: {message}"]
