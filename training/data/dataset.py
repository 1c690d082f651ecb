"""What the loop needs of any data, whatever it holds."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from model.labels import Labels
from training.conditions import Conditions

Kind = Literal["text", "image", "points"]


class Dataset(Protocol):
    """Training samples of one kind, drawn by row.

    kind: decides which networks play.  shape: of one sample as the critic sees it, (T, V + K) for text, (C, H, W) for
    images, (D,) for points.  digest: hex SHA-256 of the samples and of how they were prepared.
    labels: of data that is learned under its labels, else none.  conditions: the channels after a sample's own, which
    say what it is made of: its label among the K that there are, or what else a generator is given.
    """

    @property
    def kind(self) -> Kind: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def digest(self) -> str: ...
    @property
    def labels(self) -> Labels: ...
    @property
    def conditions(self) -> Conditions: ...
    def __len__(self) -> int: ...
    def draw(self, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Samples at the given rows of the training part, (N, *shape), float32: one-hot for text."""
        ...
