"""The settings of a service, each with its bound; ``settings_sources`` says where their values come from.

A secret, here ``keys``, may stand in a file of its own that ``keys_file`` names: the path is kept, and
``Settings.secret`` reads it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from model.errors import ConfigurationError
from model.threads import usable_processors

MAX_N = 10_000  # strings in one response; a larger one would hold them all in memory
MAX_STREAM_N = 10_000_000
HOUR_S, DAY_S = 3600, 86_400
MIN_DEADLINE_S = 0.1  # also of a request that brings its own
SECRETS = ("keys", "admin_key")  # each may be given by the file that keys_file or admin_key_file names
STORAGE = r"^(memory://|redis(s|\+cluster|\+sentinel|\+unix)?://\S+)$"
MAX_SECRET_BYTES = 1_000_000
WORDS: dict[Any, str] = {bool: "true or false", str: "a text that is not empty", Path: "a path"}


class Settings(BaseModel):
    """Everything that decides how models are served; immutable, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    model: Path | None = Field(None, description="Folder of the model; beside models, of the default one.")
    models: Path | None = Field(None, description="Folder of model folders, which are loaded from it by name.")
    watch_s: float | None = Field(
        None, gt=0, le=DAY_S, description="Seconds between looks for changes in the models folder; unset: none."
    )
    engine: Literal["onnx", "onnx-int8", "torch"] = Field(
        "onnx", description="What runs the network: ONNX Runtime (fp32 or int8), or torch, on a GPU if there is one."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback others reach it.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    insecure: bool = Field(False, description="Listen beyond loopback although there are no keys.")
    keys: SecretStr | None = Field(
        None, min_length=1, max_length=MAX_SECRET_BYTES, description="Hashed keys, one a line; unset: everyone may ask."
    )
    keys_file: Path | None = Field(None, description="File of those lines, read again on SIGHUP.")
    admin_port: int | None = Field(
        None, ge=0, le=65535, description="TCP port of /admin on loopback; 0 takes a free one, unset: no /admin."
    )
    admin_key: SecretStr | None = Field(None, min_length=16, max_length=1024, description="Key of /admin, not hashed.")
    admin_key_file: Path | None = Field(None, description="File that holds it, read again on SIGHUP.")
    rate_limit: int | None = Field(
        None, ge=1, le=1_000_000_000, description="Strings a minute for each key, or address where there are no keys."
    )
    rate_limit_storage: str = Field(
        "memory://", pattern=STORAGE, repr=False, description="Where they are counted; replicas may share a Redis."
    )
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads of the network; unset: the engine's own.")
    slice: int = Field(256, ge=1, le=65536, description="Strings in one run of the network, at most.")
    max_n: int = Field(MAX_N, ge=1, le=MAX_N, description="Strings in one request, at most.")
    max_stream_n: int = Field(MAX_STREAM_N, ge=1, le=MAX_STREAM_N, description="Strings in one stream, at most.")
    max_attempts: int = Field(
        1_000_000, ge=1, le=1_000_000_000, description="Strings tried for one request with constraints, at most."
    )
    max_strings_queued: int = Field(
        20_000, ge=1, le=10_000_000, description="Strings waiting, at most; beyond it a request is answered with 429."
    )
    max_connections: int = Field(4096, ge=1, le=1_000_000, description="Connections open at once, at most.")
    header_timeout_s: float = Field(10.0, gt=0, le=HOUR_S, description="Seconds in which a request's head must arrive.")
    body_timeout_s: float = Field(10.0, gt=0, le=HOUR_S, description="Seconds in which a request's body must arrive.")
    send_timeout_s: float = Field(
        60.0, gt=0, le=HOUR_S, description="Seconds until a reader that takes nothing is dropped."
    )
    deadline_s: float = Field(
        60.0, ge=MIN_DEADLINE_S, le=HOUR_S, description="Seconds in which all but streams must be answered."
    )
    drain_delay_s: float = Field(
        1.0, ge=0, le=HOUR_S, description="Seconds between SIGTERM, when readiness goes off, and refusing connections."
    )
    drain_grace_s: int = Field(30, ge=0, le=HOUR_S, description="Seconds then in which accepted requests may end.")
    log_format: Literal["console", "json"] = Field("console", description="Lines for people, or an object a line.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    access_log: bool = Field(False, description="Log a line for every request.")
    tracing: bool = Field(False, description="Send OpenTelemetry spans to OTEL_EXPORTER_OTLP_ENDPOINT.")

    @field_validator("*", mode="before")
    @classmethod
    def _neither_empty_nor_a_truth(cls, value: Any, info: ValidationInfo) -> Any:
        field = info.field_name or ""
        if isinstance(value, bool) and cls.model_fields[field].annotation is not bool:
            raise ValueError("must not be true or false")
        if isinstance(value, str):
            value = value.strip() if field in SECRETS else value
            if not value.strip():
                raise ValueError("must not be empty")
        return value

    @model_validator(mode="after")
    def _no_contradiction(self) -> Settings:
        for contradiction in _contradictions(self):
            raise contradiction
        return self

    def has_secret(self, name: str) -> bool:
        """Whether keys or admin_key is given, by itself or by its file."""
        return getattr(self, name) is not None or getattr(self, name + "_file") is not None

    def secret(self, name: str) -> str | None:
        """The text of keys or admin_key, read from its file now where a file was named; None: not given.

        Raises ConfigurationError if the file cannot be read, or holds what the setting may not be.
        """
        path, value = getattr(self, name + "_file"), getattr(self, name)
        if path is None:
            return None if value is None else str(value.get_secret_value())
        return read_secret(name, path)


class ContradictionError(ValueError):
    """A setting that does not fit another: which, what it is told, and what to do."""

    def __init__(self, setting: str, complaint: str, advice: str) -> None:
        super().__init__(f"{complaint}: {advice}")
        self.setting, self.complaint, self.advice = setting, complaint, advice


def _contradictions(settings: Settings) -> Iterator[ContradictionError]:
    if settings.model is None and settings.models is None:
        yield ContradictionError(
            "model", "model is missing", "give --model or set CHARWGAN_MODEL; or models, for several"
        )
    queue, n, admin_port = settings.max_strings_queued, settings.max_n, settings.admin_port
    if queue < n:
        complaint = f"max_strings_queued must be at least max_n ({n}), got {queue}"
        yield ContradictionError("max_strings_queued", complaint, "the largest request would never be accepted")
    if admin_port is not None and not settings.has_secret("admin_key"):
        advice = "set CHARWGAN_ADMIN_KEY or CHARWGAN_ADMIN_KEY_FILE, or give no admin_port"
        yield ContradictionError("admin_port", f"admin_port needs admin_key, got {admin_port} and no key", advice)
    if admin_port == settings.port != 0:
        complaint = f"admin_port must differ from port ({settings.port}), got {admin_port}"
        yield ContradictionError("admin_port", complaint, "choose another, or 0 for a free one")
    if settings.threads is not None and settings.threads > (most := usable_processors()):
        complaint = f"threads must be at most {most}, the processors that are usable here, got {settings.threads}"
        yield ContradictionError("threads", complaint, "give fewer, or none")
    if settings.watch_s is not None and settings.models is None:
        yield ContradictionError(
            "watch_s", f"watch_s needs models, got {settings.watch_s:g}", "name the folder to watch"
        )
    for secret in SECRETS:
        if getattr(settings, secret) is not None and getattr(settings, secret + "_file") is not None:
            yield ContradictionError(secret, f"{secret} and {secret}_file must not both be given", "give one of them")


def read_secret(name: str, path: Path, origin: str = "") -> str:
    """The text of a secret's file.  Raises ConfigurationError as ``Settings.secret`` does, and names the origin."""
    where = f"{name}_file{f' (from {origin})' if origin else ''}: {path}"
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SECRET_BYTES + 1).decode("utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read {where}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"cannot read {where}: it is not UTF-8 text") from None
    limits = _limits(name)
    if not limits["min_length"] <= len(text) <= limits["max_length"]:
        raise ConfigurationError(f"{name} must be {bound(name)}, which the file is not that {where} names")
    return text


def bound(field: str) -> str:
    """What a setting may be: "between 0 and 65535"."""
    limits, kind = _limits(field), Settings.model_fields[field].annotation
    if "ge" in limits:
        return f"between {limits['ge']} and {limits['le']}"
    if "gt" in limits:
        return f"more than {limits['gt']} and at most {limits['le']}"
    if "max_length" in limits:
        return f"{limits['min_length']} to {limits['max_length']} characters"
    if field == "rate_limit_storage":
        return "memory:// or redis://HOST:PORT"
    choices = get_args(kind) or (kind,)
    return WORDS.get(choices[0]) or f"one of {', '.join(choices)}"


def _limits(field: str) -> dict[str, Any]:
    names = ("ge", "gt", "le", "min_length", "max_length")
    metadata = Settings.model_fields[field].metadata
    return {name: getattr(item, name) for item in metadata for name in names if hasattr(item, name)}
