"""The fields that update rules follow: one that only turns, one that contracts, a saddle that comes to attract."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.game import Game
from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.games import COUPLING, ORIGIN, bilinear, descent, path, position, saddle
from training.lab.style import GREEN, RED, panels, plane, spots, streams, ticks
from training.updates import Consensus, Simultaneous, UpdateRule

At = Callable[[float, float], Game]
SIDE = 1.5
STRONG = 3.0  # gamma beyond 1 / sqrt(1 - c^2) = 1.15, where the saddle begins to attract
WEAK = 0.5


@figure(title="Fields of update rules", source="Mescheder, Nowozin, Geiger 2017")
def fields(lab: Lab) -> Drawn:
    """The field of the bilinear game, its consensus, and a saddle under a small and a large gamma."""
    shown: list[tuple[str, At, UpdateRule, str]] = [
        ("x y: the field turns", bilinear, Simultaneous(), "#0072B2"),
        ("x y: consensus, γ = 1", bilinear, Consensus(1.0), GREEN),
        (f"a saddle: γ = {WEAK:g} repels", saddle, Consensus(WEAK), GREEN),
        (f"the same: γ = {STRONG:g} attracts", saddle, Consensus(STRONG), RED),
    ]
    drawing, axes = panels(len(shown), width=2.6, height=2.75)
    at = ticks(SIDE, 9 if lab.quick else 25)
    for panel, (title, game, rule, colour) in zip(axes, shown, strict=True):
        u, v = np.moveaxis(np.array([[step_from(game, rule, x, y) for x in at] for y in at]), 2, 0)
        streams(panel, at, u, v, colour)
        plane(panel, SIDE, x="x", y="y")
        panel.set_title(title)
        spots(panel, (0.0, 0.0), hollow=game is saddle)
    content = np.sqrt(1 - COUPLING**2)
    for panel in axes[2:]:
        spots(panel, (content, COUPLING * content), (-content, -COUPLING * content))
    turning, pulled, weak, strong = (jacobian(game, rule) for _, game, rule, _ in shown)
    end = path(saddle(0.2, 0.2), Consensus(STRONG))[-1]
    claims = (
        Claim("The field of x y brings nobody nearer", "|divergence| at 0", abs(np.trace(turning)), "<", 1e-6),
        Claim("It is a curl field", "curl at 0", curl(turning), ">", 1.0),
        Claim("Its consensus contracts", "divergence at 0", float(np.trace(pulled)), "<", -1.0),
        Claim(f"At γ = {WEAK:g} the saddle repels", "largest real part of an eigenvalue", top(weak), ">", 0.0),
        Claim(f"At γ = {STRONG:g} it attracts", "largest real part of an eigenvalue", top(strong), "<", 0.0),
        Claim("Players then end where x is at the top of its own loss", "distance from 0 after 500 steps from "
              "(0.2, 0.2)", float(np.hypot(*end)), "<", 1e-6),
    )  # fmt: skip
    caption = (
        "Arrows are the steps that the rule takes from each place. A full dot is an equilibrium; the hollow one is "
        "another place where the field vanishes: a saddle of the flow, and a maximum of x⁴/4 − x²/2 + xy/2 − y²/2, "
        "although x minimises. The consensus term makes the first converge, and, if γ is beyond 1/√(1 − 1/4) = 1.15, "
        "the wrong place of the second attract."
    )
    return Drawn(drawing, caption, claims)


def step_from(game: At, rule: UpdateRule, x: float, y: float) -> NDArray[np.float64]:
    """The step that a rule takes from a place at step size 1, (2,)."""
    at = game(float(x), float(y))
    rule.play_round(at, descent(at, h=1.0), lambda: ORIGIN)
    step: NDArray[np.float64] = position(at) - np.array([x, y])
    return step


def jacobian(game: At, rule: UpdateRule, small: float = 1e-5) -> NDArray[np.float64]:
    """Of the step at the origin, (2, 2), by central differences."""
    columns = [
        (step_from(game, rule, small * x, small * y) - step_from(game, rule, -small * x, -small * y)) / (2 * small)
        for x, y in ((1, 0), (0, 1))
    ]
    return np.stack(columns, axis=1)


def curl(jacobian: NDArray[np.float64]) -> float:
    """D v_y / dx - d v_x / dy of a field of the plane."""
    return float(jacobian[1, 0] - jacobian[0, 1])


def top(jacobian: NDArray[np.float64]) -> float:
    """The largest real part of an eigenvalue: below 0, small steps come nearer."""
    return float(np.linalg.eigvals(jacobian).real.max())
