"""Images of three channels, each an image of its own: the data set of a thousand modes (Metz et al. 2017, 3.3.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigurationError
from model.latents import uniforms
from training.data.arrays import Images, Labels, Stored, scaled

if TYPE_CHECKING:
    from training.configuration import DataConfig

CHANNELS = 3
STACKS = 128_000  # as many as Lin et al. 2018 train on
MOST = 40  # labels whose stacks 16 bits can tell apart
_TRAIN, _HELD_OUT = 0x5354_4143_4B53_0001, 0x5354_4143_4B53_0002


@dataclass(frozen=True, eq=False)
class Stacks:
    """Stacks (N, 3, H, W), made when they are asked for: channel c of row i is images[chosen[i, c]].

    images: (M, 1, H, W).  chosen: (N, 3).
    """

    images: Stored
    chosen: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.chosen.shape, *self.images.shape[2:])

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        return self.images[self.chosen[rows]].squeeze(-3)


def stacked(base: Images, config: DataConfig) -> Images:
    """STACKS stacks of three training images of one channel, drawn by data.seed with replacement.

    Labels are those of the three, "3 1 4".  Raises ConfigurationError for other images, or more than MOST labels.
    """
    if base.shape[0] != 1:
        raise ConfigurationError(
            f"data.stack makes the channels of an image of three of one channel, and these have {base.shape[0]}: "
            "leave it out"
        )
    names = base.label_names
    if len(names) > MOST:
        raise ConfigurationError(f"data.stack takes images of at most {MOST} labels, got {len(names)}: their stacks")
    chosen = choose_stacks(len(base), STACKS, config.seed, _TRAIN)
    held_out = choose_stacks(len(base.held_out), len(base.held_out), config.seed, _HELD_OUT)
    note = f"Stacks of three of {len(base)} images, of {len(names) ** CHANNELS} modes."
    return Images(
        Stacks(base.train, chosen),
        scaled(Stacks(base.held_out, held_out)[:]),
        hashlib.sha256(f"stacks {STACKS} {config.seed} {base.digest}".encode()).hexdigest(),
        stack_labels(base.train_labels, chosen, len(names)),
        stack_labels(base.held_out_labels, held_out, len(names)),
        tuple(f"{a} {b} {c}" for a in names for b in names for c in names),
        (*base.notes, note if names else "Their modes cannot be counted without labels: data.label names them."),
        base=base,
    )


def choose_stacks(images: int, n: int, seed: int, purpose: int) -> NDArray[np.int64]:
    """Three of so many images for each of n stacks, (n, 3); row i depends on (seed, purpose, i) alone."""
    return (uniforms(seed, 0, n, CHANNELS, purpose=purpose) * images).astype(np.int64)


def stack_labels(labels: Labels | None, chosen: NDArray[np.int64], count: int) -> Labels | None:
    """The position of each stack's label among count^3, (N,): its channels' are digits to the base count."""
    if labels is None:
        return None
    return (labels[chosen].astype(np.int64) @ (count ** np.arange(CHANNELS)[::-1])).astype(np.uint16)
