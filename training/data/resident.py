"""Training samples where a GPU works: as they are stored, in ids and bytes, and made into samples there.

N batch, M training rows, T length, V alphabet, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.arrays import Images, Points
from training.data.corpus import Corpus
from training.data.dataset import Dataset

SHARE = 0.25  # of the device's free memory that the training rows may take
_PIECE = 1 << 22  # values that go to the device at once, so that a corpus is never whole in the host's memory


class Column(Protocol):
    """Something that is stored of every training row, (M, ...)."""

    def __getitem__(self, rows: Any, /) -> NDArray[Any]: ...


class Store:
    """The training rows of a dataset for one device: there for good if they fit, else each batch travels.

    room: bytes that they may take on the device; None: a share of what is free on a GPU, and nothing on a CPU.
    resident: whether they lie on the device.
    """

    def __init__(self, dataset: Dataset, device: torch.device, room: int | None = None) -> None:
        self._columns, self._make = _stored(dataset)
        room = _room(device) if room is None else room
        whole = [column for column in self._columns if isinstance(column, np.ndarray)]
        self.resident = len(whole) == len(self._columns) and sum(column.nbytes for column in whole) <= room
        self._there = [_moved(column, device) for column in whole] if self.resident else []

    def travelling(self, rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
        """What must go to the device for a batch, (N, ...) each: its rows' numbers, or what is stored of them."""
        if self.resident:
            return (torch.from_numpy(rows),)
        return tuple(_tensor(column[rows]) for column in self._columns)

    def samples(self, travelled: Sequence[Tensor]) -> Tensor:
        """The samples of a batch, as ``Dataset.draw`` gives them, of what went to the device for it."""
        if self.resident:
            travelled = [there.index_select(0, travelled[0]) for there in self._there]
        return self._make(*travelled)


def one_hot(ids: Tensor, labels: Tensor | None = None, *, symbols: int, channels: int) -> Tensor:
    """One-hot rows of ids (N, T), and of labels (N,) after the symbols, (N, T, V + K), float32.

    ids, labels: of any whole type; int16 holds the bits of uint16.  symbols: V.  channels: V + K.
    """
    rows = torch.zeros(*ids.shape, channels, device=ids.device)
    rows.scatter_(2, _widened(ids).unsqueeze(2), 1.0)
    if labels is not None:
        rows.scatter_(2, (_widened(labels) + symbols).view(-1, 1, 1).expand(-1, ids.shape[1], 1), 1.0)
    return rows


def _stored(dataset: Dataset) -> tuple[Sequence[Column], Callable[..., Tensor]]:
    """What is stored of a dataset's rows, and what makes samples of it."""
    if isinstance(dataset, Corpus):
        columns = [dataset.train] if dataset.train_labels is None else [dataset.train, dataset.train_labels]
        return columns, partial(one_hot, symbols=dataset.alphabet.size, channels=dataset.shape[1])
    if isinstance(dataset, Images | Points) and not dataset.conditions:
        return [dataset.train], _scaled
    return [_Drawn(dataset)], lambda samples: samples


class _Drawn:
    """The samples of a dataset that says no more of itself, as its only column."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        samples: NDArray[np.float32] = self._dataset.draw(rows, torch.device("cpu")).numpy()
        return samples


def _scaled(stored: Tensor) -> Tensor:
    return stored if stored.dtype == torch.float32 else stored.float().div_(127.5).sub_(1.0)


def _widened(stored: Tensor) -> Tensor:
    """Unsigned numbers as int64."""
    return stored.long() & 0xFFFF if stored.dtype == torch.int16 else stored.long()


def _tensor(values: NDArray[Any]) -> Tensor:
    """A tensor of the same bits: torch has few operations on uint16, and those that are needed on int16."""
    return torch.from_numpy(values.view(np.int16) if values.dtype == np.uint16 else values)


def _moved(column: NDArray[Any], device: torch.device) -> Tensor:
    """A column on the device, piece by piece."""
    rows = max(1, _PIECE // max(1, column[0].size))
    there = torch.empty(column.shape, dtype=_tensor(column[:0].copy()).dtype, device=device)
    for start in range(0, len(column), rows):
        there[start : start + rows].copy_(_tensor(np.array(column[start : start + rows])))
    return there


def _room(device: torch.device) -> int:
    return int(SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0
