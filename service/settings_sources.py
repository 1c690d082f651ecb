"""Where the value of each setting of the service comes from.

    flags  >  CHARWGAN_PORT in the environment  >  CHARWGAN_KEYS_FILE for secrets  >  a TOML file  >  the default

Where neither a model nor a folder of models is named, the model is the one that comes with the package.

The TOML file is named by --config or CHARWGAN_CONFIG and holds ``port = 8000``, one setting a line.  Variables that are
no setting of the service are passed over: they may belong to training.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.artifact import SHIPPED_MODEL
from model.errors import ConfigurationError
from service.settings import SECRETS, Settings, bound, read_secret

ENVIRONMENT_PREFIX = "CHARWGAN_"
FLAGS = ("model", "models", "host", "port", "threads", "keys_file", "insecure", "config")  # the others: --set
CONFIG = "config"  # the TOML file, which can therefore not be named in it
UNSHOWN = (*SECRETS, "rate_limit_storage")  # the address of a Redis may hold a password

Given = dict[str, tuple[Any, str]]  # what is given for a setting, and where


def environment_name(field: str) -> str:
    """The environment variable of a setting: max_n is CHARWGAN_MAX_N."""
    return ENVIRONMENT_PREFIX + field.upper()


def flag_name(field: str) -> str:
    """How the command line gives a setting: --port, --set max_n."""
    return "--" + field.replace("_", "-") if field in FLAGS else f"--set {field}"


def parse_assignments(texts: Sequence[str]) -> dict[str, str]:
    """Settings from NAME=VALUE, each.  Raises ConfigurationError for a text without =, and for a secret."""
    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--set takes NAME=VALUE, such as max_n=1000, got {_short(text)}")
        name = name.strip().replace("-", "_")
        if name in SECRETS:  # everyone on the machine can read a command line
            raise ConfigurationError(f"--set takes no secrets: give {name} by {environment_name(name)} or {name}_file")
        given[name] = value.strip()
    return given


def resolve(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings from flags (None: not given), then the environment, then a TOML file, then defaults.

    flags may hold "config", the path of that file, which is else taken from CHARWGAN_CONFIG.
    Raises ConfigurationError naming the setting, its bound, the value, where that came from, and what to do.
    """
    return resolve_with_origins(flags, environment)[0]


def resolve_with_origins(flags: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Settings, and where each of them comes from: "--port", "CHARWGAN_PORT", the path of the file, or "default"."""
    values, origins = gather(flags, environment)
    return validate(values, origins), dict.fromkeys(Settings.model_fields, "default") | origins


def validate(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    """The settings that were gathered; the files of secrets are read, to say at once if that cannot be done."""
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(_describe(error, origins)) from None
    for secret in SECRETS:
        if path := getattr(settings, secret + "_file"):
            read_secret(secret, path, origins[secret + "_file"])
    return settings


def gather(flags: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What each setting is that was given, not yet looked at, and where."""
    given: Given = {field: (value, flag_name(field)) for field, value in flags.items() if value is not None}
    names = {field: environment_name(field) for field in (CONFIG, *Settings.model_fields)}
    variables: Given = {field: (environment[name], name) for field, name in names.items() if name in environment}
    named = [layer.pop(CONFIG) for layer in (given, variables) if CONFIG in layer]
    layers = [given, variables, _read_file(*named[0]) if named else {}]
    merged = layers[2] | layers[1] | layers[0]
    origins = {field: origin for field, (_, origin) in merged.items()}
    for field, origin in origins.items():
        if field not in Settings.model_fields:
            raise ConfigurationError(_unknown(field, origin))
    for secret in SECRETS:
        _choose_source(secret, layers, merged, origins)
    if not {"model", "models"} & set(merged) and SHIPPED_MODEL.is_dir():
        merged["model"] = SHIPPED_MODEL, "the package, since none is named"
        origins["model"] = merged["model"][1]
    return {field: value for field, (value, _) in merged.items()}, origins


def _choose_source(secret: str, layers: list[Given], merged: Given, origins: dict[str, str]) -> None:
    """Keep one of a secret and its file: that of the higher layer, and within a layer the secret itself."""
    pair = (secret, secret + "_file")
    used = next((name for layer in layers for name in pair if name in layer), secret)
    for name in pair:
        if name != used and name in merged:
            del merged[name]
            origins[name] = f"passed over for {origins[used]}"


def _read_file(path: str | Path, origin: str) -> Given:
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the settings file {path} (from {origin}): {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the settings file {path} (from {origin}) is not TOML: {error}") from None
    return {field: (value, str(path)) for field, value in values.items()}


def _unknown(field: str, origin: str) -> str:
    close = difflib.get_close_matches(field, Settings.model_fields, n=1)
    advice = f"did you mean {close[0]}?" if close else "`charwgan config show` lists them"
    return f"{field} is not a setting of the service (from {origin}): {advice}"


def _describe(error: ValidationError, origins: Mapping[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        wrong = first["ctx"]["error"]
        where = f" (from {origins[wrong.setting]})" if wrong.setting in origins else ""
        return f"{wrong.complaint}{where}: {wrong.advice}"
    field = str(first["loc"][0])
    whole = "a whole number " if first["type"].startswith("int_") else ""
    given = "what was given is not shown" if field in UNSHOWN else f"got {_short(first['input'])}"
    meaning = str(Settings.model_fields[field].description).rstrip(".")
    advice = f"correct it, or leave it out ({meaning})"
    return f"{field} must be {whole}{bound(field)}, {given} (from {origins[field]}): {advice}"


def _short(value: Any) -> str:
    text = repr(str(value) if isinstance(value, Path) else value)
    return text if len(text) <= 80 else text[:80] + "…"
