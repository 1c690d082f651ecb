"""Pictures of samples: points of the plane, a density on a line; images beneath others.  N samples; PNG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.picture import SIDE

NAMED = 10  # branches that a legend names
BINS = 140
GREY = "0.7"

Origins = NDArray[np.intp]


def beneath(images: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (N, C, H, W) in the order of a sheet on which each row is followed by that of as many others."""
    pairs = zip(_rows(images), _rows(others), strict=True)
    return np.concatenate([row for pair in pairs for row in pair])


def _rows(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """In whole rows of SIDE; what is over is left out."""
    return [images[i : i + SIDE] for i in range(0, len(images) - SIDE + 1, SIDE)]


def scatter(real: NDArray[np.float32], fake: NDArray[np.float32], origins: Origins) -> bytes:
    """Generated points (N, D) over real ones, first two dimensions.  origins: of which branch each is, (N,)."""
    figure, axes = _frame(aspect="equal")
    axes.scatter(real[:, 0], real[:, 1], s=3, label="real", color=GREY)
    for branch, name, colour in _branches(origins):
        points = fake[origins == branch]
        axes.scatter(points[:, 0], points[:, 1], s=3, label=name, color=colour)
    return _png(figure)


def density(real: NDArray[np.float32], fake: NDArray[np.float32], origins: Origins) -> bytes:
    """Histograms of generated values (N, 1), those of each branch on top of the others', over that of real ones.

    The axis is that of the real ones and a tenth on either side; values beyond are not seen.
    """
    figure, axes = _frame()
    low, high = float(real.min()), float(real.max())
    beyond = (high - low or 1.0) / 10
    bins = np.linspace(low - beyond, high + beyond, BINS).tolist()
    axes.hist(real[:, 0], bins, weights=np.full(len(real), len(fake) / len(real)), label="real", color=GREY)
    parts = list(_branches(origins))
    values = [fake[origins == branch, 0] for branch, _, _ in parts]
    names, colours = [name for _, name, _ in parts], [colour for _, _, colour in parts]
    axes.hist(values, bins, stacked=True, histtype="step", label=names, color=colours)
    return _png(figure)


def _branches(origins: Origins) -> list[tuple[int, str, Any]]:
    """Each branch with a name for the legend, empty where there are too many, and its colour."""
    found = [int(branch) for branch in np.unique(origins)]
    if len(found) == 1:
        return [(found[0], "generated", "tab:blue")]
    colours = colormaps["tab10"] if len(found) <= NAMED else colormaps["hsv"].resampled(len(found) + 1)
    names = [f"generator {branch + 1}" if len(found) <= NAMED else "" for branch in found]
    return [(branch, name, colours(i)) for i, (branch, name) in enumerate(zip(found, names, strict=True))]


def _frame(**options: object) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4, 4), layout="constrained")
    return figure, figure.add_subplot(**options)


def _png(figure: Figure) -> bytes:
    figure.legend(loc="outside lower center", ncols=3, fontsize="x-small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
