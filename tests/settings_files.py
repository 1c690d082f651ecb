"""Settings of the service as people give them, and what they are told of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import ConfigurationError
from service.settings_sources import resolve

MODEL = {"model": "m"}
ADMIN_KEY = "correct horse battery staple"


def toml(folder: Path, text: str) -> Path:
    path = folder / "service.toml"
    path.write_text(text, encoding="utf-8")
    return path


def secret_file(folder: Path, text: str) -> Path:
    path = folder / "secret"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(flags: dict[str, object], environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as refused:
        resolve(flags, environment or {})
    assert "\n" not in str(refused.value)
    return str(refused.value)
