"""A denoising autoencoder's field: the score of the data, learned by a map that nothing makes a gradient.

r learns to undo noise: min E ||r(x + sigma eps) - x||^2.  The best r has r(x) - x = sigma^2 grad log p_sigma(x), with
p_sigma the data's density blurred by the noise (Alain and Bengio 2014, Theorem 1, for small sigma; exact in Miyasawa
1961), whose curl is 0.  A network is a vector field like any other.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor, nn

from training.configuration import Config
from training.data import Points
from training.game import Batch, Game, Terms
from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.runs import begin, points
from training.lab.style import BLUE, INK, PALE, RED, dots, mesh, panels, plane, ticks
from training.networks.roles import Roles

SIGMA = 0.1
SIDE = 2.4
ROUNDS = 12_000
SAMPLES = 1000
Places = NDArray[np.float32]


def denoising(roles: Roles, config: Config) -> Game:
    """A game of one player, who moves the map from the plane to itself; a batch's latent is the noise."""
    width, size = config.model.width, roles.shape[0]
    layers = (nn.Linear(size, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, size))
    denoise = nn.Sequential(*layers)

    def objective(batch: Batch) -> Terms:
        missed: Tensor = denoise(batch.real + SIGMA * batch.latent) - batch.real
        return {"squared_error": missed.square().sum(dim=1).mean()}

    return Game(players={"generator": denoise}, objective={"generator": objective}, turns=("generator",))


@figure(title="The field of a denoising autoencoder", source="Alain and Bengio 2014")
def autoencoder(lab: Lab) -> Drawn:
    """r(x) - x on the Swiss roll, its curl, and how both compare with the score's."""
    steps = {"model.width": 128, "lr_generator": 1e-3, "beta1": 0.9, "beta2": 0.999}
    run = begin(lab, "builtin:swissroll", steps, build=denoising)
    run.play(lab.rounds(ROUNDS))
    denoise, data = run.game.players["generator"], points("builtin:swissroll")
    random = np.random.default_rng(lab.seed)
    near = (data.held_out[:SAMPLES] + SIGMA * random.standard_normal((SAMPLES, 2))).astype(np.float32)
    anywhere = random.uniform(-SIDE, SIDE, (4 * SAMPLES, 2)).astype(np.float32)
    far = anywhere[distances(anywhere, data.train[:20_000]) > 4 * SIGMA]
    at_data, elsewhere = (relative_curl(jacobians(denoise, places)) for places in (near, far))
    learned = explained(moved(denoise, near), best(near, data.train[:20_000]) - near)
    drawing, axes = panels(3, width=3.1, height=2.9)
    _draw_field(axes[0], denoise, data)
    _draw_curl(axes[1], denoise, data)
    _draw_shares(axes[2], at_data, elsewhere)
    most, largest = (float(np.quantile(shares, 0.9)) for shares in (at_data, elsewhere))
    measure = "|curl| / ‖r′ − 1‖, in nine places of ten below"
    claims = (
        Claim("Where the data is, the field is the score's", "share of σ² ∇ log p that it explains", learned, ">", 0.9),
        Claim("It is no gradient: its curl is not 0", f"{measure}, at the data", most, ">", 0.01),
        Claim("but small where the data is", f"{measure}, at the data", most, "<", 0.2),
        Claim("and larger elsewhere", f"{measure}, further than 4 σ to at the data", largest / most, ">", 1.5),
    )  # fmt: skip
    caption = (
        f"A map r trained to undo noise of standard deviation σ = {SIGMA:g} on the Swiss roll. Left: r(x) − x points "
        "to the data. Middle: its curl, the antisymmetric part of its Jacobian, which is 0 for the best r and which "
        "nothing forces to be. Right: the curl relative to the whole Jacobian."
    )
    return Drawn(drawing, caption, claims)


@torch.no_grad()
def moved(denoise: nn.Module, places: Places) -> Places:
    """r(x) - x at places (N, 2)."""
    x = torch.from_numpy(places)
    found: Places = (denoise(x) - x).numpy()
    return found


def jacobians(denoise: nn.Module, places: Places) -> Places:
    """Of r(x) - x at each place, (N, 2, 2)."""
    x = torch.from_numpy(places).requires_grad_()
    field = denoise(x) - x
    rows = [torch.autograd.grad(field[:, i].sum(), x, retain_graph=True)[0] for i in range(field.shape[1])]
    return torch.stack(rows, dim=1).numpy()


def curls(jacobian: Places) -> Places:
    """D f_2 / dx_1 - d f_1 / dx_2 of Jacobians (N, 2, 2), (N,)."""
    return jacobian[:, 1, 0] - jacobian[:, 0, 1]


def relative_curl(jacobian: Places) -> Places:
    """|curl| over the Frobenius norm of each Jacobian, (N,): 0 for a gradient, sqrt(2) for a rotation."""
    norms = np.linalg.norm(jacobian, axis=(1, 2))
    shares: Places = np.abs(curls(jacobian)) / norms
    return shares


def best(places: Places, data: Places) -> Places:
    """The best r for a finite data set, (N, 2): the mean of its points, weighted by how likely each was disturbed so.

    sum_i w_i x_i / sum_i w_i = x + sigma^2 grad log p_sigma(x), w_i = exp(-||x - x_i||^2 / (2 sigma^2)).
    """
    squares = torch.cdist(torch.from_numpy(places), torch.from_numpy(data)).square()
    means: Places = ((-squares / (2 * SIGMA**2)).softmax(dim=1) @ torch.from_numpy(data)).numpy()
    return means


def distances(places: Places, data: Places) -> Places:
    """From each place to the nearest of the data, (N,)."""
    nearest: Places = torch.cdist(torch.from_numpy(places), torch.from_numpy(data)).min(dim=1).values.numpy()
    return nearest


def explained(field: Places, truth: Places) -> float:
    """1 - sum ||field - truth||^2 / sum ||truth||^2 over vectors (N, 2): 1 if they are the same."""
    return float(1 - np.square(field - truth).sum() / np.square(truth).sum())


def _draw_field(axes: Axes, denoise: nn.Module, data: Points) -> None:
    places = mesh(SIDE, 25)
    arrows = moved(denoise, places)
    dots(axes, data.held_out[:SAMPLES], s=1.5, color=PALE)
    axes.quiver(*places.T, *arrows.T, color=BLUE, angles="xy", scale_units="xy", scale=1.6, width=0.0045)
    plane(axes, SIDE, x="$x_1$", y="$x_2$")
    axes.set_title("r(x) − x")


def _draw_curl(axes: Axes, denoise: nn.Module, data: Points) -> None:
    n = 121
    values = curls(jacobians(denoise, mesh(SIDE, n))).reshape(n, n)
    at = ticks(SIDE, n)
    shown = axes.pcolormesh(at, at, values, cmap="RdBu_r", vmin=-0.5, vmax=0.5, shading="auto", rasterized=True)
    dots(axes, data.held_out[:SAMPLES], s=0.6, color=INK)
    plane(axes, SIDE, x="$x_1$", y="$x_2$")
    axes.figure.colorbar(shown, ax=axes, shrink=0.75, extend="both")
    axes.set_title("its curl")


def _draw_shares(axes: Axes, at_data: Places, elsewhere: Places) -> None:
    for values, colour, label in ((at_data, BLUE, "where the data is"), (elsewhere, RED, "further than 4 σ")):
        axes.plot(np.sort(values), np.linspace(0, 1, len(values)), color=colour, label=label)
    axes.set(xscale="log", xlabel="|curl| / ‖r′ − 1‖", ylabel="share of places below", xlim=(1e-3, 2**0.5))
    axes.legend(loc="upper left")
