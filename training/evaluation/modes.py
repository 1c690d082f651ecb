"""Which modes of the data samples reach, and how evenly: for a mixture of Gaussians, and for images by their labels.

N samples, K modes, D dimensions.  Divergences are in nats.  What is not finite is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import Modes

NEAR = 3.0  # standard deviations of a mode within which a sample is of high quality
LINE = np.linspace(-10, 130, 281)  # bins of 0.5, by which densities on a line are compared
SLICE = 1 << 16  # samples whose distances are taken at once

Scores = Mapping[str, float | None]

DEFINITIONS = {
    "modes": "modes that at least one sample reaches",
    "high_quality": "share of samples within 3 standard deviations of a mode",
    "reverse_kl": "KL of the samples' distribution over modes to the true one, nats",
    "forward_kl": "KL of the true distribution over modes to the samples', nats; - where a mode is missing: infinite",
    "density_kl": "KL of the samples' histogram to the data's in bins of 0.5, nats; bins without data are left out",
}


def divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """KL(p || q) of two distributions (K,), given as weights of any sum; infinite where p has what q lacks."""
    here = p > 0
    p, q = p[here] / p.sum(), q[here] / q.sum()
    return math.inf if (q == 0).any() else float(p @ np.log(p / q))


def coverage(counts: NDArray[np.int64], shares: NDArray[np.float64]) -> dict[str, float | None]:
    """modes, reverse_kl and forward_kl of how many samples each mode has, (K,); shares: of the data, (K,)."""
    found: dict[str, float | None] = {"modes": int(np.count_nonzero(counts)), "reverse_kl": None, "forward_kl": None}
    if counts.any():
        weights = counts.astype(np.float64)
        found["reverse_kl"] = _finite(divergence(weights, shares))
        found["forward_kl"] = _finite(divergence(shares, weights))
    return found


def reached(points: NDArray[np.float32], modes: Modes) -> NDArray[np.int64]:
    """How many points (N, D) are in each mode, (K,): those within NEAR standard deviations of their nearest.

    Distances are in standard deviations.  As in the code of Lin et al. 2018 ("PacGAN", MetricLogger), where the
    distribution over modes, too, is that of the samples of high quality alone.
    """
    counts = np.zeros(len(modes), dtype=np.int64)
    for start in range(0, len(points), SLICE):
        apart = points[start : start + SLICE, np.newaxis].astype(np.float64) - modes.centres
        distances = np.linalg.norm(apart, axis=2) / modes.sd
        near = distances.min(axis=1) < NEAR
        counts += np.bincount(distances.argmin(axis=1)[near], minlength=len(modes))
    return counts


def point_scores(points: NDArray[np.float32], modes: Modes) -> dict[str, float | None]:
    """modes, high_quality, reverse_kl and forward_kl of points (N, D) against equally frequent modes."""
    counts = reached(points, modes)
    found = coverage(counts, np.ones(len(modes)))
    return {"modes": found.pop("modes"), "high_quality": float(counts.sum() / len(points)), **found}


def density_kl(samples: NDArray[np.float64], data: NDArray[np.float64]) -> float | None:
    """KL of the histogram of samples to that of data, both (N,), over bins of 0.5 on (-10, 130).

    Bins without data, and what lies outside, are left out, as in the code of Ghosh et al. 2018 ("MAD-GAN", metric.py):
    what lies between modes is not punished here but by the share of high quality.  None where nothing is left.
    """
    generated, real = (np.histogram(values, LINE)[0].astype(np.float64) for values in (samples, data))
    generated[real == 0] = 0
    return divergence(generated, real) if generated.any() else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
