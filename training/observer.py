"""Looks at a generator during a run: samples of fixed latents, with the scores that are cheap to take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.alphabet import UNKNOWN, Alphabet, Ids
from model.branches import Branched
from model.labels import UNCONDITIONAL, Labels
from model.picture import sheet
from training.conditions import Asked, without
from training.data.arrays import Images, Points
from training.data.corpus import Corpus
from training.data.pairs import Sources
from training.evaluation.judges import POINTS, Judge
from training.evaluation.watch import Watch
from training.runs import write_whole, writing

SAMPLE_SEED = 0  # the latents of every look, and of `charwgan generate --seed 0` on the exported model
WATCHED = 1000  # strings in a look's scores
KEPT = 100  # strings of a look that are written down
SLICE = 256
SEEN = POINTS  # points or images in a look's scores
SHEET = 64  # images of a look that are kept


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


Given = TypeVar("Given", bound=Asked)


class Observer(Protocol):
    """Looks at a generator without changing anything, torch's random state included."""

    def look(self, generator: nn.Module) -> Look: ...


def observer_of(dataset: Corpus | Images | Points, latent: int, judge: Judge | None = None) -> Observer:
    """The observer for a kind of data; latent: Z.  judge: of points and images, for the scores of a look."""
    if isinstance(dataset, Corpus):
        return TextObserver(dataset, latent)
    if isinstance(dataset, Images):
        return ImageObserver(latent, judge, dataset.asked)
    return PointsObserver(dataset, latent, judge)


class _Scores:
    """The scores of a look's samples, each beside that of as many real ones, ``..._floor``; none without a judge."""

    def __init__(self, judge: Judge | None) -> None:
        self._judge = judge
        self._floor = {} if judge is None else _finite(judge.scores(judge.real(SEEN)))

    def of(self, samples: Iterable[NDArray[np.float32]]) -> dict[str, float]:
        """Of SEEN samples, in parts."""
        if self._judge is None:
            return {}
        found = _finite(self._judge.scores(np.concatenate([self._judge.seen(part) for part in samples])))
        return found | {f"{key}_floor": value for key, value in self._floor.items() if key in found}


def _finite(scores: Mapping[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in scores.items() if value is not None}


class ImageObserver:
    """A sheet of images, and which labels they have where images are labelled.

    Those that are made from pictures stand between these and the held-out images that belong to them.
    """

    def __init__(self, latent: int, judge: Judge | None = None, labels: Asked = UNCONDITIONAL) -> None:
        self._latent, self._judged, self._labels = latent, judge is not None, labels
        self._scores = _Scores(judge)

    def look(self, generator: nn.Module) -> Look:
        parts = generated(generator, SEEN if self._judged else SHEET, self._latent, labels=self._labels)
        first = next(parts)
        shown = first[:SHEET]
        if isinstance(self._labels, Sources):
            shown = self._labels.beside(shown)
        return Look(".png", sheet(shown), self._scores.of(chain([first], parts)))


class PointsObserver:
    """Generated points over real ones, those of each branch of a generator in its own colour."""

    def __init__(self, dataset: Points, latent: int, judge: Judge | None = None) -> None:
        self._units, self._latent, self._labels = dataset.units, latent, dataset.labels
        self._real = self._units.own(dataset.held_out[:SEEN])
        self._scores = _Scores(judge)

    def look(self, generator: nn.Module) -> Look:
        from training.drawing import density, scatter  # it takes a second, which no start should wait for

        points = generate(generator, SEEN, self._latent, labels=self._labels)
        branches = branches_of(generator)
        origins = branches.of_strings(SAMPLE_SEED, 0, SEEN) if branches else np.zeros(SEEN, dtype=np.intp)
        draw = density if points.shape[1] == 1 else scatter
        return Look(".png", draw(self._real, self._units.own(points), origins), self._scores.of([points]))


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
def generate(
    generator: nn.Module, n: int, latent: int, seed: int = SAMPLE_SEED, labels: Asked = UNCONDITIONAL
) -> NDArray[np.float32]:
    """Samples 0 .. n - 1 of a seed, (n, ...), by themselves.

    labels: or captions, of a conditional generator; each sample is of the one that it draws, or of the branch.
    """
    return np.concatenate(list(generated(generator, n, latent, seed, labels)))


@torch.no_grad()
def generated(
    generator: nn.Module, n: int, latent: int, seed: int = SAMPLE_SEED, labels: Asked = UNCONDITIONAL
) -> Iterator[NDArray[np.float32]]:
    """The same in parts, (N, ...)."""
    device = next(generator.parameters()).device
    for part in _latents(seed, n, latent, device, obeyed(generator, labels)):
        yield made_of(generator, part)


@torch.no_grad()
def made_of(generator: nn.Module, latents: Tensor) -> NDArray[np.float32]:
    """Samples by themselves, (N, ...), of what a generator takes, (N, Z + K)."""
    return without(generator(latents), int(getattr(generator, "labels", 0))).float().cpu().numpy()


@torch.no_grad()
def likeliest(generator: nn.Module, latents: Tensor, alphabet: Alphabet) -> Ids:
    """The likeliest symbols of what a generator makes of (N, Z + K), (N, T); the unknown character is never chosen."""
    probabilities = generator(latents)[:, :, : alphabet.size]
    probabilities[:, :, UNKNOWN] = -1.0
    return cast(Ids, probabilities.argmax(dim=2).cpu().numpy().astype(alphabet.dtype))


def obeyed(generator: nn.Module, labels: Given) -> Given | Labels:
    """Of the labels of the data, those that the generator makes samples of; of one that takes none its branches."""
    ignored = isinstance(generator, Branched) and generator.inputs == generator.latent
    return branches_of(generator) if ignored or not labels else labels


def branches_of(generator: nn.Module) -> Labels:
    """The branches of a generator that has several, as labels of equal shares; none of another."""
    return Labels.of_branches(int(getattr(generator, "branches", 0)))


@torch.no_grad()
def generate_ids(
    generator: nn.Module,
    n: int,
    latent: int,
    alphabet: Alphabet,
    seed: int = SAMPLE_SEED,
    labels: Labels = UNCONDITIONAL,
) -> Ids:
    """The likeliest symbols of strings 0 .. n - 1 of a seed, (n, T).

    labels: of a conditional generator; each string is of the one that it draws, or of the branch.
    """
    device = next(generator.parameters()).device
    parts = _latents(seed, n, latent, device, obeyed(generator, labels))
    return cast(Ids, np.concatenate([likeliest(generator, part, alphabet) for part in parts]))


def _latents(seed: int, n: int, latent: int, device: torch.device, labels: Asked = UNCONDITIONAL) -> Iterator[Tensor]:
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
