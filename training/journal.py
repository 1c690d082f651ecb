"""What a run writes down as it goes: ``log.jsonl``, and the same figures as TensorBoard events."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.errors import RunError

LOG = "log.jsonl"


class NonFiniteError(RunError):
    """A term of the game became infinite or not a number."""


class Means:
    """Running means of named terms, kept on the device until they are asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._rounds = 0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Count one round."""
        for name, value in terms.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
        self._rounds += 1

    def take(self) -> dict[str, float]:
        """The means since the last call.  Raises NonFiniteError naming a term that is not finite.

        A sum stays non-finite once a summand was, so that no round between two calls goes unseen.
        """
        if not self._rounds:
            return {}
        values = torch.stack(list(self._sums.values())).tolist()
        means = {name: value / self._rounds for name, value in zip(self._sums, values, strict=True)}
        self._sums, self._rounds = {}, 0
        for name, value in means.items():
            if not math.isfinite(value):
                raise NonFiniteError(f"the term {name} became {value}")
        return means


class Journal:
    """Appends rows to ``log.jsonl`` and to TensorBoard events in one run's folder."""

    def __init__(self, run: Path, *, resumed_at: int) -> None:
        """Rows after round ``resumed_at`` are dropped: those rounds are played again."""
        self._path = run / LOG
        from tensorboardX import SummaryWriter

        kept = [row for row in read_log(run) if row["round"] <= resumed_at]
        partial = self._path.with_suffix(".partial")
        try:
            partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
            partial.replace(self._path)
            self._file = self._path.open("a", encoding="utf-8")
            self._events = SummaryWriter(str(run / "events"), purge_step=resumed_at + 1 if kept else None)
        except OSError as error:
            raise RunError(f"cannot write {self._path}: {error.strerror or error}; continue with --resume") from error

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row; its "round" is the step of the events.  Raises RunError if the disk refuses."""
        try:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
            for name, value in row.items():
                if name != "round" and isinstance(value, int | float):
                    self._events.add_scalar(name, value, row["round"])
        except OSError as error:
            raise RunError(f"cannot write {self._path}: {error.strerror or error}; continue with --resume") from error

    def write_text(self, name: str, text: str, number: int) -> None:
        """Show a text beside the figures of round ``number``."""
        self._events.add_text(name, text, number)

    def close(self) -> None:
        """Flush and close both files."""
        self._file.close()
        self._events.close()


def read_log(run: Path) -> Iterator[dict[str, Any]]:
    """Rows of ``log.jsonl``; a last line that a kill cut short is passed over."""
    path = run / LOG
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "round" in row:
                yield row


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all.  Raises RunError if the disk refuses."""
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
