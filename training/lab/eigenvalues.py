"""Eigenvalues of the update operator's Jacobian: why steps turn, and how consensus stops it.

Steps w + h F(w) converge to a place where F = 0 if |1 + h e| < 1 for every eigenvalue e of F'.  One on the imaginary
axis allows no h at all; one at -a + ib allows h < 2 a / (a^2 + b^2).  Mescheder, Nowozin, Geiger 2017, Lemma 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from training.divergences import minimax
from training.game import Batch, Game
from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.games import ORIGIN, bilinear, dirac
from training.lab.runs import CPU, begin
from training.lab.style import BLUE, GREEN, INK, RED, panels
from training.loop import Draws

Spectrum = NDArray[np.complex128]
GAMMAS = (0.0, 0.1, 1.0, 10.0)
ROUNDS = 2000
TURNING = "median of |imaginary| / |real part|"


@figure(title="Eigenvalues against the weight of consensus", source="Mescheder, Nowozin, Geiger 2017, sections 3 and 4")
def eigenvalues(lab: Lab) -> Drawn:
    """Two linear games, the steps that they allow, and a GAN of 75 weights on the ring."""
    drawing, axes = panels(3, width=3.3)
    linear = {"bilinear game": (bilinear(0.0, 0.0), BLUE), "Dirac-GAN": (dirac(minimax, 0.0, 0.0), RED)}
    for name, (game, colour) in linear.items():
        _draw_locus(axes[0], game, colour, name)
        _draw_steps(axes[1], game, colour, name)
    trained, batch = small_gan(lab)
    found = {gamma: spectrum(trained, batch, gamma) for gamma in GAMMAS}
    for (gamma, each), colour in zip(found.items(), (INK, BLUE, GREEN, RED), strict=True):
        axes[2].scatter(each.real, each.imag, s=9, color=colour, label=f"γ = {gamma:g}", zorder=3)
    axes[0].set(xlabel="real part", ylabel="imaginary part", title="two linear games, γ from 0 to 2")
    axes[1].set(xlabel="γ", ylabel="largest step that converges", title="what they allow")
    axes[2].set(xlabel="real part", ylabel="imaginary part", title="a GAN on the ring")
    axes[2].set_xscale("symlog", linthresh=0.1)
    for panel in axes:
        panel.legend(loc="best")
    price = float(np.abs(found[10.0]).max() / np.abs(found[0.0]).max())
    claims = (
        *_linear_claims({name: game for name, (game, _) in linear.items()}),
        Claim(
            "In a trained GAN steps turn more than they approach", TURNING + ", γ = 0", turning(found[0.0]), ">", 1.0
        ),
        Claim("Consensus makes them approach", TURNING + ", γ = 10", turning(found[10.0]), "<", 1.0),
        Claim("at the price of smaller steps", "largest |eigenvalue|, γ = 10 to γ = 0", price, ">", 1.0),
    )
    caption = (
        "Eigenvalues of the Jacobian of −(v + γ ∇ ½‖v‖²). Left: −γ ± i for the bilinear game and −γ/4 ± i/2 for the "
        "Dirac-GAN, dots growing with γ. Middle: the largest step with which they converge, 0 on the imaginary axis. "
        "Right: all of a GAN with 75 weights, trained on the ring by consensus, on one batch of 1,000. It is no "
        "equilibrium: some stay to the right of 0."
    )
    return Drawn(drawing, caption, claims)


def _linear_claims(games: Mapping[str, Game]) -> Iterator[Claim]:
    measure = "largest step that converges, γ ="
    for name, game in games.items():
        none, some = (largest_step(spectrum(game, ORIGIN, gamma)) for gamma in (0.0, 1.0))
        yield Claim(f"Without consensus no step converges in the {name}", f"{measure} 0", none, "<", 1e-9)
        yield Claim("With it there is one", f"{measure} 1", some, ">", 0.5)


def small_gan(lab: Lab) -> tuple[Game, Batch]:
    """A GAN of 75 weights, in float64, that consensus steps trained on the ring, and a batch that it has not seen."""
    size = {"variant": "gan", "model.width": 8, "model.depth": 1}
    steps = {"optimizer": "sgd", "lr_generator": 0.05, "lr_critic": 0.05, "update": "consensus"}
    run = begin(lab, "builtin:ring", {**size, **steps})
    run.play(lab.rounds(ROUNDS))
    for player in run.game.players.values():
        player.double()
    batch = Draws(run.data, 1000, run.config.model.latent, lab.seed + 1, CPU).batch(0, 0)
    return run.game, Batch(batch.real.double(), batch.latent.double(), batch.mix.double())


def update_jacobian(game: Game, batch: Batch, gamma: float) -> NDArray[np.float64]:
    """d/dw of -(v + gamma grad(1/2 ||v||^2)), (n, n) over all players' n weights, by autograd.

    v: every player's gradient of its own loss, on one batch.  gamma = 0: simultaneous steps.
    """
    weights = [p for player in game.players for p in game.parameters(player)]
    v: list[Tensor] = []
    for player in game.players:
        loss, _ = game.loss(player, batch)
        v += torch.autograd.grad(loss, game.parameters(player), create_graph=True)
    half = gamma / 2 * torch.stack([g.square().sum() for g in v]).sum()
    pull = torch.autograd.grad(half, weights, create_graph=True, materialize_grads=True)
    operator = torch.cat([-(g + p).flatten() for g, p in zip(v, pull, strict=True)])
    rows = [torch.autograd.grad(o, weights, retain_graph=True, materialize_grads=True) for o in operator]
    return np.array([torch.cat([part.flatten() for part in row]).numpy() for row in rows], dtype=np.float64)


def spectrum(game: Game, batch: Batch, gamma: float) -> Spectrum:
    """The eigenvalues of ``update_jacobian``."""
    return np.linalg.eigvals(update_jacobian(game, batch, gamma)).astype(np.complex128)


def largest_step(eigenvalues: Spectrum) -> float:
    """The step size below which all of them let steps converge; 0 if none does."""
    return float(max(0.0, (-2 * eigenvalues.real / np.abs(eigenvalues) ** 2).min()))


def turning(eigenvalues: Spectrum) -> float:
    """The median of |imaginary| / |real part| over the complex ones; 0 if there are none.  On the axis: infinite."""
    complex_ones = eigenvalues[np.abs(eigenvalues.imag) > 1e-6]
    with np.errstate(divide="ignore"):
        return float(np.median(np.abs(complex_ones.imag / complex_ones.real))) if complex_ones.size else 0.0


def _draw_locus(axes: Axes, game: Game, colour: str, name: str) -> None:
    """The pair of eigenvalues of a game of two numbers, from small dots to large ones for gamma from 0 to 2."""
    gammas = np.linspace(0, 2, 9)
    places = np.array([spectrum(game, ORIGIN, gamma) for gamma in gammas])
    for branch in (places[np.arange(9), places.imag.argmax(axis=1)], places[np.arange(9), places.imag.argmin(axis=1)]):
        axes.plot(branch.real, branch.imag, color=colour, linewidth=0.8)
        axes.scatter(branch.real, branch.imag, s=8 + 20 * gammas, color=colour, label=name, zorder=3)
        name = ""


def _draw_steps(axes: Axes, game: Game, colour: str, name: str) -> None:
    gammas = np.geomspace(0.01, 100, 61)
    steps = [largest_step(spectrum(game, ORIGIN, gamma)) for gamma in gammas]
    axes.semilogx(gammas, steps, color=colour, label=name)
