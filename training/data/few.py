"""Data of which a few samples have labels, and all others none: what semi-supervised games draw their batches of.

N batch, M training rows, m those that keep their label, K labels; C channels of a sample by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigurationError
from model.labels import UNCONDITIONAL, Labels
from training.conditions import Conditions, channel_axis, without

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from training.data.dataset import Dataset, Kind

Rows = NDArray[np.int64]


def balanced(labels: NDArray[np.integer], count: int, names: int, seed: int) -> Rows:
    """Which ``count`` of the rows of these labels (M,) are chosen, (m,): of each label equally many, give or take one.

    names: K.  A label that has fewer rows than its part gives all, and the others more.  seed: decides which rows.
    """
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(labels))
    drawn = labels[order]
    by_label = np.argsort(drawn, kind="stable")
    sizes = np.bincount(drawn, minlength=names)
    # How many of its label were drawn before each row.
    before = np.empty(len(labels), dtype=np.int64)
    before[by_label] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[np.argsort(before, kind="stable")[:count]]).astype(np.int64)


def parted(samples: Tensor, labels: int) -> tuple[Tensor, Tensor, Tensor]:
    """What ``FewLabelled`` draws, in its parts: unlabelled samples, labelled ones, the one-hot rows of these (N, K).

    labels: K.
    """
    axis = channel_axis(samples)
    own = (samples.shape[axis] - labels) // 2
    unlabelled, labelled = (samples.narrow(axis, start, own) for start in (0, own))
    return unlabelled, labelled, Conditions(labels).of(samples)


@dataclass(frozen=True)
class FewLabelled:
    """A ``Dataset`` of pairs: any sample of the data without its label, and after its channels a labelled one.

    base: data that is learned under its labels.  rows: of those samples that keep theirs, (m,).
    Every pair of the two is a row, and so both parts of a batch are drawn uniformly and apart from each other.
    """

    base: Dataset
    rows: Rows

    @classmethod
    def of(cls, base: Dataset, labelled: int, seed: int) -> FewLabelled:
        """labelled: m.  seed: of the choice, the data's.

        Raises ConfigurationError if there are not so many samples, or a label would have none.
        """
        positions = cast("NDArray[np.integer] | None", getattr(base, "train_labels", None))
        if positions is None or not base.labels:
            raise ConfigurationError("labelled needs data that is learned under its labels: name them by data.label")
        names, whole = len(base.labels), len(base)
        if not names <= labelled <= whole:
            raise ConfigurationError(
                f"labelled must be between {names}, one sample of each label, and {whole}, all that are learned, "
                f"got {labelled}"
            )
        return cls(base, balanced(np.asarray(positions), labelled, names, seed))

    @property
    def kind(self) -> Kind:
        return self.base.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, 2 V + K), (2 C + K, H, W) or (2 D + K,)."""
        *others, channels = self.base.shape if self.kind != "image" else self.base.shape[::-1]
        channels = 2 * channels - len(self.base.labels)
        return (*others, channels) if self.kind != "image" else (channels, *others[::-1])

    @property
    def digest(self) -> str:
        return self.base.digest

    @property
    def labels(self) -> Labels:
        """None that a generator would be given."""
        return UNCONDITIONAL

    @property
    def conditions(self) -> Conditions:
        return Conditions()

    def __len__(self) -> int:
        return len(self.base) * len(self.rows)

    def draw(self, rows: Rows, device: torch.device) -> Tensor:
        """As ``parted`` takes them apart."""
        import torch

        unlabelled = without(self.base.draw(rows // len(self.rows), device), len(self.base.labels))
        labelled = self.base.draw(self.rows[rows % len(self.rows)], device)
        return torch.cat([unlabelled, labelled], dim=channel_axis(labelled))
