"""How like generated samples are to real ones in some features: Frechet distance, precision, recall; classifier score.

N, M samples, F features, K labels.  Features are those of the classifier that is trained on the spot, the coordinates
of points, or a user's own.  Scores in the eyes of our classifier have its name, and are not to be compared with those
in Inception's.  All of them depend on the number of samples, so that only what was taken of equally many compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST = 5000  # samples in a set
NEIGHBOURS = 3  # k, as in Kynkaanniemi et al. 2019
SLICE = 1024  # samples whose distances to all others are held at once
ROUNDING = 1e-12  # of squared lengths, below which a squared distance is one of two equal samples

Values = NDArray[Any]

DEFINITIONS = {
    "classifier_score": "exp of the mean KL of the classifier's p(label | sample) to its mean; at most the labels",
    "classifier_frechet": "Frechet distance of Gaussians of the classifier's last hidden features; high for small n",
    "precision": "share of samples within reach of a real one's 3rd nearest neighbour, in those features",
    "recall": "share of real samples within reach of a sample's 3rd nearest neighbour, in those features",
}


def classifier_score(probabilities: Values) -> float:
    """Exp of the mean of KL(p(label | sample) || p(label)) over rows (N, K), each of which sums to 1.

    1 where all samples look alike, at most K.  What the Inception score is of photographs, Salimans et al. 2016,
    section 4.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    mean = np.broadcast_to(p.mean(axis=0), p.shape)
    there = p > 0
    return math.exp(float((p[there] * np.log(p[there] / mean[there])).sum()) / len(p))


def frechet_distance(one: Values, other: Values) -> float:
    """Squared Frechet distance of Gaussians with the means and covariances of features (N, F) and (M, F).

    ||m_1 - m_2||^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)).  Heusel et al. 2017, Eq. 6.  Too large by what the estimates of
    few samples err.  Raises ValueError for fewer than two samples.

    With X = QR of centred features, C is R'R / (N - 1), and the eigenvalues of C_1 C_2 are the squared singular values
    of R_1 R_2' / ((N - 1)(M - 1))^(1/2): no root of a matrix is taken, so covariances may be singular.
    """
    if min(len(one), len(other)) < 2:
        raise ValueError(f"a covariance needs at least 2 samples, got {len(one)} and {len(other)}")
    means, roots = zip(*(_moments(features) for features in (one, other)), strict=True)
    common = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    spread = sum(float(np.square(root).sum()) for root in roots) - 2 * float(common)
    # Below 0 it is by rounding alone.
    return float(np.square(means[0] - means[1]).sum()) + max(0.0, spread)


def precision_recall(real: Values, generated: Values, k: int = NEIGHBOURS) -> tuple[float, float]:
    """The share of generated samples that lie among real ones, and of real ones that lie among generated ones.

    real, generated: features (N, F) and (M, F).  A sample lies among those of a set if it is within the distance of
    one of them to its k-th nearest neighbour in the set.  Kynkaanniemi et al. 2019, Eq. 1 and 2.
    Raises ValueError if one of the sets has no k-th neighbour.
    """
    if min(len(real), len(generated)) <= k:
        raise ValueError(f"the neighbour of number {k} needs more samples, got {len(real)} and {len(generated)}")
    centre = np.asarray(real, dtype=np.float64).mean(axis=0)  # near which products lose least to cancellation
    real, generated = real - centre, generated - centre
    reach, reach_of_generated = _reach(real, k), _reach(generated, k)
    precise, recalled = np.zeros(len(generated), dtype=bool), np.zeros(len(real), dtype=bool)
    for rows, squares in _squares(generated, real):
        precise[rows] = (squares <= reach).any(axis=1)
        recalled |= (squares <= reach_of_generated[rows, np.newaxis]).any(axis=0)
    return float(precise.mean()), float(recalled.mean())


def _moments(features: Values) -> tuple[Values, Values]:
    """The mean (F,) and a root R of the covariance R'R, (min(N, F), F)."""
    values = np.asarray(features, dtype=np.float64)
    mean = values.mean(axis=0)
    root = cast(Values, np.linalg.qr(values - mean, mode="r"))
    return mean, root / math.sqrt(len(values) - 1)


def _reach(samples: Values, k: int) -> Values:
    """The squared distance of each of (N, F) to its k-th nearest neighbour, (N,)."""
    # The nearest is the sample itself.
    return np.concatenate([np.partition(squares, k, axis=1)[:, k] for _, squares in _squares(samples, samples)])


def _squares(one: Values, other: Values) -> Iterator[tuple[slice, Values]]:
    """Squared distances of some of (N, F) to all of (M, F), (SLICE, M), and which of them these are."""
    lengths = np.square(other).sum(axis=1)
    for start in range(0, len(one), SLICE):
        rows = slice(start, start + SLICE)
        both = np.square(one[rows]).sum(axis=1)[:, np.newaxis] + lengths
        squares = both - 2 * (one[rows] @ other.T)
        squares[squares < ROUNDING * both] = 0
        yield rows, squares


@dataclass(frozen=True)
class Likeness:
    """Two sets of real samples with none in common, in features (M, F): one to hold against, the other as its floor.

    features: of samples (N, ...), (N, F).  probabilities: of the labels that a classifier reads from features, (N, K);
    None where there is none, and then precision and recall alone are scored.
    """

    reference: Values
    floor: Values
    features: Callable[[Values], Values]
    probabilities: Callable[[Values], Values] | None = None

    @property
    def headings(self) -> dict[str, str]:
        """Of the scores, for a table of text."""
        told = {"classifier_score": "clsf\nscore", "classifier_frechet": "clsf\nFrech"} if self.probabilities else {}
        return {**told, "precision": "prec\nk = 3", "recall": "rec\nk = 3"}

    def scores(self, features: Values) -> dict[str, float | None]:
        """Scores of features (N, F) against the first N of the reference; None where they are not defined."""
        real = self.reference[: len(features)]
        if len(features) <= NEIGHBOURS or not np.isfinite(features).all():
            return dict.fromkeys(self.headings)
        found: dict[str, float | None] = {}
        if self.probabilities:
            found["classifier_score"] = classifier_score(self.probabilities(features))
            found["classifier_frechet"] = frechet_distance(real, features)
        found["precision"], found["recall"] = precision_recall(real, features)
        return found

    def note(self, n: int) -> str:
        """What the scores of n samples are of, in a sentence."""
        where = "the last hidden features of that classifier" if self.probabilities else "the points themselves"
        return (
            f"prec, rec{', clsf' * bool(self.probabilities)}: of {n} samples against {n} training ones, in {where}; "
            "the row real has as many others of these, and is what there is to reach at this n."
        )


def scores_in(
    features: Callable[[Tensor], Tensor], real: Values, generated: Values, *, slice_size: int = 256
) -> dict[str, float]:
    """Frechet distance, precision and recall of samples in features of one's own, such as Inception's.

    features: samples (n, ...), as the networks see them, to (n, F); it is given at most ``slice_size`` at a time.
    real, generated: (N, ...) and (M, ...).  Raises ValueError for fewer than four of either.
    """
    one, other = (_in_slices(features, samples, slice_size) for samples in (real, generated))
    precision, recall = precision_recall(one, other)
    return {"frechet": frechet_distance(one, other), "precision": precision, "recall": recall}


@torch.no_grad()
def _in_slices(features: Callable[[Tensor], Tensor], samples: Values, size: int) -> Values:
    parts = (torch.from_numpy(samples[i : i + size]) for i in range(0, len(samples), size))
    return np.concatenate([features(part).double().cpu().numpy() for part in parts])


def disjoint(count: int, most: int, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of two sets of equally many of ``count`` samples, at most so many each, and none in both."""
    rows, size = random.permutation(count), min(most, count // 2)
    return rows[:size], rows[size : 2 * size]
