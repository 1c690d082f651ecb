"""Two ranks that average their gradients play what one process plays."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from ranks import in_ranks
from small_runs import CPU, begin, configured, data_of
from torch import Tensor

from training.catalogue import CATALOGUE
from training.configuration import Config
from training.data.dataset import Kind
from training.distributed import Ranks, joined
from training.loop import Draws, play
from training.updates import (
    Alternating,
    AverageOverRanks,
    Consensus,
    Extragradient,
    Optimistic,
    Simultaneous,
    UpdateRule,
    alone,
)

ROUNDS = 40
STEPS = {"lr_critic": 1e-3, "lr_generator": 1e-3}
CASES: dict[str, tuple[Kind, UpdateRule, int]] = {
    "a text critic with its slope in closed form": ("text", Alternating(), 12),
    "a critic that is differentiated twice": ("points", Alternating(), 12),
    "simultaneous steps": ("points", Simultaneous(), 12),
    "extragradient": ("points", Extragradient(), 12),
    "optimistic steps": ("points", Optimistic(), 12),
    "consensus, unbiased": ("text", Consensus(0.1), 12),
    "consensus, biased": ("text", Consensus(0.1, "biased"), 12),
    "consensus, unbiased, differentiated twice": ("points", Consensus(0.1), 12),
    "consensus, unbiased, of odd parts": ("points", Consensus(0.1), 6),
    "consensus, sample by sample": ("points", Consensus(0.1, "per-sample"), 6),
    "consensus, by the U-statistic": ("points", Consensus(0.1, "u-statistic"), 6),
}
VARIANTS = [(name, kind) for name, entry in CATALOGUE.items() for kind in entry.kinds]


def as_a_rank(cases: list[str], averaging: bool = True) -> dict[str, list[Tensor]]:
    with joined(CPU) as ranks:
        average = ranks.average if averaging else alone
        return {name: weights(name, ROUNDS, ranks, average) for name in cases}


def weights(case: str, rounds: int, ranks: Ranks, average: AverageOverRanks = alone) -> list[Tensor]:
    kind, rule, size = CASES[case]
    return played(configured(**STEPS, batch_size=size), kind, rule, rounds, ranks, average)


def played(
    config: Config, kind: Kind, rule: UpdateRule, rounds: int, ranks: Ranks, average: AverageOverRanks
) -> list[Tensor]:
    """Every player's weights after some rounds of a game in float64."""
    given = data_of(kind, config.variant)
    data = replace(given, samples=given.samples.double())
    training = begin(config, data)
    players = training.game.players
    for player in players.values():
        player.double()
    training.round = 25  # after those in which some critics move a hundred times
    draws = Draws.of(training, data, config, CPU, ranks.rank, ranks.count)
    for _ in islice(play(training, rule, draws, average=average), rounds):
        pass
    return [weight.detach() for name in players for weight in training.game.parameters(name)]


def farthest(one: list[Tensor], other: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def expected() -> dict[str, list[Tensor]]:
    return {name: weights(name, ROUNDS, Ranks()) for name in CASES}


@pytest.fixture(scope="module")
def two() -> list[dict[str, list[Tensor]]]:
    return in_ranks(2, as_a_rank, list(CASES))


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_one_process_after_forty_rounds(
    case: str, expected: dict[str, list[Tensor]], two: list[dict[str, list[Tensor]]]
) -> None:
    first, second = (weights_of[case] for weights_of in two)
    assert farthest(first, expected[case]) < 1e-9
    assert farthest(first, second) == 0
    assert farthest(weights(case, 0, Ranks()), expected[case]) > 1e-3, "otherwise nothing was played"


def test_without_averaging_they_do_not(expected: dict[str, list[Tensor]]) -> None:
    case = "a text critic with its slope in closed form"
    first, second = (of_rank[case] for of_rank in in_ranks(2, as_a_rank, [case], False))
    assert farthest(first, expected[case]) > 1e-4
    assert farthest(first, second) > 1e-4


def variants_of_a_rank(cases: list[tuple[str, Kind]]) -> list[list[Tensor]]:
    found = []
    with joined(CPU) as ranks:
        for variant, kind in cases:
            config = configured(variant)
            found.append(played(config, kind, Alternating(), 3, ranks, ranks.average))
            ranks.check_equal("weights", found[-1])
    return found


def test_every_variant_plays_on_two_ranks_whose_weights_stay_equal() -> None:
    first, second = in_ranks(2, variants_of_a_rank, VARIANTS)
    for case, one, other in zip(VARIANTS, first, second, strict=True):
        assert all(torch.equal(a, b) and a.isfinite().all() for a, b in zip(one, other, strict=True)), case


def threads_of_a_rank() -> tuple[list[str], list[str]]:
    """The threads of gloo while a rank is joined to the other, and once it has left and holds what it was given."""

    def threads() -> list[str]:
        names = [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]
        return [name for name in names if "gloo" in name]

    with joined(CPU) as ranks:
        ranks.average([torch.ones(2)])
        ranks.gather(1.0)
        there = threads()
    assert ranks.count == 2
    return there, threads()


@pytest.mark.skipif(sys.platform != "linux", reason="threads are listed in /proc")
def test_who_leaves_a_job_ends_the_threads_that_could_abort_the_interpreter_at_its_end() -> None:
    for there, left in in_ranks(2, threads_of_a_rank):
        assert there
        assert not left


@pytest.mark.parametrize("ranks", [2, 3, 6])
def test_the_ranks_parts_are_together_the_batch_of_one_process(ranks: int) -> None:
    draws = Draws(data_of("points"), 12, 3, 0, CPU)
    whole = draws.batch(5, 1)
    parts = [replace(draws, rank=rank, ranks=ranks).batch(5, 1) for rank in range(ranks)]
    for name in ("real", "latent", "mix"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
        assert len(getattr(parts[0], name)) == 12 // ranks


def test_what_a_penalty_mixes_by_is_uniform_and_its_own_in_each_turn() -> None:
    draws = Draws(data_of("points"), 4000, 3, 0, CPU)
    mixes = [draws.batch(number, turn).mix for number, turn in ((0, 0), (0, 1), (1, 0))]
    for mix in mixes:
        assert 0 <= mix.min() < 0.01 < 0.99 < mix.max() <= 1
        # The standard error of the mean of 4000: 1 / sqrt(12 * 4000).
        assert abs(mix.mean().item() - 0.5) < 4 / 48000**0.5
    assert len({mix[0].item() for mix in mixes}) == 3
