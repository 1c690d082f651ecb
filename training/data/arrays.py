"""Points and images: data sets small enough to lie in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from model import labels as conditional
from training.data.split import split_rows

if TYPE_CHECKING:
    import torch

    from training.configuration import DataConfig

Samples = NDArray[np.float32] | NDArray[np.uint8]
Labels = NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples before they are split, (N, *shape), with the position of each one's label, (N,), or none."""

    name: str
    samples: Samples
    labels: Labels | None = None
    label_names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Modes:
    """The Gaussians that points are drawn from: centres (K, D) and their common standard deviation."""

    centres: NDArray[np.float32]
    sd: float


@dataclass(frozen=True, eq=False)
class _Arrays:
    """What points and images share.  digest: hex SHA-256 of both parts, their labels and their shapes."""

    train: Samples
    held_out: NDArray[np.float32]
    digest: str
    train_labels: Labels | None = None
    held_out_labels: Labels | None = None
    label_names: tuple[str, ...] = ()
    labels: ClassVar[conditional.Labels] = conditional.Labels()  # only text is learned under its labels

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample: (D,) or (C, H, W)."""
        return self.train.shape[1:]

    def __len__(self) -> int:
        return len(self.train)

    def draw(self, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """The training samples at the given rows, (N, *shape), float32."""
        import torch

        drawn = torch.from_numpy(self.train[rows]).to(device, non_blocking=True)
        return drawn if drawn.dtype == torch.float32 else drawn.float().div_(127.5).sub_(1.0)


@dataclass(frozen=True, eq=False)
class Points(_Arrays):
    """Points of a space: a ``Dataset`` of kind "points" and shape (D,), float32.

    modes: of a mixture of Gaussians, for counting which of them a generator reaches; else None.
    """

    modes: Modes | None = None

    @property
    def kind(self) -> Literal["points"]:
        return "points"


@dataclass(frozen=True, eq=False)
class Images(_Arrays):
    """Images: a ``Dataset`` of kind "image" and shape (C, H, W), values in [-1, 1].

    train: as stored; bytes stay bytes, a quarter of the memory, and become [-1, 1] when drawn.  held_out: float32.
    """

    @property
    def kind(self) -> Literal["image"]:
        return "image"


def scaled(samples: Samples) -> NDArray[np.float32]:
    """Samples as float32: bytes 0 to 255 become -1 to 1, floats stay as they are."""
    if samples.dtype == np.uint8:
        return np.asarray(samples / np.float32(127.5) - np.float32(1.0), dtype=np.float32)
    return np.asarray(samples, dtype=np.float32)


def split_samples(data: Labelled, config: DataConfig) -> dict[str, Any]:
    """The fields of Points or Images: both parts, their labels and the digest.

    Raises DataError naming the source if there are fewer than two samples.
    """
    held = split_rows(len(data.samples), config.held_out, config.seed, data.name)
    parts = {
        "train": data.samples[~held],
        "held_out": data.samples[held],
        "train_labels": None if data.labels is None else data.labels[~held],
        "held_out_labels": None if data.labels is None else data.labels[held],
    }
    digest = hashlib.sha256(json.dumps(data.label_names).encode())
    for name, part in parts.items():
        if part is not None:
            digest.update(f"{name} {part.dtype.str} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
    fields = {**parts, "held_out": scaled(data.samples[held])}
    return {**fields, "digest": digest.hexdigest(), "label_names": data.label_names}
