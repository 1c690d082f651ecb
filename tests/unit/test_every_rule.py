"""Every update rule plays every game of the catalogue on every kind of data, with every optimiser in turn."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest
import torch
from small_runs import CPU, assert_same, begin, configured, data_of, lasting, rounds, weights

from training.catalogue import CATALOGUE
from training.checkpoint import from_bytes, to_bytes
from training.configuration import Config
from training.data.dataset import Dataset, Kind
from training.loop import Training
from training.optimizers import MAKERS

RULES: tuple[str, ...] = get_args(Config.model_fields["update"].annotation)
OPTIMIZERS = tuple(MAKERS)
GAMES = [(variant, kind) for variant, entry in CATALOGUE.items() for kind in entry.kinds]
# A Latin square: each rule and each game meets every optimiser, and they each other.
MATRIX = [
    (rule, OPTIMIZERS[(i + j) % len(OPTIMIZERS)], *game)
    for (i, rule), (j, game) in product(enumerate(RULES), enumerate(GAMES))
]
AMONG_THE_LATER = 25  # rounds, for in those before some critics move a hundred times
STEPS = {"lr_generator": 1e-3, "lr_critic": 1e-3}


def begun(config: Config, data: Dataset) -> Training:
    training = begin(config, data)
    training.round = AMONG_THE_LATER
    return training


def assert_played_and_gone_on_with(config: Config, data: Dataset) -> None:
    """Finite terms, players that move, and a state that is gone on with as if it had never been saved."""
    training, resumed = begun(config, data), begun(config, data)
    before = weights(training)
    for terms in rounds(training, config, data, 2):
        assert all(torch.isfinite(value) for value in terms.values()), terms
    for name, after in weights(training).items():
        assert any(not torch.equal(a, b) for a, b in zip(before[name], after, strict=True)), name
        assert all(torch.isfinite(weight).all() for weight in after), name
    state = to_bytes(training.state_dict())
    rounds(training, config, data, 2)
    resumed.load_state_dict(from_bytes(state, CPU))
    rounds(resumed, config, data, 2)
    assert_same(lasting(resumed), lasting(training))


@pytest.mark.parametrize(("rule", "optimizer", "variant", "kind"), MATRIX)
def test_every_rule_plays_every_game_and_resumes_exactly(rule: str, optimizer: str, variant: str, kind: Kind) -> None:
    config = configured(variant, update=rule, optimizer=optimizer, **STEPS)
    assert_played_and_gone_on_with(config, data_of(kind, variant))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_plays_with_every_optimiser(rule: str, optimizer: str) -> None:
    config = configured("gan", update=rule, optimizer=optimizer, **STEPS)
    assert_played_and_gone_on_with(config, data_of("points"))


@pytest.mark.parametrize("estimator", ["biased", "per-sample", "u-statistic"])
@pytest.mark.parametrize("variant", ["wgan-gp", "gan"])
@pytest.mark.parametrize("kind", ["text", "points"])
def test_every_estimator_plays_and_resumes_exactly(estimator: str, variant: str, kind: Kind) -> None:
    config = configured(variant, update="consensus", consensus_estimator=estimator, batch_size=5, **STEPS)
    assert_played_and_gone_on_with(config, data_of(kind))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "changed",
    [
        {"precision": "bf16"},
        {"historical_averaging": 0.1},
        {"generator.mixture": 2, "critic.norm": "spectral"},
        {"instance_noise": 0.3, "critic.pack": 3},
        {"feature_matching": True, "critic.norm": "layer"},
    ],
    ids=lambda changed: " ".join(changed),
)
def test_every_rule_plays_with_cures_and_in_bf16(rule: str, changed: dict[str, object]) -> None:
    config = configured("gan", **{"update": rule, "optimizer": "rmsprop", **STEPS, **changed})
    assert_played_and_gone_on_with(config, data_of("points"))
