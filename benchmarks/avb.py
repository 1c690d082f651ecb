"""Adversarial variational Bayes on four points: how near its bound comes to the data's own log likelihood, -log 4.

    python benchmarks/avb.py --rounds 2500 --seeds 0 1 2

The data are four strings of one character each, equally often; the latent has two coordinates.  The best there can be
is a posterior that tiles the prior in four parts, one for each string: then the bound is -log 4 = -1.386 nats.
Mescheder, Nowozin, Geiger 2017, section 6.1.

Prints for each seed, in nats, the mean over the four strings of: the bound, E_q log p(x|z) - E_q T, at many latents;
the same with the divergence of q from the prior counted on a grid instead of told by the critic; and log p(x) by the
integral over that grid, above which no bound is.
"""

from __future__ import annotations

import argparse
from itertools import islice
from math import log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.labels import UNCONDITIONAL, Labels
from training.catalogue import make_game
from training.conditions import Conditions, beside
from training.configuration import Config
from training.data.dataset import Kind
from training.game import Game
from training.layering import resolve
from training.loop import Draws, Training, play, seed_torch, update_rule
from training.networks.encoders import drawn
from training.networks.roles import Roles

CPU = torch.device("cpu")
STRINGS, LATENT = 4, 2
DRAWS = 10_000  # latents of each string
BOUND, CELLS = 4.0, 20  # of the grid: from -4 to 4 in either coordinate, in so many cells
KEYS: dict[str, Any] = {
    "variant": "avb",
    "model.width": 64,
    "model.depth": 1,
    "model.kernel": 1,
    "model.latent": LATENT,
    "batch_size": 128,
    "n_critic": 1,
    "lr_generator": 3e-4,
    "lr_critic": 1e-3,
    "beta1": 0.5,
    "beta2": 0.999,
    "ema": 0.0,
    "decay": "linear",
}


class FourPoints:
    """A Dataset of kind "text": the corners of a simplex, (4, 1, 4), as one-hot vectors."""

    kind: Kind = "text"
    shape = (1, STRINGS)
    digest = ""
    labels: Labels = UNCONDITIONAL
    conditions = Conditions()

    def __len__(self) -> int:
        return STRINGS

    def draw(self, rows: NDArray[np.int64], device: torch.device) -> Tensor:
        return torch.eye(STRINGS, device=device)[torch.from_numpy(rows)].unsqueeze(1)


def trained(config: Config, rounds: int) -> Game:
    """The game after so many rounds of the loop."""
    seed_torch(CPU, config.seed)
    data = FourPoints()
    training = Training.start(make_game(Roles(data.kind, data.shape, config), config), config, CPU)
    draws = Draws.of(training, data, config, CPU)
    share = iter(np.linspace(1, 0.01, rounds))
    for _ in islice(play(training, update_rule(config), draws, pace=lambda: float(next(share))), rounds):
        pass
    return training.game


@torch.no_grad()
def bounds(game: Game) -> dict[str, float]:
    """The three figures, in nats."""
    torch.manual_seed(0)
    texts = FourPoints().draw(np.arange(STRINGS).repeat(DRAWS), CPU)
    codes = drawn(game.players["encoder"], texts)
    likely = (texts * log_likelihoods(game, codes)).sum(dim=(1, 2)).mean()
    told = game.players["critic"](beside(texts, codes)).mean()
    cells = (codes.view(STRINGS, DRAWS, LATENT).clamp(-BOUND, BOUND) + BOUND) / (2 * BOUND) * CELLS
    counted = np.mean([divergence(each.numpy()) for each in cells])
    return {"bound": float(likely - told), "counted": float(likely) - float(counted), "log p(x)": marginal(game)}


def log_likelihoods(game: Game, latents: Tensor) -> Tensor:
    """Log p(x|z) of each string, (N, 1, 4)."""
    logits: Tensor = game.players["generator"].logits(latents)
    return logits.log_softmax(dim=2)


def divergence(cells: NDArray[np.float32]) -> float:
    """KL(q || prior) of latents (N, 2) in units of cells, both laws constant on each cell: at most the true one."""
    edges = np.arange(CELLS + 1)
    q = np.histogram2d(cells[:, 0], cells[:, 1], bins=[edges, edges])[0] / len(cells)
    p = np.outer(*[_normal_cells()] * 2)
    seen = q > 0
    return float((q[seen] * np.log(q[seen] / p[seen])).sum())


def _normal_cells() -> NDArray[np.float64]:
    """The probability of each cell of one coordinate under N(0, 1), what lies beyond in the outermost."""
    edges = torch.linspace(-BOUND, BOUND, CELLS + 1, dtype=torch.float64)
    below = torch.special.ndtr(edges)
    below[0], below[-1] = 0, 1
    cells: NDArray[np.float64] = below.diff().numpy()
    return cells


def marginal(game: Game) -> float:
    """The mean of log p(x), p(x) = the integral of p(x|z) over the prior, by a sum over a grid."""
    side = torch.linspace(-6, 6, 121)
    grid = torch.cartesian_prod(side, side)
    weights = torch.softmax(-grid.square().sum(dim=1).double() / 2, dim=0)
    p = weights @ log_likelihoods(game, grid).squeeze(1).double().exp()
    return float(p.log().mean())


def main() -> None:
    """Read the options, train, print a row for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2500, help="default: 2500")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--set", dest="keys", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    asked = dict(each.split("=", 1) for each in options.keys)
    print(f"the best there can be: {-log(STRINGS):.3f}")
    for seed in options.seeds:
        config, _ = resolve({"benchmark": {**KEYS, "seed": seed, "max_rounds": options.rounds}, "flag": asked})
        found = bounds(trained(config, options.rounds))
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
