"""Points and images against what is known of their data: the modes of a mixture, the labels of images.

N samples, K modes.  A judge keeps of samples only what it needs for their scores, so that there may be very many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from model.latents import uniforms
from training.data.arrays import Images, Modes, Points, scaled
from training.data.corpus import Corpus
from training.data.stacks import CHANNELS
from training.evaluation.classifier import Classifier, classifier_of
from training.evaluation.likeness import MOST, Likeness, Values, disjoint
from training.evaluation.modes import coverage, density_kl, point_scores, reached

POINTS = 2500  # as in Lin et al. 2018
LINE_POINTS = 100_000  # of one dimension, whose histogram has many bins; Ghosh et al. 2018 take 2^20
STACKED = 26_000  # as in Lin et al. 2018
IMAGES = 5000
SLICE = 1024
_REAL = 0x5245_414C_0000_0001  # the purpose of real samples' random numbers

Seen = NDArray[Any]


class Judge(Protocol):
    """Scores samples of one kind of data.

    n: samples in a table where nobody says otherwise.  headings: of the scores, for a table of text.
    names: of the modes, if they are few.  facts: on the judge itself, for those who read the scores.
    likeness: to what a table holds samples besides, None for nothing; too slow for looks.
    """

    n: int
    headings: dict[str, str]
    names: tuple[str, ...]
    facts: dict[str, Any]

    @property
    def likeness(self) -> Likeness | None: ...

    def seen(self, samples: NDArray[np.float32]) -> Seen:
        """What is needed of samples (N, ...) for their scores, (N, ...)."""
        ...

    def real(self, n: int) -> Seen:
        """The same of n real samples, always the same ones."""
        ...

    def scores(self, seen: Seen) -> dict[str, float | None]:
        """Scores by name, each in ``headings``."""
        ...

    def shares(self, seen: Seen) -> NDArray[np.float64]:
        """Of the samples, those in each mode, (K,)."""
        ...

    def notes(self) -> list[str]:
        """How to read the scores, in sentences."""
        ...


class PointsJudge:
    """Counts the Gaussians that points reach, and compares histograms on a line."""

    def __init__(self, points: Points, modes: Modes) -> None:
        self._points, self._modes = points, modes
        self._line = modes.centres.shape[1] == 1
        self.n = LINE_POINTS if self._line else POINTS
        self.headings = {"modes": f"modes\nof {len(modes)}", "high_quality": "high\nqual", "reverse_kl": "KL\nrev",
                         "forward_kl": "KL\nfwd"} | ({"density_kl": "KL\nhist"} if self._line else {})  # fmt: skip
        self.names = tuple(f"{i}" for i in range(1, len(modes) + 1))
        self.facts: dict[str, Any] = {}

    @cached_property
    def likeness(self) -> Likeness:
        return _likeness(self._points, lambda points: points)

    def seen(self, samples: NDArray[np.float32]) -> Seen:
        return samples

    def real(self, n: int) -> Seen:
        return self._modes.draw(n, np.random.Generator(np.random.Philox(key=np.array([0, _REAL], dtype=np.uint64))))[0]

    def scores(self, seen: Seen) -> dict[str, float | None]:
        found = point_scores(seen, self._modes)
        if self._line:
            own = self._points.units.own
            found["density_kl"] = density_kl(own(seen)[:, 0], own(self._points.train[:])[:, 0])
        return found

    def shares(self, seen: Seen) -> NDArray[np.float64]:
        return reached(seen, self._modes) / len(seen)

    def notes(self) -> list[str]:
        return [
            "A mode counts if at least one sample lies within 3 standard deviations of its centre; high qual: the "
            "share of samples that do. KL rev and fwd are of the distribution over modes of those samples alone.",
            *["KL hist: of the samples' histogram to the data's, bins of 0.5, those without data left out."]
            * self._line,
        ]


class ImagesJudge:
    """Counts the labels that images have in the eyes of a classifier; of stacks, those of three channels together."""

    def __init__(self, images: Images, classifier: Classifier) -> None:
        self._base, self._classifier = images.base or images, classifier
        self._channels = CHANNELS if images.base else 1
        self.n = STACKED if images.base else IMAGES
        labels = self._base.train_labels
        assert labels is not None
        counts = np.bincount(labels, minlength=len(self._base.label_names)).astype(np.float64)
        self._shares = counts / counts.sum()
        for _ in range(self._channels - 1):
            self._shares = np.outer(self._shares, counts / counts.sum()).ravel()
        self.headings = {"modes": f"modes\nof {len(self._shares)}", "reverse_kl": "KL\nrev", "forward_kl": "KL\nfwd"}
        self.names = self._base.label_names if self._channels == 1 else ()
        self.facts = {"held_out_accuracy": classifier.accuracy, "held_out_images": classifier.checked}

    @cached_property
    def likeness(self) -> Likeness | None:
        """None for stacks, which are there to count modes."""
        looker = self._classifier
        return None if self._channels > 1 else _likeness(self._base, looker.features, looker.probabilities)

    def seen(self, samples: NDArray[np.float32]) -> Seen:
        """The label of each image, or of each stack."""
        count = len(self._base.label_names)
        planes = samples.reshape(-1, *self._base.shape) if self._channels > 1 else samples
        digits = self._classifier.labels(planes).reshape(len(samples), -1)
        return digits @ count ** np.arange(self._channels)[::-1]

    def real(self, n: int) -> Seen:
        """Of training images, drawn with replacement: what a generator would have that gives the data itself."""
        rows = (uniforms(0, 0, n, self._channels, purpose=_REAL) * len(self._base)).astype(np.int64)
        parts = (self._base.train[part].reshape(len(part), -1, *self._base.shape[1:]) for part in _slices(rows))
        return np.concatenate([self.seen(scaled(part)) for part in parts])

    def scores(self, seen: Seen) -> dict[str, float | None]:
        return coverage(np.bincount(seen, minlength=len(self._shares)), self._shares)

    def shares(self, seen: Seen) -> NDArray[np.float64]:
        return np.bincount(seen, minlength=len(self._shares)) / len(seen)

    def notes(self) -> list[str]:
        return [
            f"Labels are told by a classifier of the {len(self._base)} training images, "
            f"right on {self._classifier.accuracy:.1%} of {self._classifier.checked} held-out ones; "
            "KL is between the samples' distribution over "
            f"{'the labels of three channels' if self._channels > 1 else 'labels'} and that of the training images."
        ]


def judge_of(
    dataset: Corpus | Points | Images,
    device: torch.device,
    run: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Judge | None:
    """The judge of points with known modes, or of images with labels; None for others, and for text.

    run: the folder that keeps the classifier.  say: is told of one that is trained now.
    """
    if isinstance(dataset, Corpus):
        return None
    if isinstance(dataset, Points):
        return PointsJudge(dataset, dataset.modes) if dataset.modes else None
    dataset = replace(dataset, conditioned=False, pair=None)  # it looks at images by themselves
    base = dataset.base or dataset
    if base.train_labels is None:
        return None
    started = perf_counter()
    classifier, new = classifier_of(base, device, run)
    if new and say:
        say(
            f"A classifier of {len(base.label_names)} labels, to count modes by: right on {classifier.accuracy:.1%} of "
            f"{classifier.checked} held-out images, trained in {perf_counter() - started:.1f} s."
        )
    return ImagesJudge(dataset, classifier)


def _likeness(
    dataset: Points | Images,
    features: Callable[[Values], Values],
    probabilities: Callable[[Values], Values] | None = None,
) -> Likeness:
    """Two sets of training samples, always the same ones; arguments as of ``Likeness``."""
    random = np.random.Generator(np.random.Philox(key=np.array([1, _REAL], dtype=np.uint64)))
    reference, floor = (
        np.concatenate([features(scaled(dataset.train[part])) for part in _slices(rows)] or [np.zeros((0, 1))])
        for rows in disjoint(len(dataset), MOST, random)
    )
    return Likeness(reference, floor, features, probabilities)


def _slices(rows: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
    return (rows[start : start + SLICE] for start in range(0, len(rows), SLICE))
