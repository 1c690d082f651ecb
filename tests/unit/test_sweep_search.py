"""The space of a sweep: what --search takes, and one line for what it does not."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from model.errors import ConfigurationError
from training.layering import read_environment
from training.plan import plan
from training.sweep.search import Choice, Range, parse_search, parse_searches, with_values

LAYERS = {"environment": read_environment({}), "flag": {"data.sources": ("builtin:names",)}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr_critic=1e-4..1e-2:log", Range("lr_critic", 1e-4, 1e-2, True, False)),
        ("beta1=0..0.9", Range("beta1", 0, 0.9, False, False)),
        ("beta1 = .1...9", Range("beta1", 0.1, 0.9, False, False)),
        ("model.depth=2..6", Range("model.depth", 2, 6, False, True)),
        ("model.width=32..512:log", Range("model.width", 32, 512, True, True)),
        ("data.max_length=8..16", Range("data.max_length", 8, 16, False, True)),
        ("penalty=1..10", Range("penalty", 1, 10, False, False)),
        ("model.width=32,64,128", Choice("model.width", (32, 64, 128))),
        ("update=alternating, consensus", Choice("update", ("alternating", "consensus"))),
        ("preset=tiny,small", Choice("preset", ("tiny", "small"))),
        ("data.sources=../a.txt,../b.txt", Choice("data.sources", ("../a.txt", "../b.txt"))),
    ],
)
def test_ranges_and_choices_are_read(text: str, expected: Any) -> None:
    assert parse_search(text) == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["model.width"], "--search takes key=low..high, key=low..high:log or key=a,b,c, got 'model.width'"),
        (["=1..2"], "--search takes"),
        (["model.width=64"], "--search takes .*, got 'model.width=64'"),
        (["model.width=1..x"], "--search takes .*, got 'model.width=1..x'"),
        (["data.sources=[1],[2]"], "--search takes"),
        (["model.width=32,64,32"], "--search model.width: every choice once, got 32,64,32"),
        (["model.width=64..32"], "model.width: the lower bound must be below the upper one, got 64..32"),
        (["beta1=0..0.9:log"], "beta1: a range on a logarithmic scale must begin above 0, got 0..0.9:log"),
        (["max_seconds=10..20"], "max_seconds: trials are compared at one budget"),
        (["beta1=0..0.5", "beta1=0.6,0.7"], "beta1: once for each key, got it 2 times"),
        (["model.depth=1..65"], "model.depth: .*less than or equal to 64, got 65"),
        (["model.depth=1.5..3"], "model.depth: .*valid integer.*, got 1.5"),
        (["model.kernel=3..7"], "model.kernel must be odd .*, got 4"),
        (["update=alternating,sideways"], "update: .*'optimistic', got 'sideways'"),
    ],
)
def test_what_is_wrong_is_told_with_the_key_the_bound_and_the_value(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_searches(texts, LAYERS)


@pytest.mark.parametrize("key", ["model.widht", "nonsense", "seed.x"])
def test_an_unknown_key_is_refused_as_by_set(key: str) -> None:
    with pytest.raises(ConfigurationError) as searched:
        parse_searches([f"{key}=1..2"], LAYERS)
    with pytest.raises(ConfigurationError) as set_:
        plan(with_values(LAYERS, {key: 1}))
    assert str(searched.value) == str(set_.value)
    assert f"unknown configuration key '{key}'" in str(searched.value)


def test_a_trial_draws_within_the_space_and_its_values_stand_over_all_others() -> None:
    space = parse_searches(["model.depth=2..3", "lr_critic=1e-4..1e-3:log", "model.width=8,16"], LAYERS)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    values = {dimension.key: dimension.suggest(trial) for dimension in space}
    config, _ = plan(with_values({"file": {"model.depth": 9}, **LAYERS}, values))
    assert config.model.depth in (2, 3)
    assert 1e-4 <= config.lr_critic <= 1e-3
    assert config.model.width in (8, 16)
