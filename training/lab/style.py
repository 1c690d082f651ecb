"""One look for all figures: a white page, few lines, colours that the colour-blind tell apart."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Okabe and Ito 2008.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, INK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#222222",
)  # fmt: skip
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, YELLOW, INK)
PALE = "#B8B8B8"  # real samples, and what is only there for comparison

STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "text.color": INK,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#000000",
    "grid.alpha": 0.08,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.usetex": False,
    "savefig.dpi": 120,
}

Axis = NDArray[np.float64]


def panels(columns: int, rows: int = 1, *, width: float = 2.9, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A figure of panels, row by row; width, height: of one, in inches."""
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, list(np.atleast_1d(cast(Any, figure.subplots(rows, columns))).flat)


def plane(axes: Axes, side: float, *, x: str, y: str) -> None:
    """A square piece of a plane around the origin, equal units on both axes."""
    axes.set(xlim=(-side, side), ylim=(-side, side), xlabel=x, ylabel=y)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    axes.grid(visible=False)


def ticks(side: float, n: int) -> Axis:
    """N places from -side to side."""
    return np.linspace(-side, side, n)


def mesh(side: float, n: int) -> NDArray[np.float32]:
    """N x n places over a square around the origin, row by row from the lowest, (n * n, 2)."""
    return np.stack(np.meshgrid(ticks(side, n), ticks(side, n)), axis=-1).reshape(-1, 2).astype(np.float32)


def dots(axes: Axes, points: NDArray[Any], **look: Any) -> None:
    """Points (N, 2) of a plane."""
    axes.scatter(points[:, 0], points[:, 1], **look)


def streams(axes: Axes, at: Axis, u: Axis, v: Axis, colour: str = BLUE) -> None:
    """Stream lines of the field (u, v), each (n, n) with y along the first axis, over the square of ``at``."""
    speed = np.hypot(u, v)
    axes.streamplot(
        at, at, u, v, color=colour, linewidth=0.5 + np.sqrt(speed / speed.max()), density=1.1, arrowsize=0.8
    )


def spots(axes: Axes, *points: tuple[float, float], hollow: bool = False, label: str | None = None) -> None:
    """Marks of places where a field vanishes."""
    face = "white" if hollow else INK
    dots(axes, np.array(points), s=34, zorder=5, facecolor=face, edgecolor=INK, label=label)
