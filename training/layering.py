"""From what presets, files, the environment and flags say to one configuration, with the origin of each key.

Flags beat the environment (``CHARWGAN_DATA__MAX_LENGTH``), which beats the file, which beats the preset.
Nothing is read at import; ``resolve`` puts the layers together and says which of them set each key.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.errors import ConfigurationError
from model.threads import check_threads
from training.configuration import Config, Frozen
from training.presets import PRESETS

ENVIRONMENT_PREFIX = "CHARWGAN_"
CONTINUED = "run"  # the origin of what a run began with, perhaps on another machine

# What a literal may be where a key takes texts.
TEXTS: dict[str, type | tuple[type, ...]] = {
    "variant": str,
    "preset": str,
    "data.column": str,
    "data.label": str,
    "data.sources": (str, list),
}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values: {"data": {"seed": 1}} gives ("data.seed", 1)."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def keys() -> dict[str, str]:
    """Every dotted key of the configuration with its description."""
    found: dict[str, str] = {}
    for name, field in Config.model_fields.items():
        if isinstance(field.default, Frozen):
            inner = type(field.default).model_fields
            found |= {f"{name}.{key}": value.description or "" for key, value in inner.items()}
        else:
            found[name] = field.description or ""
    return found


def parse_value(text: str, key: str = "") -> Any:
    """The value of ``key=text``: a TOML literal where it is one (3, 1e-3, true, ["a"]), else the text itself.

    Where the key takes a text, a literal that is none, such as a number, is the text as well: ``data.column=2024``.
    """
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, TEXTS.get(key, object)) else text


def parse_assignment(text: str) -> tuple[str, Any]:
    """Key and value of a ``--set key=value``.  Raises ConfigurationError if there is no ``=``."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(f"--set takes key=value, got {text!r}")
    return key.strip(), parse_value(value.strip(), key.strip())


def read_job(path: Path) -> dict[str, Any]:
    """Dotted keys of a TOML job file.  Raises ConfigurationError if it cannot be read as TOML."""
    try:
        return dict(flatten(tomllib.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise ConfigurationError(f"cannot read the job file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error


def environment_names() -> dict[str, str]:
    """The key that each ``CHARWGAN_...`` variable sets; two underscores stand for the dot."""
    return {environment_name(key): key for key in (*keys(), "preset")}


def environment_name(key: str) -> str:
    """The variable that sets a key: data.max_length is CHARWGAN_DATA__MAX_LENGTH."""
    return ENVIRONMENT_PREFIX + key.replace(".", "__").upper()


def read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Keys set by ``CHARWGAN_...`` variables.  The service's own are passed over."""
    names = environment_names()
    return {names[name]: parse_value(value, names[name]) for name, value in environment.items() if name in names}


def resolve(layers: Mapping[str, Mapping[str, Any]], preset: str | None = None) -> tuple[Config, dict[str, str]]:
    """Put layers of dotted keys together, the later over the earlier.

    layers: origin ("file", "environment", "flag") to {dotted key: value}; any of them may set "preset".
    Returns the configuration and the origin of each of its keys.
    Raises ConfigurationError naming the key, the bound and the value.
    """
    for values in layers.values():
        preset = values.get("preset", preset)
    name = preset or "small"
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigurationError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    tree: dict[str, Any] = {}
    origins = dict.fromkeys(keys(), "default")
    for origin, values in {f"preset {name}": PRESETS[name], **layers}.items():
        for key, value in values.items():
            if key == "preset":
                continue
            if key not in origins:
                raise ConfigurationError(_unknown(key, origin))
            section, _, inner = key.rpartition(".")
            (tree.setdefault(section, {}) if section else tree)[inner] = value
            origins[key] = origin
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigurationError(_first_problem(error, origins)) from None
    if origins["threads"] != CONTINUED:
        check_threads(config.threads, f"threads{_whence('threads', origins)}")
    return config, origins


def _unknown(key: str, origin: str) -> str:
    close = difflib.get_close_matches(key, keys(), n=1)
    hint = f": did you mean {close[0]!r}?" if close else ": `charwgan train --dry-run` prints every key"
    return f"unknown configuration key {key!r}{_whence(key, {key: origin})}{hint}"


def _first_problem(error: ValidationError, origins: Mapping[str, str]) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":
        # The only one, of a whole section: its message names the key.
        message = str(problem["msg"]).removeprefix("Value error, ")
        return message + _whence(next((name for name in origins if message.startswith(name)), key), origins)
    return f"{key}: {problem['msg'].lower()}, got {problem['input']!r}{_whence(key, origins)}"


def _whence(key: str, origins: Mapping[str, str]) -> str:
    """Where a value came from, for a message; nothing where a person did not give it."""
    told = {"flag": "the command line", "environment": environment_name(key), "file": "the job file"}
    origin = origins.get(key, "default")
    return "" if origin == "default" else f" (from {told.get(origin, origin)})"
