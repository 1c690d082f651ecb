"""A run is a folder: finding it, locking it, and reading what it says of itself.

config.json  data.json  tokenizer.json  result.json  metrics.json  log.jsonl
checkpoints/  samples/  events/  report.html
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.errors import RunError
from training.configuration import Config, flatten

MAY_CHANGE = frozenset(
    {
        "max_seconds",
        "max_cpu_seconds",
        "max_rounds",
        "log_seconds",
        "evaluate_seconds",
        "checkpoint_seconds",
        "device",
        "threads",
    }
)
"""Keys that a resumed run may change without being told so: they leave the rounds already played as they are."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.  Raises RunError if it cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} must hold a JSON object")
    return value


def read_config(run: Path) -> Config:
    """The resolved configuration of a run.  Raises RunError if the folder is not a run."""
    path = run / "config.json"
    if not path.is_file():
        raise RunError(f"{run} is not a run: it has no config.json; `charwgan train --run {run}` starts one")
    try:
        return Config.model_validate(read_json(path))
    except ValidationError as error:
        raise RunError(f"{path} does not fit this version: {error.errors()[0]['msg']}") from error


def differences(old: Config, new: Config) -> list[str]:
    """Lines "key: old -> new" for keys that would make the rest of a run unlike its beginning."""
    before, after = (dict(flatten(config.model_dump())) for config in (old, new))
    return [
        f"{key}: {before[key]!r} -> {after[key]!r}"
        for key in before
        if before[key] != after[key] and key not in MAY_CHANGE
    ]


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a run folder for one process.  Raises RunError if another has it or it cannot be written."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = (run / ".lock").open("w")
    except OSError as error:
        raise RunError(f"cannot write to {run}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"{run} is in use by another process") from error
        yield
