"""Consensus: the field, pulled towards where it vanishes, and how its square is estimated from a batch.

v is a mean over the N samples of a batch, those of all ranks: v = mean of v_i, which are independent, with E v_i = E v.
An estimate of ||E v||^2 comes with half its own gradient, in a list: the square, and then the pull on each parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from model.errors import ConfigurationError
from training.configuration import Config
from training.game import Batch, Game, Terms
from training.updates.moves import AverageOverRanks, Draw, Optimizers, Report, alone, move_all

Estimator = Literal["unbiased", "biased", "per-sample", "u-statistic"]
ONE_AT_A_TIME: tuple[Estimator, ...] = ("per-sample", "u-statistic")
MATCHING = ("semi-supervised-gan",)  # variants whose generators match features by themselves
# Variants that show a critic the text of another sample of the batch, or images of a pool that batches enter.
NEIGHBOURLY = ("gan-cls", "gan-int", "gan-int-cls", "gawwn", "cyclegan")


@dataclass(frozen=True)
class Consensus:
    """w - h (v + gamma grad(1/2 ||v||^2)).  Mescheder, Nowozin, Geiger 2017, "The numerics of GANs", Eq. 10.

    On minibatches the square of v must be estimated:

    - "unbiased": <v, v'> on the two halves of a batch, which are independent.
    - "biased": ||v||^2, in expectation too large by tr Cov(v_i)/N.
    - "per-sample": mean of ||v_i||^2, too large by tr Cov(v_i).
    - "u-statistic": (||sum v_i||^2 - sum ||v_i||^2)/(N (N - 1)), unbiased, of the least variance.  Hoeffding 1948.

    Those without bias may be negative and are not clamped.  The last two play the game with each sample alone, so that
    they are for small networks, and for losses that are means over samples: see ``check_samples_apart``.

    Every player steps once in a round; the game's turns are not asked.
    """

    follows_turns: ClassVar[bool] = False

    gamma: float = 1.0
    estimator: Estimator = "unbiased"

    def batches(self, game: Game) -> int:
        return 1

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone) -> Terms:
        batch = draw()
        parts = _halves(batch) if self.estimator == "unbiased" else [(batch, 1.0)]
        report, v, estimate = _estimate(game, parts, average)
        if self.estimator in ONE_AT_A_TIME:
            of_samples = _mean_over_samples(game, batch, average)
            estimate = of_samples if self.estimator == "per-sample" else _u_statistic(batch, estimate, of_samples)
        square, *pull = estimate
        steps = [each + self.gamma * pulled for each, pulled in zip(v, pull, strict=True)]
        move_all(game, optimizers, steps)
        # Of the step itself: the pull may be without bound where every term and the field are finite.
        norm = nn.utils.get_total_norm(steps).float()
        return {**report.means(), "consensus/squared_field": square, "consensus/step_norm": norm}


def check_samples_apart(config: Config, game: Game) -> None:
    """Raises ConfigurationError if the configured estimator plays one sample at a time, and a loss is of them together.

    The mean of such losses of single samples is another loss than that of the batch.
    """
    if config.update != "consensus" or config.consensus_estimator not in ONE_AT_A_TIME:
        return
    modules = [module for player in game.players.values() for module in player.modules()]
    together = {
        "batch norm": any(isinstance(module, _BatchNorm) for module in modules),
        "critic.minibatch_discrimination": config.critic.minibatch_discrimination,
        "feature_matching": config.feature_matching or config.variant in MATCHING,
        "unrolled": config.unrolled > 0,
        f"variant = {config.variant}": config.variant in NEIGHBOURLY,
    }
    if there := [name for name, has in together.items() if has]:
        raise ConfigurationError(
            f"consensus_estimator = {config.consensus_estimator} looks at one sample at a time, and under "
            f"{' and '.join(there)} a loss is of the samples of a batch together: ask for unbiased or biased"
        )


def _estimate(
    game: Game, parts: Sequence[tuple[Batch, float]], average: AverageOverRanks
) -> tuple[Report, list[Tensor], list[Tensor]]:
    """The report of one or two parts of a batch, the mean of their v, and <v, v'> of the two, or of one with itself.

    With each part goes what it counts for among the ranks' parts.
    """
    terms, mine = zip(*(_field(game, part, weight) for part, weight in parts), strict=True)
    means = average([v.detach() for field in mine for v in field])
    fields = [means[i : i + len(mine[0])] for i in range(0, len(means), len(mine[0]))]
    report = Report()
    for of_players, field in zip(terms, fields, strict=True):
        report.add_all(game, of_players, field)
    # With V the mean of the ranks' v, grad <V, V'> is the mean of grad (<v, V'> + <V, v'>), V held.
    half = 0.5 * (_product(mine[0], fields[-1]) + _product(fields[0], mine[-1]))
    parameters = [p for player in game.players for p in game.parameters(player)]
    pull = average(torch.autograd.grad(half, parameters, materialize_grads=True))
    v = [sum(both) / len(fields) for both in zip(*fields, strict=True)]
    return report, v, [_product(fields[0], fields[-1]), *pull]


def _mean_over_samples(game: Game, batch: Batch, average: AverageOverRanks) -> list[Tensor]:
    """Mean of ||v_i||^2, by a loop: objectives may differentiate themselves, which torch.func does not go through."""
    samples = (batch.rows(slice(i, i + 1)) for i in range(len(batch.latent)))
    estimates = [_estimate(game, [(sample, 1.0)], alone)[2] for sample in samples]
    return list(average([torch.stack(each).mean(dim=0) for each in zip(*estimates, strict=True)]))


def _u_statistic(batch: Batch, of_mean: Sequence[Tensor], of_samples: Sequence[Tensor]) -> list[Tensor]:
    """(N ||v||^2 - mean of ||v_i||^2)/(N - 1), which is the sum over all pairs of different samples."""
    n = len(batch.latent) * batch.ranks
    if n < 2:
        raise ValueError(f"the U-statistic pairs samples, so it needs at least 2 of them, got {n}")
    return [(n * whole - single) / (n - 1) for whole, single in zip(of_mean, of_samples, strict=True)]


def _halves(batch: Batch) -> list[tuple[Batch, float]]:
    """Every other sample of the whole batch: this rank's part of either half, and what it counts for.

    Ranks have equal parts of a batch, but not of its halves where these parts are odd.
    """
    n, whole = len(batch.latent), len(batch.latent) * batch.ranks
    if n < 2:
        raise ValueError(f"the unbiased estimator halves a batch, so it needs at least 2 samples, got {n}")
    first = batch.rank * n % 2  # where in this part the half of even places in the whole batch begins
    halves = batch.rows(slice(first, None, 2)), batch.rows(slice(1 - first, None, 2))
    sizes = (whole + 1) // 2, whole // 2
    return [(half, len(half.latent) * batch.ranks / size) for half, size in zip(halves, sizes, strict=True)]


def _field(game: Game, batch: Batch, weight: float) -> tuple[dict[str, Terms], list[Tensor]]:
    """Every player's terms on a batch, and v times the weight, differentiable in the parameters of all players."""
    terms: dict[str, Terms] = {}
    field: list[Tensor] = []
    for player in game.players:
        loss, terms[player] = game.loss(player, batch)
        field += torch.autograd.grad(weight * loss, game.parameters(player), create_graph=True)
    return terms, field


def _product(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """The inner product of two fields."""
    return torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()
