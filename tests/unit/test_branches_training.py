"""Branches in the loop: every game and rule trains them, runs go on bit for bit, ranks play what one process plays."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from captured_rounds import Rounds, draws_of, play_eagerly
from ranks import in_ranks
from small_runs import (
    CPU,
    Memory,
    assert_same,
    begin,
    configured,
    data_of,
    rounds,
    stopped_and_continued,
    undisturbed,
    weights,
)
from torch import Tensor

from training.configuration import Config
from training.data.dataset import Kind
from training.distributed import Ranks, joined
from training.inputs import Inputs
from training.loop import Draws, play, update_rule
from training.updates import AverageOverRanks, alone

KINDS: list[Kind] = ["text", "points", "image"]
FORMS: dict[str, dict[str, Any]] = {
    "mad-gan": {"variant": "mad-gan", "generators": 3},
    "mad-gan-sim": {"variant": "mad-gan-sim", "generators": 3},
    "mixture": {"generator.mixture": 3},
    "normalised": {"generator.virtual_batch_norm": True},
    "normalised mad-gan": {"variant": "mad-gan", "generators": 3, "generator.virtual_batch_norm": True},
    "normalised mixture": {"variant": "gan", "generator.mixture": 3, "generator.virtual_batch_norm": True},
}
RULES = ["simultaneous", "consensus", "extragradient", "optimistic"]


def config_of(form: str, **further: Any) -> Config:
    changed = {"batch_size": 8, **FORMS[form], **further}
    return configured(changed.pop("variant", "wgan-gp"), **changed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_every_weight_of_every_branch_is_trained(form: str, kind: Kind) -> None:
    config, data = config_of(form, **{"model.width": 8}), data_of(kind)
    training = begin(config, data)
    before = weights(training)["generator"]
    terms = rounds(training, config, data, 3)
    assert all(value.isfinite() for each in terms for value in each.values())
    named = training.game.players["generator"].named_parameters()
    assert not [where for old, (where, new) in zip(before, named, strict=True) if torch.equal(old, new)]


@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("form", ["mad-gan", "mad-gan-sim", "normalised mixture"])
def test_every_rule_plays_with_branches(form: str, update: str) -> None:
    config = config_of(form, update=update)
    terms = rounds(begin(config, data_of("text")), config, data_of("text"), 2)
    assert all(value.isfinite() for each in terms for value in each.values())


CURES: dict[str, dict[str, Any]] = {
    "packs": {"critic.pack": 2},
    "noise": {"instance_noise": 0.3},
    "history": {"historical_averaging": 0.5},
    "smoothing": {"label_smoothing": 0.9, "variant": "mad-gan"},
    "slopes": {"r1": 1.0, "r2": 1.0},
    "bf16": {"precision": "bf16"},
}


@pytest.mark.parametrize("cure", CURES)
@pytest.mark.parametrize("variant", ["mad-gan", "mad-gan-sim"])
def test_cures_apply_to_several_generators_too(variant: str, cure: str) -> None:
    data = data_of("text")
    config = config_of("mad-gan", **{**CURES[cure], "variant": variant})
    terms = rounds(begin(config, data), config, data, 2)
    assert all(value.isfinite() for each in terms for value in each.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_was_stopped_and_continued_equals_an_undisturbed_one(form: str, kind: Kind, tmp_path: Path) -> None:
    config, data = config_of(form), data_of(kind)
    assert_same(stopped_and_continued(config, data, tmp_path), undisturbed(config, data))


def test_a_mixture_minimises_how_far_its_deviations_are_from_one() -> None:
    config, data = config_of("mixture"), data_of("points")
    training = begin(config, data)
    batch = Draws.of(training, data, config, CPU).batch(0, 0)
    loss, terms = training.game.loss("generator", batch)
    assert terms["mixture"].item() == pytest.approx(0.1 * 0.8**2)
    torch.testing.assert_close(loss, terms["wasserstein"] + terms["mixture"])
    assert "mixture" not in training.game.loss("critic", batch)[1]
    for further in ({"feature_matching": True}, {"historical_averaging": 0.5}, {"unrolled": 1}):
        assert "mixture" in begin(config_of("mixture", variant="gan", **further), data).game.loss("generator", batch)[1]


def test_batches_draw_branches_of_equal_shares_and_are_else_those_of_a_plain_run() -> None:
    data = data_of("points")
    plain, drawn = (Draws(data, 3000, 2, 5, CPU, branches=k).batch(4, 1) for k in (0, 3))
    assert torch.equal(drawn.latent[:, :2], plain.latent)
    assert torch.equal(drawn.real, plain.real)
    counts = drawn.latent[:, 2:].sum(dim=0)
    assert counts.sum() == 3000
    # Standard error of a count: sqrt(3000 * 1/3 * 2/3).
    assert (counts - 1000).abs().max() < 4 * 667**0.5


@pytest.mark.parametrize("form", ["mad-gan-sim", "mixture", "normalised mixture"])
def test_captured_rounds_have_the_branches_of_any_other(form: str) -> None:
    config, data = config_of(form), data_of("text")
    training, eager = begin(config, data), begin(config, data)
    inputs = Inputs(draws_of(training, config, data), 2)
    inputs.fill(3, 0.5)
    assert torch.equal(inputs.batch(1).latent, draws_of(training, config, data).batch(3, 1).latent)
    captured = Rounds(training, config, data)
    assert captured.captured
    captured.play(2)
    play_eagerly(eager, config, data, 2)
    assert_same(weights(training), weights(eager))


def played(form: str, kind: Kind, ranks: Ranks, average: AverageOverRanks = alone) -> list[Tensor]:
    """All weights after some rounds in float64."""
    config = config_of(form, lr_critic=1e-3, lr_generator=1e-3)
    data = Memory(kind, data_of(kind).samples.double())
    training = begin(config, data)
    for player in training.game.players.values():
        player.double()
    draws = Draws.of(training, data, config, CPU, ranks.rank, ranks.count)
    for _ in islice(play(training, update_rule(config), draws, average=average), 5):
        pass
    return [weight for of_player in weights(training).values() for weight in of_player]


RANKED: list[tuple[str, Kind]] = [
    ("normalised mad-gan", "text"),
    ("normalised mixture", "image"),
    ("mad-gan", "points"),
]


def as_a_rank() -> list[list[Tensor]]:
    with joined(CPU) as ranks:
        return [played(form, kind, ranks, ranks.average) for form, kind in RANKED]


def test_two_ranks_play_what_one_process_plays() -> None:
    first, second = in_ranks(2, as_a_rank)
    for (form, kind), ours, theirs in zip(RANKED, first, second, strict=True):
        for expected, one, other in zip(played(form, kind, Ranks()), ours, theirs, strict=True):
            torch.testing.assert_close(one, expected, rtol=0, atol=1e-9)
            assert torch.equal(one, other)
