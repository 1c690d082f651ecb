"""Every cure in the loop: it does something, it lasts bit for bit, and two ranks play what one process plays."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from captured_rounds import Rounds, play_eagerly
from ranks import in_ranks
from small_runs import (
    CPU,
    Memory,
    assert_same,
    begin,
    configured,
    data_of,
    lasting,
    rounds,
    stopped_and_continued,
    undisturbed,
    weights,
)
from torch import Tensor

from training.data.dataset import Kind
from training.distributed import Ranks, joined
from training.loop import Draws, play, update_rule
from training.updates import AverageOverRanks, alone

KINDS: list[Kind] = ["text", "points", "image"]
CURES: dict[str, dict[str, Any]] = {
    "packs": {"critic.pack": 3},
    "noise": {"instance_noise": 0.5, "instance_noise_rounds": 3},
    "features": {"feature_matching": True},
    "history": {"historical_averaging": 0.5},
    "unrolled": {"unrolled": 2},
}
TOGETHER = {**CURES["packs"], **CURES["noise"], **CURES["history"]}
BOTH = {"with features": {**TOGETHER, **CURES["features"]}, "unrolled too": {**TOGETHER, **CURES["unrolled"]}}
RULES = [{"update": "simultaneous"}, {"update": "consensus", "consensus_estimator": "biased"}, {"precision": "bf16"}]
WITHOUT_DRAWS = {name: CURES[name] for name in ("packs", "history")}  # and of means over samples


@pytest.mark.parametrize(
    ("kind", "variant"), [("text", "wgan-gp"), ("points", "wgan-gp"), ("image", "gan"), ("text", "gan")]
)
@pytest.mark.parametrize("cure", CURES)
def test_each_cure_is_one_option_away(cure: str, kind: Kind, variant: str) -> None:
    data, after = data_of(kind), list[list[Tensor]]()
    for config in (configured(variant), configured(variant, **CURES[cure])):
        training = begin(config, data)
        assert all(value.isfinite() for terms in rounds(training, config, data, 2) for value in terms.values())
        after.append(weights(training)["generator"])
    plain, cured = after
    assert all(weight.isfinite().all() for weight in cured)
    assert any(not torch.equal(one, other) for one, other in zip(plain, cured, strict=True)), "it does something"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cure", BOTH.values(), ids=BOTH)
def test_a_run_that_was_stopped_and_continued_equals_an_undisturbed_one(
    tmp_path: Path, cure: dict[str, Any], kind: Kind
) -> None:
    config = configured(**cure)
    assert_same(stopped_and_continued(config, data_of(kind), tmp_path), undisturbed(config, data_of(kind)))


@pytest.mark.parametrize("changed", RULES, ids=str)
@pytest.mark.parametrize("cure", BOTH.values(), ids=BOTH)
def test_so_it_does_under_other_rules_and_in_bf16(
    tmp_path: Path, cure: dict[str, Any], changed: dict[str, str]
) -> None:
    config = configured(**cure, **changed)
    assert_same(stopped_and_continued(config, data_of("text"), tmp_path), undisturbed(config, data_of("text")))


@pytest.mark.parametrize("cure", ["packs", "features", "history", "unrolled"])
def test_captured_rounds_are_eager_ones(cure: str) -> None:
    config, data = configured(**CURES[cure]), data_of("points")
    captured = Rounds(begin(config, data), config, data)
    assert captured.captured, captured.said
    eager = begin(config, data)
    play_eagerly(eager, config, data, 3)
    captured.play(3)
    assert_same(lasting(captured.training), lasting(eager))


def test_noise_that_is_drawn_on_the_device_is_not_captured() -> None:
    config, data = configured(**CURES["noise"]), data_of("points")
    assert not Rounds(begin(config, data), config, data).captured


def played(cure: str, kind: Kind, ranks: Ranks, average: AverageOverRanks = alone) -> list[Tensor]:
    """All weights, and all that is remembered, after some rounds in float64."""
    config = configured(**WITHOUT_DRAWS[cure], lr_critic=1e-3, lr_generator=1e-3, batch_size=12)
    data = Memory(kind, data_of(kind).samples.double())
    training = begin(config, data)
    modules = [*training.game.players.values(), *training.game.memory.values()]
    for module in modules:
        module.double()
    draws = Draws(data, config.batch_size, config.model.latent, config.seed, CPU, ranks.rank, ranks.count)
    for _ in islice(play(training, update_rule(config), draws, average=average), 20):
        pass
    return [tensor.detach() for module in modules for tensor in (*module.parameters(), *module.buffers())]


def as_a_rank() -> dict[tuple[str, Kind], list[Tensor]]:
    with joined(CPU) as ranks:
        return {(cure, kind): played(cure, kind, ranks, ranks.average) for cure in WITHOUT_DRAWS for kind in KINDS[:2]}


def test_two_ranks_equal_one_process() -> None:
    first, second = in_ranks(2, as_a_rank)
    for (cure, kind), ours in first.items():
        expected = played(cure, kind, Ranks())
        for mine, other, whole in zip(ours, second[cure, kind], expected, strict=True):
            assert torch.equal(mine, other), (cure, kind)
            assert (mine - whole).abs().max() < 1e-9, (cure, kind)
