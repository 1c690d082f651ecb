"""What is written to standard error, and what never is."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from model.errors import ArtifactError
from service.logs import Lines, bind, configure, exception_lines, get_logger, tell, unbind, warn
from service.settings import Settings

SECRET = "the text of a request"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every test finds and leaves the loggers of the process as they were."""
    root, service = logging.getLogger(), logging.getLogger("charwgan")
    levels = root.level, service.level
    yield
    for handler in [handler for handler in root.handlers if isinstance(handler, Lines)]:
        root.removeHandler(handler)
    root.setLevel(levels[0])
    service.setLevel(levels[1])


def stream_of(**settings: str) -> io.StringIO:
    stream = io.StringIO()
    configure(Settings.model_validate({"model": "m", **settings}), stream)
    return stream


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def failure(error: Exception) -> Exception:
    """The error with a traceback, as if it had been met."""
    try:
        raise error
    except Exception as met:
        return met


def test_a_json_event_is_one_object_with_time_level_event_and_fields() -> None:
    stream = stream_of(log_format="json")
    get_logger(model="names").info("model loaded", strings=3, seconds=0.5, folder=Path("m"), done=True, nothing=None)
    (event,) = events(stream)
    assert re.fullmatch(MOMENT, event.pop("timestamp"))
    assert event == {
        "level": "info",
        "event": "model loaded",
        "logger": "charwgan.service",
        "model": "names",
        "strings": 3,
        "seconds": 0.5,
        "folder": "m",
        "done": True,
        "nothing": None,
    }


def test_a_console_event_is_one_line_whatever_its_fields_hold() -> None:
    stream = stream_of()
    get_logger().warning("two\nlines", name="a\nb", digest="abc…", n=3, share=0.5)
    line = stream.getvalue()
    assert re.fullmatch(rf'{MOMENT} warning two\\x0alines name="a\\nb" digest=abc… n=3 share=0\.5\n', line)


@pytest.mark.parametrize("name", ["charwgan.service", "uvicorn.error", "asyncio", "somebody.else"])
def test_loggers_of_the_standard_library_end_in_the_same_lines(name: str) -> None:
    stream = stream_of(log_format="json")
    logging.getLogger(name).error("%d requests\n", 3)
    (event,) = events(stream)
    assert (event["level"], event["event"], event["logger"]) == ("error", "3 requests", name)


def test_other_packages_are_heard_from_warning_on_and_the_service_from_its_level() -> None:
    stream = stream_of(log_format="json", log_level="debug")
    logging.getLogger("urllib3").info("chatter")
    logging.getLogger("charwgan.service").debug("from the standard library")
    get_logger().debug("from structlog")
    assert [event["event"] for event in events(stream)] == ["from the standard library", "from structlog"]


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_below_the_level_is_not_written_nor_even_looked_at(level: str, heard: int) -> None:
    stream, logger = stream_of(log_level=level), get_logger()
    for method in (logger.debug, logger.info, logger.warning, logger.error):
        method("event")
    assert len(stream.getvalue().splitlines()) == heard

    class Untouchable:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    if level != "debug":
        logger.debug("event", field=Untouchable())


def test_a_logger_made_before_configuring_follows_what_is_configured_later() -> None:
    logger = get_logger()
    first, second = stream_of(log_level="error"), stream_of(log_level="info", log_format="json")
    logger.info("event")
    assert (first.getvalue(), len(events(second))) == ("", 1)


def test_the_request_s_identity_is_in_every_event_of_its_task_alone() -> None:
    stream = stream_of(log_format="json")

    async def request(number: int) -> None:
        bind(f"request-{number}", "ab" * 16 if number else None)
        await asyncio.sleep(0)
        get_logger().info("structlog")
        logging.getLogger("charwgan.service").info("standard library")

    async def main() -> None:
        await asyncio.gather(request(0), request(1))
        get_logger().info("outside")

    asyncio.run(main())
    said = [(event["event"], event.get("request_id"), event.get("trace_id")) for event in events(stream)]
    assert said == [
        ("structlog", "request-0", None),
        ("standard library", "request-0", None),
        ("structlog", "request-1", "ab" * 16),
        ("standard library", "request-1", "ab" * 16),
        ("outside", None, None),
    ]


def test_what_was_bound_can_be_unbound() -> None:
    stream = stream_of(log_format="json")
    unbind(bind("request-1"))
    get_logger().info("event")
    assert "request_id" not in events(stream)[0]


def test_an_exception_is_a_field_with_its_frames() -> None:
    stream = stream_of(log_format="json")
    try:
        raise OSError("the disk is full")
    except OSError:
        get_logger().exception("structlog")
        get_logger().error("structlog", exc_info=True)
        logging.getLogger("uvicorn.error").exception("standard library")
    assert len(events(stream)) == 3
    for event in events(stream):
        lines = event["exception"].splitlines()
        assert lines[-1] == "OSError: the disk is full"
        assert 'raise OSError("the disk is full")' in lines[-2]
        assert "test_logs.py" in lines[0]


def test_on_a_console_an_exception_stands_indented_below_its_event() -> None:
    stream = stream_of()
    get_logger().error("failed", exc_info=failure(OSError("a\nb")))
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("error   failed")
    assert rest[-1] == "    OSError: a\\x0ab"
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_text_of_a_request_and_no_key_is_written(log_format: str) -> None:
    stream = stream_of(log_format=log_format, log_level="debug")
    logger = get_logger()

    class Request:
        def __repr__(self) -> str:
            return SECRET

    for name in ("texts", "body", "authorization", "keys", "prefix", "pattern", "latents"):
        logger.info("event", **{name: SECRET}, nested={name: [SECRET]})
        tell("line", event="event", **{name: [SECRET]})
    logger.info("event", request=Request(), key=SecretStr(SECRET), secret=SecretStr(SECRET), several=[Request()])
    for error in (KeyError(SECRET), ValueError(SECRET), TypeError(SECRET), Exception(SECRET)):
        logger.error("failed", exc_info=failure(error))
        logging.getLogger("uvicorn.error").error("failed", exc_info=failure(error))
    assert SECRET not in stream.getvalue()
    assert "ValueError: (withheld)" in stream.getvalue()


def test_numbers_under_a_withheld_name_are_written() -> None:
    stream = stream_of(log_format="json")
    get_logger().info("event", texts=64, keys=2, path=Path("models"))
    (event,) = events(stream)
    assert (event["texts"], event["keys"], event["path"]) == (64, 2, "models")


def test_a_cause_and_a_group_are_told_with_the_same_care() -> None:
    try:
        try:
            {}[SECRET]  # type: ignore[index]
        except KeyError as cause:
            raise ArtifactError("the model is damaged") from cause
    except ArtifactError as error:
        lines = exception_lines(error)
    assert [line for line in lines if not line.startswith(" ")] == [
        "KeyError: (withheld)",
        "and then:",
        "ArtifactError: the model is damaged",
    ]
    group = exception_lines(failure(ExceptionGroup(SECRET, [ValueError(SECRET), OSError("disk")])))
    assert [line for line in group if not line.startswith(" ")] == [
        "ValueError: (withheld)",
        "in a group:",
        "OSError: disk",
        "in a group:",
        "ExceptionGroup: (withheld)",
    ]


def test_a_chain_of_causes_without_end_is_cut() -> None:
    first, second = OSError("1"), OSError("2")
    first.__context__, second.__context__ = second, first
    assert len(exception_lines(first)) < 100


def test_numbers_that_json_lacks_are_written_as_words() -> None:
    stream = stream_of(log_format="json")
    get_logger().info("event", score=float("nan"), rates=[float("inf"), 1.0])
    (event,) = events(stream)
    assert (event["score"], event["rates"]) == ("nan", ["inf", 1.0])


def test_a_field_cannot_pose_as_the_time_or_the_level() -> None:
    stream = stream_of(log_format="json")
    get_logger().info("event", level="error", timestamp="never", logger="nobody")
    (event,) = events(stream)
    assert (event["level"], event["logger"]) == ("info", "charwgan.service")
    assert event["timestamp"] != "never"


def test_a_line_to_whoever_started_the_service_is_plain_on_a_console(capsys: pytest.CaptureFixture[str]) -> None:
    lines = "serving names (0123…) on http://127.0.0.1:1\nwarning: anyone is answered\n"
    tell("serving names (0123…) on http://127.0.0.1:1", event="serving", model="names")
    warn("anyone is answered", host="0.0.0.0")
    assert capsys.readouterr().err == lines
    configure(Settings(model=Path("m"), log_level="error"))
    tell("serving names (0123…) on http://127.0.0.1:1", event="serving", model="names")
    warn("anyone is answered")
    assert capsys.readouterr().err == lines


def test_a_line_to_whoever_started_the_service_is_an_event_in_json() -> None:
    stream = stream_of(log_format="json", log_level="error")
    tell("serving names (0123…) on URL", event="serving", model="names", digest="0123", url="URL")
    warn("anyone is answered", host="0.0.0.0")
    serving, warning = events(stream)
    assert serving.items() >= {"level": "info", "event": "serving", "model": "names", "url": "URL"}.items()
    assert warning.items() >= {"level": "warning", "event": "anyone is answered", "host": "0.0.0.0"}.items()


def test_without_configuring_an_event_reads_as_words(caplog: pytest.LogCaptureFixture) -> None:
    get_logger().warning("slow", seconds=2.5, texts=[SECRET])
    assert caplog.messages == ['slow seconds=2.5 texts="(withheld)"']


def test_a_stream_that_is_closed_stops_nothing() -> None:
    stream = stream_of()
    stream.close()
    get_logger().error("event")
    assert stream.closed
