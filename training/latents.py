"""Latents that are fixed before a run, or learned in it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from model.branches import REFERENCE, Mixture
from model.latents import MAX_SEED, latents
from training.game import Batch, Game, Terms

SPREAD = 0.1  # weight of the mixture's term, as in the authors' code for points


def reference_latents(seed: int, size: int, marks: int) -> Tensor:
    """The latents of virtual batch norm's reference batch, (B, Z + K), the same on every rank.

    size: Z.  marks: K, labels or branches, of which the samples have each in turn.
    """
    # From the far end of the seeds, where nobody asks for strings.
    rows = torch.from_numpy(latents(MAX_SEED - seed, 0, REFERENCE, size))
    if not marks:
        return rows
    return torch.cat([rows, one_hot(torch.arange(REFERENCE) % marks, marks).to(rows.dtype)], dim=1)


def keep_spread(game: Game, mixture: Mixture) -> Game:
    """The generator also minimises 0.1 * mean (1 - sigma)^2 over the Gaussians that it learns.

    Else they shrink to points, which fool a critic most easily.  Gurumurthy et al. 2017, section 4.
    """
    objective = game.objective["generator"]

    def spread(batch: Batch) -> Terms:
        return {**objective(batch), "mixture": SPREAD * (1 - mixture.deviation).square().mean()}

    return replace(game, objective={**game.objective, "generator": spread})
