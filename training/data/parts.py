"""The training and the held-out rows of a corpus on their way to disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.alphabet import Alphabet
from training.data.split import Split
from training.data.storage import NpyWriter

if TYPE_CHECKING:
    from training.configuration import DataConfig


class Part:
    """One of the two parts: ids and, if there are any, labels."""

    def __init__(self, folder: Path, name: str, alphabet: Alphabet, labelled: bool, stack: ExitStack) -> None:
        ids = NpyWriter(folder / f"{name}.npy", np.dtype(alphabet.dtype), (alphabet.length,))
        self._writers = [stack.enter_context(ids)]
        if labelled:
            labels = NpyWriter(folder / f"{name}_labels.npy", np.dtype(np.uint16))
            self._writers.append(stack.enter_context(labels))

    @property
    def rows(self) -> int:
        """How many rows there are so far."""
        return self._writers[0].rows

    def append(self, columns: Sequence[NDArray[Any]]) -> None:
        """Add rows: ids (N, T) and, with labels, their positions (N,)."""
        for writer, column in zip(self._writers, columns, strict=True):
            writer.append(column)

    def take_last(self) -> list[NDArray[Any]]:
        """Remove the last row and return its columns."""
        return [writer.take_last() for writer in self._writers]


class Parts:
    """Sends each row to its part, and hashes what was sent where."""

    def __init__(self, folder: Path, config: DataConfig, alphabet: Alphabet, label_names: Sequence[str]) -> None:
        self._stack = ExitStack()
        self.train, self.held_out = (
            Part(folder, name, alphabet, bool(label_names), self._stack) for name in ("train", "held_out")
        )
        self._split = Split(config.seed, config.held_out)
        self._head = [alphabet.length, alphabet.characters, *label_names]
        # One hash for each column, so that it does not matter in which portions the rows came.
        self._hashes = [hashlib.sha256() for _ in range(3)]

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    @property
    def rows(self) -> int:
        """Rows of both parts together."""
        return self.train.rows + self.held_out.rows

    def append(self, columns: Sequence[NDArray[Any]]) -> None:
        """Split rows: ids (N, T) and, with labels, their positions (N,)."""
        if not len(columns[0]):
            return
        held = self._split.next(len(columns[0]))
        for hashed, column in zip(self._hashes, (held, *columns), strict=False):
            hashed.update(np.ascontiguousarray(column).data)
        self.train.append([column[~held] for column in columns])
        self.held_out.append([column[held] for column in columns])

    def balance(self) -> None:
        """Give a part that is empty the last row of the other."""
        if not self.held_out.rows:
            self.held_out.append(self.train.take_last())
        elif not self.train.rows:
            self.train.append(self.held_out.take_last())

    def digest(self) -> str:
        """Hex SHA-256 of the rows, the split, the alphabet and the labels."""
        head = [*self._head, self.train.rows, *(hashed.hexdigest() for hashed in self._hashes)]
        return hashlib.sha256(json.dumps(head).encode()).hexdigest()
