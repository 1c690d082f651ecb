"""What a critic sees of the data under weight clipping and under the penalty: its level sets.

Gulrajani et al. 2017, Figure 1 (a): critics are trained "to optimality" against a generator held at the real data plus
noise of N(0, 1).  Clipped ones miss the data's higher moments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor, nn

from model.branches import Branched
from training.catalogue import make_game
from training.configuration import Config
from training.data import Points
from training.game import Batch, Game
from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.runs import CPU, begin, points
from training.lab.style import GREEN, ORANGE, dots, mesh, panels, plane, ticks
from training.loop import Draws
from training.networks.roles import Roles

# Factors that give the built-in points the scale of the paper's: its data has a standard deviation of 1 or nearly so.
SCALES = {"ring": 2**0.5, "grid": 1 / 8**0.5, "swissroll": 1.0}
WAYS: dict[str, dict[str, Any]] = {
    "clipping": {"variant": "wgan"},
    "penalty": {"variant": "wgan-gp", "penalty": 0.1, "lr_critic": 1e-3},
}
ROUNDS = 6000
SIDE, MESH = 3.0, 121
PAIRS = "share of pairs in the right order"


class Shifted(Branched):
    """The generator that gives its latents back; its one weight is never moved."""

    def __init__(self, latent: int) -> None:
        super().__init__(latent=latent)
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, latent: Tensor) -> Tensor:
        return latent + self.shift


class HeldRoles(Roles):
    """The configured critic against a generator that gives latents back."""

    def generator(self, heads: int = 0, *, codes: int = 0, labels: int | None = None) -> Branched:
        return Shifted(self.config.model.latent)


class NoisyDraws(Draws):
    """Batches whose latents are real points with noise of N(0, 1), other points than the real ones beside them."""

    def batch(self, number: int, turn: int) -> Batch:
        batch = super().batch(number, turn)
        return replace(batch, latent=batch.real.roll(1, dims=0) + batch.latent)


def held(roles: Roles, config: Config) -> Game:
    """The configured game with the generator's turn left out."""
    return replace(make_game(roles, config), turns=("critic",), turns_of=None)


@dataclass(frozen=True)
class View:
    """What a trained critic thinks.

    levels: of a mesh over the window, (n, n).  real, fake: a few of the samples, (N, 2).  share: as ``told_apart``.
    """

    levels: NDArray[np.float32]
    real: NDArray[np.float32]
    fake: NDArray[np.float32]
    share: float


@figure(title="Level sets of the critic", source="Gulrajani et al. 2017, Figure 1 (a)")
def level_sets(lab: Lab) -> Drawn:
    """Critics of the ring, the grid and the Swiss roll against the same with noise, clipped and penalised."""
    cases = [(name, way) for way in WAYS for name in SCALES]
    seen: dict[tuple[str, str], float] = {}
    drawing, axes = panels(len(SCALES), len(WAYS), width=2.7, height=2.7)
    for panel, case, view in zip(axes, cases, lab.each(trained, cases), strict=True):
        seen[case] = view.share
        _draw(panel, view)
        panel.set_title(f"{case[0]}, {case[1]}: {view.share:.0%}")
    claims: list[Claim] = []
    for name in SCALES:
        penalised, more = seen[name, "penalty"], seen[name, "penalty"] - seen[name, "clipping"]
        claims += [
            Claim(f"The penalised critic tells most of the {name} from noise", PAIRS, penalised, ">", 0.75),
            Claim("and more of it than the clipped one", f"{PAIRS}, penalised less clipped", more, ">", 0.02),
        ]
    caption = (
        "Level sets of critics that tell the data (orange) from itself with noise of N(0, 1) added (green), where the "
        "generator is held. The number is the share of pairs of an orange and a green point that the critic puts in "
        "the right order, 50 % by chance: clipping leaves simple functions that pass by the shape of the data."
    )
    return Drawn(drawing, caption, tuple(claims), {f"{name}, {way}": share for (name, way), share in seen.items()})


def trained(lab: Lab, case: tuple[str, str]) -> View:
    """The critic of some points under one of the WAYS."""
    name, way = case
    data = scaled(name, SCALES[name])
    keys = {"model.width": 128, **WAYS[way]}
    run = begin(lab, f"builtin:{name}", keys, build=held, roles=HeldRoles, draws=NoisyDraws, data=data)
    run.play(lab.rounds(ROUNDS))
    critic, batch = run.game.players["critic"], NoisyDraws(data, 1000, 2, lab.seed + 1, CPU).batch(0, 0)
    with torch.no_grad():
        levels = critic(torch.from_numpy(mesh(SIDE, MESH))).reshape(MESH, MESH).numpy()
    return View(levels, batch.real.numpy(), batch.latent.numpy(), told_apart(critic, batch))


def scaled(name: str, scale: float) -> Points:
    """Built-in points, each coordinate times a factor."""
    data = points(f"builtin:{name}")
    return replace(
        data, train=data.train[:] * np.float32(scale), held_out=data.held_out * np.float32(scale), modes=None
    )


@torch.no_grad()
def told_apart(critic: nn.Module, batch: Batch) -> float:
    """The share of pairs of a real point and one with noise that a critic puts in the right order: 1/2 by chance."""
    real, fake = critic(batch.real), critic(batch.latent)
    return float((real[:, None] > fake[None]).double().mean())


def _draw(axes: Axes, view: View) -> None:
    at = ticks(SIDE, MESH)
    axes.contour(at, at, view.levels, levels=14, cmap="viridis", linewidths=0.9)
    dots(axes, view.fake[:300], s=5, marker="+", linewidth=0.6, color=GREEN)
    dots(axes, view.real[:300], s=9, marker="+", linewidth=0.8, color=ORANGE)
    plane(axes, SIDE, x="$x_1$", y="$x_2$")
