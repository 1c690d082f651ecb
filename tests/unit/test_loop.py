"""The loop: any variant on any data, a run that was stopped and continued equal to one that was not."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import (
    CPU,
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
from torch import nn
from torch.optim import SGD

from model.errors import ConfigurationError
from training.average import Average
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data.dataset import Kind
from training.game import Game
from training.layering import resolve
from training.loop import Draws, Training, choose_device, play, update_rule
from training.updates import Alternating, Consensus, Simultaneous


@pytest.mark.parametrize(
    "changed", [{"update": "simultaneous"}, {"update": "consensus"}, {"precision": "bf16"}], ids=str
)
def test_it_equals_it_under_every_update_rule_and_in_bf16(tmp_path: Path, changed: dict[str, str]) -> None:
    config, data = configured(**changed), data_of("text")
    assert_same(stopped_and_continued(config, data, tmp_path), undisturbed(config, data))


@pytest.mark.parametrize("number", [0, 3])
def test_a_round_is_a_function_of_its_number_and_not_of_those_before(number: int) -> None:
    config, data = configured(), data_of("text")
    states = []
    for noise in (0, 1):
        training = begin(config, data)
        torch.manual_seed(noise)
        np.random.default_rng(noise)
        training.round = number
        rounds(training, config, data, 1)
        states.append(lasting(training))
    assert_same(*states)


def test_a_run_continued_with_smaller_steps_takes_them(tmp_path: Path) -> None:
    data = data_of("text")
    first = begin(configured(), data)
    rounds(first, configured(), data, 1)
    save_checkpoint(tmp_path, first.state_dict())
    smaller = configured(lr_critic=1e-6, lr_generator=2e-6, beta1=0.25)
    second = begin(smaller, data)
    second.load_state_dict(load_checkpoint(tmp_path, CPU) or {})
    (critic,), (generator,) = (second.optimizers[name].param_groups for name in ("critic", "generator"))
    assert (critic["lr"], generator["lr"]) == (1e-6, 2e-6)
    assert critic["betas"] == (0.25, smaller.beta2)


def test_the_state_of_other_networks_is_refused() -> None:
    data = data_of("text")
    state = begin(configured(), data).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch"):
        begin(configured(**{"model.width": 5}), data).load_state_dict(state)


def test_weights_are_a_function_of_the_seed() -> None:
    data = data_of("text")
    assert_same(weights(begin(configured(seed=4), data)), weights(begin(configured(seed=4), data)))
    one, other = (begin(configured(seed=seed), data).game.players["generator"] for seed in (4, 5))
    assert not torch.equal(one.expand.weight, other.expand.weight)


def test_each_player_has_its_own_step_size() -> None:
    training = begin(configured(lr_generator=0.25, lr_critic=0.125, beta1=0.5, beta2=0.75), data_of("points"))
    for name, lr in (("generator", 0.25), ("critic", 0.125)):
        (group,) = training.optimizers[name].param_groups
        assert (group["lr"], group["betas"], group["fused"]) == (lr, (0.5, 0.75), True)


def test_a_round_takes_the_share_of_the_step_sizes_that_is_asked_for() -> None:
    config, data = configured(lr_generator=0.25, lr_critic=0.125), data_of("points")
    training = begin(config, data)
    shares = iter([1.0, 0.5, 0.0])
    played = play(training, update_rule(config), Draws.of(training, data, config, CPU), pace=lambda: next(shares))
    next(played)
    next(played)
    sizes = {name: optimizer.param_groups[0]["lr"] for name, optimizer in training.optimizers.items()}
    assert sizes == {"generator": 0.125, "critic": 0.0625}
    before = weights(training)
    next(played)
    assert_same(weights(training), before)


@pytest.mark.parametrize(("variant", "kind"), [("wgan-gp", "text"), ("wgan-gp", "points"), ("dcgan", "image")])
def test_bf16_runs_and_is_finite_and_keeps_weights_in_fp32(variant: str, kind: Kind) -> None:
    config, data = configured(variant, precision="bf16"), data_of(kind)
    training = begin(config, data)
    before = weights(training)
    for terms in rounds(training, config, data, 2):
        assert all(torch.isfinite(value) and value.dtype == torch.float32 for value in terms.values())
    for name, after in weights(training).items():
        assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in after)
        assert any(not torch.equal(a, b) for a, b in zip(before[name], after, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_turn_of_a_round_sees_the_weights_that_the_last_one_left(precision: str) -> None:
    line = nn.Linear(1, 1, bias=False)
    nn.init.ones_(line.weight)
    game = Game(
        players={"generator": line},
        objective={"generator": lambda batch: {"height": line(torch.ones_like(batch.latent)).mean()}},
        turns=("generator",) * 3,
    )
    training = Training(game, {"generator": SGD(line.parameters(), lr=0.25)}, Average(line, 0.0))
    draws = Draws(data_of("points"), 6, 1, 0, CPU)
    (terms,) = islice(play(training, Alternating(), draws, precision=precision), 1)
    assert line.weight.item() == 0.25
    # The heights of the three turns: 1, 0.75 and 0.5.
    assert terms["generator/height"].item() == 0.75


def test_bf16_is_near_fp32() -> None:
    data, states = data_of("text"), {}
    for precision in ("fp32", "bf16"):
        config = configured(precision=precision)
        training = begin(config, data)
        states[precision] = rounds(training, config, data, 1)[0]
    for name, exact in states["fp32"].items():
        assert states["bf16"][name].item() == pytest.approx(exact.item(), rel=0.1, abs=0.02)


def test_rounds_and_their_time_are_counted() -> None:
    config, data = configured(), data_of("points")
    training = begin(config, data)
    rounds(training, config, data, 3)
    assert training.round == 3
    assert training.seconds > 0
    assert training.cpu_seconds > 0


def test_the_configured_update_rule_plays() -> None:
    assert update_rule(configured()) == Alternating()
    assert update_rule(configured(update="simultaneous")) == Simultaneous()
    assert update_rule(configured(update="consensus", consensus=2.5)) == Consensus(2.5, "unbiased")


def test_a_variant_refuses_data_that_it_does_not_play() -> None:
    with pytest.raises(ConfigurationError, match="variant dcgan plays image, and this data is text"):
        begin(configured("dcgan"), data_of("text"))
    unknown, _ = resolve({"test": {"variant": "nonesuch"}})
    with pytest.raises(ConfigurationError, match=r"variant must be one of wgan-gp, .*, got 'nonesuch'"):
        begin(unknown, data_of("text"))


def test_cuda_is_refused_where_there_is_none_and_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device: cuda is not available here, use auto or cpu"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device(name).type for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
