"""Looks at a generator during a run: samples of fixed latents and, for text, the light scores."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.alphabet import UNKNOWN, Alphabet, Ids
from model.labels import UNCONDITIONAL, Labels
from training.data.arrays import Images, Points
from training.data.corpus import Corpus
from training.evaluation.watch import Watch
from training.runs import write_whole, writing

SAMPLE_SEED = 0  # the latents of every look, and of `charwgan generate --seed 0` on the exported model
WATCHED = 1000  # strings in a look's scores
KEPT = 100  # strings of a look that are written down
SLICE = 256
SHEET_SIDE = 8  # images along each side of a sheet
POINTS_SHOWN = 2500


@dataclass(frozen=True)
class Look:
    """What was seen.  samples: a file's suffix and contents; lines: strings for the display; alarm: a warning."""

    suffix: str
    samples: bytes
    scores: dict[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    alarm: str | None = None

    def save(self, folder: Path, number: int) -> None:
        """Write the samples as ``NNNNNNNN.txt`` or ``.png``, named by the round."""
        path = folder / f"{number:08d}{self.suffix}"
        with writing(path, "; continue with --resume"):
            folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.samples)


class Observer(Protocol):
    """Looks at a generator without changing anything, torch's random state included."""

    def look(self, generator: nn.Module) -> Look: ...


def observer_of(dataset: Corpus | Images | Points, latent: int) -> Observer:
    """The observer for a kind of data; latent: Z."""
    if isinstance(dataset, Corpus):
        return TextObserver(dataset, latent)
    return ImageObserver(latent) if isinstance(dataset, Images) else PointsObserver(dataset, latent)


@dataclass(frozen=True)
class ImageObserver:
    """A sheet of images."""

    latent: int

    def look(self, generator: nn.Module) -> Look:
        images = generate(generator, SHEET_SIDE**2, self.latent)
        return Look(".png", sheet(images))


@dataclass(frozen=True)
class PointsObserver:
    """Generated points over real ones, in the first two dimensions."""

    dataset: Points
    latent: int

    def look(self, generator: nn.Module) -> Look:
        points = generate(generator, POINTS_SHOWN, self.latent)
        return Look(".png", scatter(self.dataset.held_out, points))


class TextObserver:
    """Strings with their light scores and the collapse alarm."""

    def __init__(self, corpus: Corpus, latent: int) -> None:
        self._alphabet, self._latent, self._labels = corpus.alphabet, latent, corpus.labels
        self._watch = Watch(corpus.train, corpus.held_out, corpus.alphabet, hashes=corpus.train_hashes, n=WATCHED)

    def look(self, generator: nn.Module) -> Look:
        strings = generate_texts(generator, WATCHED, self._latent, self._alphabet, labels=self._labels)
        scores = self._watch.scores(self._alphabet.encode(strings))
        written = "".join(line + "\n" for line in strings[:KEPT]).encode()
        return Look(".txt", written, scores, tuple(strings[:KEPT]), self._watch.alarm(scores))


@torch.no_grad()
def generate(generator: nn.Module, n: int, latent: int, seed: int = SAMPLE_SEED) -> NDArray[np.float32]:
    """Samples 0 .. n - 1 of a seed, (n, ...), in slices."""
    device = next(generator.parameters()).device
    return np.concatenate([generator(part).cpu().numpy() for part in _latents(seed, n, latent, device)])


@torch.no_grad()
def generate_ids(
    generator: nn.Module,
    n: int,
    latent: int,
    alphabet: Alphabet,
    seed: int = SAMPLE_SEED,
    labels: Labels = UNCONDITIONAL,
) -> Ids:
    """The likeliest symbols of strings 0 .. n - 1 of a seed, (n, T); the unknown character is never chosen.

    labels: of a conditional generator; each string is of the one that it draws.
    """
    device = next(generator.parameters()).device
    parts = []
    for part in _latents(seed, n, latent, device, labels):
        probabilities = generator(part)[:, :, : alphabet.size]
        probabilities[:, :, UNKNOWN] = -1.0
        parts.append(probabilities.argmax(dim=2).cpu().numpy())
    return cast(Ids, np.concatenate(parts).astype(alphabet.dtype))


def _latents(seed: int, n: int, latent: int, device: torch.device, labels: Labels = UNCONDITIONAL) -> Iterator[Tensor]:
    for first in range(0, n, SLICE):
        yield torch.from_numpy(labels.rows(seed, first, min(SLICE, n - first), latent)).to(device)


def generate_texts(
    generator: nn.Module,
    n: int,
    latent: int,
    alphabet: Alphabet,
    seed: int = SAMPLE_SEED,
    labels: Labels = UNCONDITIONAL,
) -> list[str]:
    """The strings that the exported model gives for a seed."""
    return alphabet.decode(generate_ids(generator, n, latent, alphabet, seed, labels))


def sheet(images: NDArray[np.float32]) -> bytes:
    """A PNG of images (N, C, H, W) in [-1, 1], in rows of SHEET_SIDE, grey for one channel."""
    from matplotlib.image import imsave

    rows = [np.concatenate(list(images[i : i + SHEET_SIDE]), axis=2) for i in range(0, len(images), SHEET_SIDE)]
    grid = np.concatenate(rows, axis=1).transpose(1, 2, 0) * 0.5 + 0.5
    grid = np.repeat(np.repeat(grid.clip(0, 1), 4, axis=0), 4, axis=1)
    buffer = io.BytesIO()
    imsave(buffer, np.repeat(grid, 3, axis=2) if grid.shape[2] == 1 else grid[:, :, :3], format="png")
    return buffer.getvalue()


def scatter(real: NDArray[np.float32], fake: NDArray[np.float32]) -> bytes:
    """A PNG of generated points (N, D) over real ones, first two dimensions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    for points, label, colour in ((real, "real", "0.7"), (fake, "generated", "tab:blue")):
        axes.scatter(points[:, 0], points[:, min(1, points.shape[1] - 1)], s=3, label=label, color=colour)
    axes.legend(loc="upper right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
