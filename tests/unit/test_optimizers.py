"""The configured optimisers: their steps by hand, their settings, and what a run that goes on keeps of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_runs import CPU, assert_same, begin, configured, data_of, lasting, rounds
from torch import nn
from torch.optim import SGD, RMSprop

from training.captured import _steps_on_the_device
from training.checkpoint import from_bytes, to_bytes
from training.configuration import Config
from training.layering import resolve
from training.optimizers import MAKERS, make_optimizer

G = (0.3, -0.7, 0.2)  # gradients of three steps
LR, BETA1, BETA2, EPSILON = 0.01, 0.6, 0.8, 1e-8


def config_of(name: str) -> Config:
    config, _ = resolve(
        {"test": {"optimizer": name, "lr_critic": LR, "lr_generator": 10 * LR, "beta1": BETA1, "beta2": BETA2}}
    )
    return config


def adam(decay: float) -> float:
    w, mean, square = 1.0, 0.0, 0.0
    for t, g in enumerate(G, 1):
        w -= LR * decay * w
        mean, square = BETA1 * mean + (1 - BETA1) * g, BETA2 * square + (1 - BETA2) * g**2
        w -= LR * (mean / (1 - BETA1**t)) / ((square / (1 - BETA2**t)) ** 0.5 + EPSILON)
    return w


def rmsprop() -> float:
    w, square = 1.0, 0.0
    for g in G:
        square = BETA2 * square + (1 - BETA2) * g**2
        w -= LR * g / (square**0.5 + EPSILON)
    return w


def adagrad() -> float:
    w, total = 1.0, 0.0
    for g in G:
        total += g**2
        w -= LR * g / (total**0.5 + 1e-10)
    return w


BY_HAND: dict[str, Callable[[], float]] = {
    "adam": lambda: adam(0.0),
    "adamw": lambda: adam(0.01),
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "sgd": lambda: 1.0 - LR * sum(G),
}


@pytest.mark.parametrize("name", MAKERS)
def test_three_steps_are_those_by_hand(name: str) -> None:
    weight = nn.Parameter(torch.ones((), dtype=torch.float64))
    optimizer = make_optimizer("critic", [weight], config_of(name))
    for g in G:
        weight.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
    assert weight.item() == pytest.approx(BY_HAND[name](), rel=1e-9)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("player", "lr"), [("critic", LR), ("critic_back", LR), ("encoder", 10 * LR), ("generator", 10 * LR)]
)
def test_critics_have_a_step_size_of_their_own(name: str, player: str, lr: float) -> None:
    optimizer = make_optimizer(player, [nn.Parameter(torch.ones(1))], config_of(name))
    assert [group["lr"] for group in optimizer.param_groups] == [lr]


def test_all_weights_go_in_one_kernel_where_torch_has_it_on_every_device() -> None:
    weights = [nn.Parameter(torch.ones(1))]
    fused = [name for name in MAKERS if make_optimizer("critic", weights, config_of(name)).defaults.get("fused")]
    assert fused == ["adam", "adamw", "sgd"]


@pytest.mark.parametrize("name", MAKERS)
def test_a_run_goes_on_with_other_settings_if_they_are_asked_for(name: str) -> None:
    data, before = data_of("points"), configured("gan", optimizer=name)
    training = begin(before, data)
    rounds(training, before, data, 1)
    state = from_bytes(to_bytes(training.state_dict()), CPU)
    after = before.model_copy(update={"lr_critic": 0.25, "beta1": 0.3, "beta2": 0.4})
    continued = begin(after, data)
    continued.load_state_dict(state)
    (fresh,), (group,) = (each.optimizers["critic"].param_groups for each in (begin(after, data), continued))
    assert {**group, "params": None} == {**fresh, "params": None}
    held = [each.optimizers["critic"].state_dict()["state"] for each in (training, continued)]
    assert_same(*held)


@pytest.mark.parametrize("name", MAKERS)
def test_a_run_that_goes_on_with_another_optimiser_begins_that_one_anew(name: str) -> None:
    data, other = data_of("points"), "adagrad" if name == "rmsprop" else "rmsprop"
    training, config = begin(configured("gan", optimizer=name), data), configured("gan", optimizer=other)
    rounds(training, configured("gan", optimizer=name), data, 1)
    continued, expected = begin(config, data), begin(config, data)
    continued.load_state_dict(from_bytes(to_bytes(training.state_dict()), CPU))
    assert_same(lasting(continued)["players"], lasting(training)["players"])
    assert_same(lasting(continued)["optimizers"], lasting(expected)["optimizers"])
    assert all(torch.isfinite(value) for value in rounds(continued, config, data, 1)[0].values())


def test_a_checkpoint_that_does_not_name_its_optimiser_is_adams() -> None:
    data, config = data_of("points"), configured("gan")
    training, continued = begin(config, data), begin(config, data)
    rounds(training, config, data, 2)
    state = from_bytes(to_bytes(training.state_dict()), CPU)
    for each in state["optimizers"].values():
        assert each.pop("kind") == "Adam"
    continued.load_state_dict(state)
    for each in (training, continued):
        rounds(each, config, data, 1)
    assert_same(lasting(continued), lasting(training))


def test_what_a_graph_counts_lies_where_the_weights_are() -> None:
    weight = nn.Parameter(torch.empty(1, device="meta"))
    counting, plain = RMSprop([weight]), SGD([weight])
    for optimizer in (counting, plain):
        optimizer.state[weight] = {"step": torch.tensor(3.0), "square_avg": torch.zeros(1)}
    _steps_on_the_device([counting, plain])
    assert counting.state[weight]["step"].device.type == "meta"
    assert plain.state[weight]["step"].device == counting.state[weight]["square_avg"].device == CPU
