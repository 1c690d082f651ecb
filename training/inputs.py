"""What is random in a round, brought to where a CUDA graph reads it while the device plays the round before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.conditions import Conditions
from training.data.dataset import Dataset
from training.data.resident import Store
from training.game import Batch

if TYPE_CHECKING:
    from training.loop import Draws

STAGES = 2  # rounds that may be drawn ahead of the device


class Inputs:
    """Where a graph reads what is random in a round, and what brings it there without waiting.

    share: how far the average follows, a scalar on the device.
    """

    def __init__(self, draws: Draws, turns: int, room: int | None = None) -> None:
        """turns: batches in a round.  room: as in ``Store``."""
        device = draws.device
        self.store = Store(draws.dataset, device, room)
        self._conditions, self._turns = draws.dataset.conditions, turns
        places = cast(Dataset, _Places(len(draws.dataset)))
        self._draws = replace(draws, dataset=places, device=torch.device("cpu"))
        like = [(torch.Size((turns, *drawn.shape)), drawn.dtype) for drawn in self._drawn(0, 0)]
        like += [(torch.Size(()), torch.float32), (torch.Size(()), torch.int64)]
        self._there = [torch.zeros(shape, dtype=dtype, device=device) for shape, dtype in like]
        self.share, self._round = self._there[-2:]
        pinned = device.type == "cuda"
        self._stages = cycle(
            _Stage([torch.zeros(shape, dtype=dtype, pin_memory=pinned) for shape, dtype in like], pinned)
            for _ in range(STAGES)
        )

    def fill(self, number: int, share: float) -> None:
        """Draw a round and send it; the device has it when it has done what it was told before."""
        stage = next(self._stages)
        stage.wait()
        for turn in range(self._turns):
            for here, drawn in zip(stage.tensors, self._drawn(number, turn), strict=False):
                here[turn].copy_(drawn)
        stage.tensors[-2].fill_(share)
        stage.tensors[-1].fill_(number)
        for there, here in zip(self._there, stage.tensors, strict=True):
            there.copy_(here, non_blocking=True)
        stage.sent()

    def batch(self, turn: int) -> Batch:
        """The batch of a turn of the round, made on the device of what was sent."""
        *travelled, latent, mix = (there[turn] for there in self._there[:-2])
        latent = latent.clone()  # to an address like any other: a product of matrices may add in an order by that
        real = self.store.samples(travelled)
        if self._conditions:
            latent = torch.cat([latent, self._conditions.of(real)], dim=1)
        return Batch(real, latent, mix, self._round)

    def _drawn(self, number: int, turn: int) -> tuple[Tensor, ...]:
        """What travels for the batch of a turn: as the store says of its rows, latents and mix."""
        batch = self._draws.batch(number, turn)
        rows = batch.real.long().numpy()
        return (*self.store.travelling(rows), batch.latent.float(), batch.mix.float())


@dataclass(frozen=True)
class _Places:
    """What ``Draws`` needs of a dataset of so many rows; the sample at a row is its number, exact in float64."""

    rows: int
    conditions = Conditions()

    def __len__(self) -> int:
        return self.rows

    def draw(self, rows: NDArray[np.int64], device: torch.device) -> Tensor:
        return torch.from_numpy(rows.astype(np.float64)).to(device)


class _Stage:
    """Page-locked memory for one round, which is not written to while the device may still read it."""

    def __init__(self, tensors: list[Tensor], pinned: bool) -> None:
        self.tensors = tensors
        self._read = torch.cuda.Event(blocking=True) if pinned else None  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Until what was sent last is read."""
        if self._read:
            self._read.synchronize()

    def sent(self) -> None:
        """Note that the device was told to read."""
        if self._read:
            self._read.record()
