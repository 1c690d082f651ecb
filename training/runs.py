"""A run is a folder: locking it, reading what it says of itself, and writing to it whole or not at all.

config.json  data.json  tokenizer.json  result.json  metrics.json  log.jsonl
checkpoints/  samples/  interpolation/  reconstructions/  events/  report.html
corpus/ (of data that can be read only once)
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from model.errors import RunError
from training.configuration import Config
from training.layering import flatten

MAY_CHANGE = frozenset(
    {
        "max_seconds",
        "max_cpu_seconds",
        "max_rounds",
        "decay",
        "log_seconds",
        "evaluate_seconds",
        "checkpoint_seconds",
        "pauses",
        "card.licence",
        "card.note",
        "device",
        "threads",
    }
)
"""Keys that a resumed run may change without being told so: they leave the rounds already played as they are."""

PARTIAL = ".partial"
LOCK = ".lock"
# Keys of a row of the log: strings, images or points learned from in a second; what a look at the samples warned of.
SPEED = "samples_per_second"
ALARM = "alarm"
# Folders of what a look at the run keeps, in files that are named by the round.
INTERPOLATION, RECONSTRUCTIONS = "interpolation", "reconstructions"
LOOKS = ("samples", INTERPOLATION, RECONSTRUCTIONS)


@contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
    """Turn a disk that refuses into a RunError that names the file; advice: what to do, after the reason."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}{advice}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; its folder must exist.  Raises RunError if the disk refuses."""
    with writing_whole(path) as file:
        file.write(data)


@contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to be written in the block, there whole after it or not at all.  Raises as ``write_whole`` does."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        with writing(path):
            with partial.open("wb") as file:
                yield file
            os.replace(partial, path)
    finally:  # whatever stops it, Ctrl-C too
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_all(file: FileIO, data: bytes) -> None:
    """Append to an unbuffered file, which may take less at a time than it is given.  Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all.  Raises RunError if the disk refuses."""
    write_whole(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


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
    if not is_run(run):
        raise RunError(f"{run} is not a run: it has no config.json; `charwgan train --run {run}` starts one")
    try:
        return Config.model_validate(read_json(path))
    except ValidationError as error:
        raise RunError(f"{path} does not fit this version: {error.errors()[0]['msg']}") from error


def is_run(folder: Path) -> bool:
    """Whether a run was begun in a folder: its configuration is the last that is written before the first round."""
    return (folder / "config.json").is_file()


def is_look(row: Mapping[str, Any]) -> bool:
    """Whether a row of the log has scores or a warning, and so is of a look at the samples."""
    return ALARM in row or any(key.startswith("score/") for key in row)


def resume_command(run: Path) -> str:
    """What a person types to continue a run."""
    return f"charwgan train --run {shlex.quote(str(run))} --resume"


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
    """Hold a run folder for one process; if it was not there and nothing came into it, it is removed afterwards.

    Raises RunError if another has it or it cannot be written.
    """
    new = not run.exists()
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = (run / LOCK).open("w")
    except OSError as error:
        raise RunError(f"cannot write to {run}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed it in the end: then this is the lock of no folder.
            current = os.path.samestat((run / LOCK).stat(), os.fstat(file.fileno()))
        except OSError as error:
            raise RunError(f"{run} is in use by another process") from error
        if not current:
            raise RunError(f"{run} is in use by another process")
        try:
            yield
        finally:
            if new and [path.name for path in run.iterdir()] == [LOCK]:
                with suppress(OSError):
                    (run / LOCK).unlink()
                    run.rmdir()


def sweep(run: Path) -> None:
    """Remove the files that a kill left half written.  Only for the holder of the lock: they may be another's work."""
    with writing(run):
        for folder in (run, run / "checkpoints", *(run / name for name in LOOKS)):
            for leftover in folder.glob(f"*{PARTIAL}"):
                if leftover.is_file():
                    leftover.unlink(missing_ok=True)


def drop_results(run: Path) -> None:
    """Remove the scores of a run that goes on: they would be taken for those of the rounds to come."""
    with writing(run):
        for name in ("result.json", "metrics.json"):
            (run / name).unlink(missing_ok=True)


def drop_samples(run: Path, *, after: int) -> None:
    """Remove what looks kept of rounds after a number: those rounds are played again."""
    for folder in LOOKS:
        with writing(run / folder):
            _drop_later(run / folder, after)


def _drop_later(folder: Path, number: int) -> None:
    for path in folder.glob("*"):
        if path.stem.isdecimal() and int(path.stem) > number:
            path.unlink(missing_ok=True)
