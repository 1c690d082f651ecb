"""Points and images: data sets small enough to lie in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.given import Captions as Words
from model.given import Pictures
from model.labels import UNCONDITIONAL
from model.labels import Labels as Names
from model.latents import LABELS, latents, uniforms
from training.conditions import Asked, Conditions, beside
from training.data.pairs import Pair, Sources
from training.data.split import split_rows

if TYPE_CHECKING:
    import torch

    from training.configuration import DataConfig

Samples = NDArray[np.float32] | NDArray[np.uint8]
Labels = NDArray[np.uint16]


class Stored(Protocol):
    """Samples (N, *shape), float32 or uint8, that are taken by their numbers: an array, or what makes them then."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples before they are split, (N, *shape), with the position of each one's label, (N,), or none.

    notes: sentences on what was made of them.
    """

    name: str
    samples: Samples
    labels: Labels | None = None
    label_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Modes:
    """The Gaussians that points are drawn from, each as often: centres (K, D), standard deviations (K,) or one."""

    centres: NDArray[np.float32]
    sd: float | NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.centres)

    def draw(self, n: int, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Draw n points, (n, D), and say of which Gaussian each is, (n,)."""
        chosen = random.integers(0, len(self), n)
        sd = np.broadcast_to(self.sd, len(self))[chosen, np.newaxis]
        points = self.centres[chosen] + sd * random.standard_normal((n, self.centres.shape[1]))
        return points.astype(np.float32), chosen


@dataclass(frozen=True)
class Units:
    """A scale for the networks: they see (x - offset) / scale of a value x."""

    offset: float = 0.0
    scale: float = 1.0

    def own(self, seen: NDArray[Any]) -> NDArray[Any]:
        """Values as they were before they were scaled for the networks."""
        return self.offset + self.scale * seen


@dataclass(frozen=True, eq=False)
class Captions:
    """What each sample is learned under where that is more than a label: a row of K numbers.

    given: what they say, in which words, and whether a box follows.  train: (N, K).  held_out: (M, K).
    """

    given: Words
    train: NDArray[np.float32]
    held_out: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.train.shape[1])

    def chosen(self, seed: int, first: int, n: int) -> NDArray[np.int64]:
        """Of which held-out samples' captions samples first .. first + n - 1 of a seed are asked to be, (n,)."""
        return (uniforms(seed, first, n, 1, purpose=LABELS)[:, 0] * len(self.held_out)).astype(np.int64)

    def rows(self, seed: int, first: int, n: int, size: int) -> NDArray[np.float32]:
        """What a generator takes for these samples, (n, Z + K): latents of size Z, and held-out captions."""
        return np.hstack([latents(seed, first, n, size), self.held_out[self.chosen(seed, first, n)]])


@dataclass(frozen=True, eq=False)
class _Arrays:
    """What points and images share.

    digest: hex SHA-256 of both parts, their labels and their shapes.  notes: sentences on what was made of the data.
    conditioned: whether they are learned under their captions, or if they have none under their labels, whose K
    channels then follow those of a sample.
    """

    train: Stored
    held_out: NDArray[np.float32]
    digest: str
    train_labels: Labels | None = None
    held_out_labels: Labels | None = None
    label_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    conditioned: bool = False
    captions: Captions | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample: (D + K,) or (C + K, H, W)."""
        channels, *places = self.train.shape[1:]
        return (channels + self.conditions.channels, *places)

    @property
    def conditions(self) -> Conditions:
        """The channels of the captions or the labels, where they are learned under them."""
        return Conditions(len(self.captions or self.label_names)) if self.conditioned else Conditions()

    @property
    def asked(self) -> Asked:
        """What samples of a look are asked to be: of held-out captions, of labels, or nothing."""
        return self.captions if self.conditioned and self.captions else self.labels

    @property
    def given(self) -> Words | Pictures | None:
        """What a model must be given for each sample besides a latent and a label."""
        return self.captions.given if self.conditioned and self.captions else None

    @cached_property
    def labels(self) -> Names:
        """The labels that they are learned under, with the shares of the training part; else none."""
        if not self.conditioned or self.captions or self.train_labels is None:
            return UNCONDITIONAL
        counts = np.bincount(self.train_labels, minlength=len(self.label_names))
        return Names(self.label_names, counts / counts.sum())

    def __len__(self) -> int:
        return len(self.train)

    def own(self, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """The training samples at the given rows by themselves, float32."""
        import torch

        drawn = torch.from_numpy(self.train[rows]).to(device, non_blocking=True)
        return drawn if drawn.dtype == torch.float32 else drawn.float().div_(127.5).sub_(1.0)

    def draw(self, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """The training samples at the given rows, (N, *shape), float32."""
        import torch

        own = self.own(rows, device)
        if not self.conditioned or self.train_labels is None:
            return own
        if self.captions:
            return beside(own, torch.from_numpy(self.captions.train[rows]).to(device))
        marks = torch.from_numpy(self.train_labels[rows].astype(np.int64)).to(device)
        return beside(own, torch.nn.functional.one_hot(marks, len(self.label_names)).to(own.dtype))


@dataclass(frozen=True, eq=False)
class Points(_Arrays):
    """Points of a space: a ``Dataset`` of kind "points" and shape (D,), float32.

    modes: of a mixture of Gaussians, for counting which of them a generator reaches; else None.
    units: of the values before they were scaled; points and modes are as the networks see them.
    """

    modes: Modes | None = None
    units: Units = Units()

    @property
    def kind(self) -> Literal["points"]:
        return "points"


@dataclass(frozen=True, eq=False)
class Images(_Arrays):
    """Images: a ``Dataset`` of kind "image" and shape (C, H, W), values in [-1, 1].

    train: as stored; bytes stay bytes, a quarter of the memory, and become [-1, 1] when drawn.  held_out: float32.
    base: of stacks, the images that are their channels; else None.
    pair: what stands beside each, where it is to be made from another picture: then samples are (2 C, H, W).
    """

    base: Images | None = None
    pair: Pair | None = None

    @property
    def conditions(self) -> Conditions:
        """The channels of the picture beside an image, or as of all arrays."""
        return Conditions(self.train.shape[1], pictures=True) if self.pair else super().conditions

    @property
    def asked(self) -> Asked:
        """What images of a look are to be made from, or as of all arrays."""
        return Sources(self.held_out, self.pair) if self.pair else super().asked

    @property
    def given(self) -> Words | Pictures | None:
        """The picture that an image is to be made from, or as of all arrays."""
        return Pictures(self.train.shape[1:], self.pair.name) if self.pair else super().given

    def draw(self, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """The training images at the given rows, with what stands beside them."""
        import torch

        if self.pair is None:
            return super().draw(rows, device)
        return torch.cat([self.own(rows, device), self.pair.of(self.own(self.pair.rows(rows), device))], dim=1)

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
    return {**fields, "digest": digest.hexdigest(), "label_names": data.label_names, "notes": data.notes}
