"""What the loop needs of any data, whatever it holds."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Kind = Literal["text", "image", "points"]


class Dataset(Protocol):
    """Training samples of one kind, drawn by row.

    kind: decides which networks play.  shape: of one sample as the critic sees it, (T, V) for text, (C, H, W) for
    images, (D,) for points.  digest: hex SHA-256 of the samples and of how they were prepared.
    """

    @property
    def kind(self) -> Kind: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def digest(self) -> str: ...
    def __len__(self) -> int: ...
    def draw(self, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Samples at the given rows of the training part, (N, *shape), float32: one-hot for text."""
        ...
