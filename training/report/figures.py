"""Figures as inline SVG that takes the page's text colour, so that it reads on light and on dark."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.report.read import Curve

POINTS = 300
FONT = "DejaVu Sans"  # comes with matplotlib
# matplotlib knows no "currentColor": this colour, used for nothing else, is exchanged for it afterwards.
INK = "#0a0b0c"
MODEL, REAL = "#3b82f6", "#e08a00"
STYLE: dict[Any, Any] = {
    "font.family": [FONT],
    "font.size": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "charwgan",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "text.usetex": False,
    "text.parse_math": False,
}


def line_figure(curves: Mapping[str, Curve], describe: str) -> str:
    """SVG of curves against rounds: the first the model's, others (a floor) dashed.  describe: for screen readers.

    A long curve is drawn as the mean of each of POINTS stretches, over the band from their least to their greatest.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 2.5), layout="constrained")
        axes = figure.add_subplot()
        for i, (name, curve) in enumerate(curves.items()):
            _draw_curve(axes, curve, MODEL if i == 0 else REAL, "-" if i == 0 else "--", name)
        axes.set_xlabel("rounds")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if len(curves) > 1:
            axes.legend(frameon=False)
        return _svg(figure, describe)


def bar_figure(values: Sequence[Any], real: Sequence[float], generated: Sequence[float], describe: str) -> str:
    """SVG of two histograms side by side: real and generated shares of each value; strings are labelled one by one."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.6), layout="constrained")
        axes = figure.add_subplot()
        x = np.arange(len(values))
        axes.bar(x - 0.2, real, 0.4, color=REAL, label="real")
        axes.bar(x + 0.2, generated, 0.4, color=MODEL, label="generated")
        axes.set_ylabel("share")
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.7, len(values) - 0.3)
        if all(isinstance(value, str) for value in values):
            labels = ["".join(map(glyph_label, value)) if len(value) > 1 else glyph_label(value) for value in values]
            axes.set_xticks(x, labels, rotation=90 if max(map(len, labels), default=0) > 1 else 0)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(20, integer=True))
        axes.legend(frameon=False)
        return _svg(figure, describe)


def glyph_label(character: str) -> str:
    """The character where the font can draw it by itself, else its code point as in U+1F600."""
    if len(character) == 1 and unicodedata.category(character)[0] not in "CMZ" and ord(character) in _glyphs():
        return character
    return " ".join(f"U+{ord(c):04X}" for c in character)


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FONT))).get_charmap())


def _draw_curve(axes: Axes, curve: Curve, colour: str, line: str, name: str) -> None:
    x, y = np.array(curve.rounds), np.array(curve.values)
    if x.size > POINTS:
        stretches = np.array_split(np.arange(x.size), POINTS)
        axes.fill_between(_each(np.mean, x, stretches), _each(np.min, y, stretches), _each(np.max, y, stretches),
                          color=colour, alpha=0.2, linewidth=0)  # fmt: skip
        x, y = _each(np.mean, x, stretches), _each(np.mean, y, stretches)
    axes.plot(x, y, line, color=colour, linewidth=1.4, label=name, marker="." if x.size < 30 else "")


def _each(take: Any, values: NDArray[np.float64], stretches: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    return np.array([take(values[stretch]) for stretch in stretches])


def _svg(figure: Figure, describe: str) -> str:
    out = StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Ids are the document's, and several figures share one: each gets its own prefix.
    prefix = re.sub(r"\W+", "-", describe)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    head = f'<svg role="img" aria-label="{html.escape(describe)}" {box.group() if box else ""} class="figure">'
    return (head + svg[svg.index(">") + 1 :]).replace(INK, "currentColor").replace("xlink:href", "href")
