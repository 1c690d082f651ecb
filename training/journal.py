"""What a run writes down as it goes: ``log.jsonl``, and the same figures as TensorBoard events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from model.errors import RunError
from training.events import Events
from training.runs import ALARM, drop_samples, is_look, write_all, write_whole, writing
from training.updates import AverageOverRanks

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

    def spread(self, average: AverageOverRanks) -> None:
        """Put the means over all ranks in the place of this rank's own."""
        if self._sums:
            (values,) = average([torch.stack(list(self._sums.values()))])
            self._sums = dict(zip(self._sums, values.unbind(), strict=True))

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


class Journal(AbstractContextManager["Journal"]):
    """Appends rows to ``log.jsonl`` and to TensorBoard events in one run's folder, nothing of it buffered."""

    def __init__(self, run: Path, *, resumed_at: int) -> None:
        """Rows and samples after round ``resumed_at`` are dropped: those rounds are played again."""
        self._path = run / LOG
        kept = [row for row in read_log(run) if row["round"] <= resumed_at]
        write_whole(self._path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        drop_samples(run, after=resumed_at)
        with self._writing(), ExitStack() as stack:
            self._file = stack.enter_context(self._path.open("ab", buffering=0))
            self._events = stack.enter_context(closing(Events(run, resumed_at=resumed_at)))
            self._files = stack.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error that one is told, and not what it may do to the closing of a file.
        with suppress(RunError) if kind else nullcontext():
            self.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row; its "round" is the step of the events.  Raises RunError if the disk refuses."""
        with self._writing():
            write_all(self._file, (json.dumps(row) + "\n").encode())
            figures = {name: value for name, value in row.items() if isinstance(value, int | float) and name != "round"}
            self._events.add_scalars(figures, row["round"])

    def write_text(self, name: str, text: str, number: int) -> None:
        """Show a text beside the figures of round ``number``.  Raises RunError if the disk refuses."""
        with self._writing():
            self._events.add_text(name, text, number)

    def write_image(self, name: str, png: bytes, number: int) -> None:
        """Show an image beside the figures of round ``number``.  Raises RunError if the disk refuses."""
        with self._writing():
            self._events.add_image(name, png, number)

    def close(self) -> None:
        """Close both files.  Raises RunError if the disk refuses."""
        with self._writing():
            self._files.close()

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self._path, "; continue with --resume")


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


def last_alarm(run: Path) -> str | None:
    """The warning of the last look at the samples that the log tells of, with its round, if that look gave one."""
    looks = [row for row in read_log(run) if is_look(row)]
    return f"round {looks[-1]['round']}: {looks[-1][ALARM]}" if looks and ALARM in looks[-1] else None
