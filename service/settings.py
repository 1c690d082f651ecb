"""The settings of a service: each with its bound, from a flag, the environment or the default.

Flags beat the environment (``CHARWGAN_PORT``), which beats the default.  Nothing is read at import.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.errors import ConfigurationError

ENVIRONMENT_PREFIX = "CHARWGAN_"
MAX_N = 10_000  # strings in one response; a larger one would hold them all in memory


class Settings(BaseModel):
    """Everything that decides how a model is served; immutable, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Path = Field(description="Folder of the model.")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; beyond loopback others reach it.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads of the network; unset: the engine's own.")
    max_n: int = Field(MAX_N, ge=1, le=MAX_N, description="Strings in one request, at most.")
    max_strings_queued: int = Field(
        20_000, ge=1, le=10_000_000, description="Strings waiting, at most; beyond it a request is answered with 429."
    )
    slice: int = Field(256, ge=1, le=65536, description="Strings in one run of the network, at most.")
    body_timeout_s: float = Field(10.0, gt=0, le=3600, description="Seconds in which a request's body must arrive.")
    drain_delay_s: float = Field(
        1.0, ge=0, le=3600, description="Seconds between SIGTERM, when readiness goes off, and refusing connections."
    )
    drain_grace_s: int = Field(30, ge=0, le=3600, description="Seconds after that in which accepted requests may end.")

    @model_validator(mode="after")
    def _queue_holds_the_largest_request(self) -> Settings:
        if self.max_strings_queued < self.max_n:
            raise ValueError(
                f"max_strings_queued must be at least max_n ({self.max_n}), got {self.max_strings_queued}: "
                "the largest request would never be accepted"
            )
        return self


def environment_name(field: str) -> str:
    """The environment variable of a setting: max_n is CHARWGAN_MAX_N."""
    return ENVIRONMENT_PREFIX + field.upper()


def resolve(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings from flags (None: not given), then the environment, then defaults.

    Raises ConfigurationError naming the setting, its bound, the value and where the value came from.
    """
    origins = {environment_name(field): field for field in Settings.model_fields}
    from_environment = {field: environment[name] for name, field in origins.items() if name in environment}
    from_flags = {field: value for field, value in flags.items() if value is not None}
    try:
        return Settings.model_validate(from_environment | from_flags)
    except ValidationError as error:
        raise ConfigurationError(_describe(error, from_flags)) from None


def _describe(error: ValidationError, flags: Mapping[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    field = str(first["loc"][0])
    if first["type"] == "missing":
        return f"{field} is missing: give --{field.replace('_', '-')} or set {environment_name(field)}"
    if first["type"] == "extra_forbidden":
        return f"{field} is not a setting of the service: they are {', '.join(Settings.model_fields)}"
    origin = "" if field in flags else f" (from {environment_name(field)})"
    complaint = first["msg"].removeprefix("Input ").removeprefix("Value ")
    return f"{field} {_bounds(field) or complaint}, got {first['input']!r}{origin}"


def _bounds(field: str) -> str:
    given = {type(item).__name__.lower(): item for item in Settings.model_fields[field].metadata}
    low = next((getattr(given[key], key) for key in ("ge", "gt") if key in given), None)
    high = next((getattr(given[key], key) for key in ("le", "lt") if key in given), None)
    if low is None or high is None:
        return ""
    return f"must be more than {low} and at most {high}" if "gt" in given else f"must be between {low} and {high}"
