"""The settings as people read them: each with value and origin, secrets masked; and a table for the documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from service.settings import SECRETS, Settings, bound
from service.settings_sources import CONFIG, ENVIRONMENT_PREFIX, environment_name, gather, validate

MASK = "********"


def listing(flags: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """{"value", "origin"} of every setting, fit for JSON; a model need not be given.

    Raises ConfigurationError as ``resolve`` does.
    """
    values, origins = gather(flags, environment)
    missing = values.keys().isdisjoint(("model", "models"))
    settings = validate({"model": Path(), **values} if missing else values, origins)
    rows = {
        name: {"value": shown(getattr(settings, name)), "origin": origins.get(name, "default")}
        for name in Settings.model_fields
    }
    for secret in SECRETS:
        if path := getattr(settings, secret + "_file"):
            rows[secret] = {"value": MASK, "origin": str(path)}
    if missing:
        rows["model"] = {"value": None, "origin": f"not given: --model, or {environment_name('model')}"}
    return rows


def shown(value: Any) -> Any:
    """A setting as it may be seen: neither a secret nor the user, password and query of an address."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, str) and "://" in value:
        return re.sub(r"\?.*", f"?{MASK}", re.sub(r"://.*@", f"://{MASK}@", value))
    return str(value) if isinstance(value, Path) else value


def to_text(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The listing as lines: setting, value, origin."""
    cells = [(name, _word(row["value"]), row["origin"]) for name, row in rows.items()]
    name_width, value_width = (max(len(row[i]) for row in cells) for i in (0, 1))
    return "\n".join(f"{name:{name_width}}  {value:{value_width}}  {origin}" for name, value, origin in cells)


def settings_table() -> str:
    """Every setting with default, bound and meaning, as a table in Markdown; the documentation holds it as it is."""
    rows = ["| Setting | Default | Bound | |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name}` | `{_word(field.default)}` | {bound(name)} | {field.description} |")
    return "\n".join(rows) + "\n"


def passed_over(environment: Mapping[str, str]) -> list[str]:
    """The CHARWGAN_ variables that set nothing here: training's, or misspelt."""
    known = {environment_name(name) for name in (CONFIG, *Settings.model_fields)}
    return sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in known)


def _word(value: Any) -> str:
    if value is None:
        return "unset"
    return str(value).lower() if isinstance(value, bool) else str(value)
