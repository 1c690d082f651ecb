"""What a critic knows of labels, beside what the same network learns from few, and what a linear model reads off it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import CPU, assert_same, begin, configured, rounds
from torch import nn

from training.checkpoint import load_checkpoint
from training.data.arrays import Images, Points
from training.data.few import FewLabelled
from training.display import SilentDisplay
from training.job import train
from training.layers import Layered, MinibatchDiscrimination
from training.measures import Finished
from training.measures.classifying import (
    by_itself,
    classification_error,
    layer_features,
    linear_errors,
    supervised_alone,
)
from training.observer import obeyed
from training.plan import plan
from training.runs import read_json

VARIANT = "semi-supervised-gan"


def clusters(conditioned: bool = True) -> Points:
    """Three far groups of points, whose labels are which."""
    random = np.random.default_rng(0)
    labels = np.arange(90, dtype=np.uint16) % 3
    points = (np.array([[4, 0], [-4, 4], [-4, -4]])[labels] + 0.3 * random.normal(size=(90, 2))).astype(np.float32)
    parts: dict[str, Any] = {"train": points[:60], "train_labels": labels[:60]}
    parts |= {"held_out": points[60:], "held_out_labels": labels[60:]}
    return Points(**parts, digest="", label_names=("a", "b", "c"), conditioned=conditioned)


def finished(data: Points, variant: str, played: int, **changed: Any) -> Finished:
    config = configured(variant, **changed, **{"model.width": 16, "batch_size": 12})
    training = begin(config, data)
    rounds(training, config, data, played)
    return Finished(config, training.game.players, training.average.module, data, None, played)


def test_both_networks_learn_groups_that_lie_apart() -> None:
    run = finished(clusters(), VARIANT, 60, labelled=6, lr_critic=0.01)
    assert classification_error(run) == {"classification_error": 0, "supervised_error": 0}


def test_measuring_changes_nothing_and_gives_the_same_again() -> None:
    run = finished(clusters(), VARIANT, 0, labelled=6)
    before = {name: {k: v.clone() for k, v in player.state_dict().items()} for name, player in run.players.items()}
    state = torch.get_rng_state()
    found = classification_error(run)
    assert torch.equal(torch.get_rng_state(), state)
    assert found == classification_error(run)
    assert_same({name: dict(player.state_dict()) for name, player in run.players.items()}, before)
    assert all(player.training for player in run.players.values())


def test_the_network_alone_learns_from_nothing_but_the_few() -> None:
    data = clusters()
    few = FewLabelled.of(data, 6, 0).rows
    others = np.zeros_like(data.train)
    others[few] = data.train[few]
    emptied = Points(**{**{field.name: getattr(data, field.name) for field in fields(data)}, "train": others})
    one, other, later = (
        supervised_alone(finished(each, VARIANT, played, labelled=6))
        for each, played in ((data, 3), (emptied, 3), (data, 4))
    )
    assert_same(dict(one.state_dict()), dict(other.state_dict()))
    assert not torch.equal(next(one.parameters()), next(later.parameters()))


def test_a_linear_model_reads_groups_off_points_and_off_any_features() -> None:
    found = linear_errors(finished(clusters(conditioned=False), "gan", 2))
    assert set(found) == {"linear_error", "linear_error_of_samples", "linear_error_untrained"}
    assert found["linear_error_of_samples"] == 0
    assert all(error < 0.2 for error in found.values())


def test_a_linear_model_is_not_asked_of_a_critic_that_takes_labels_or_of_data_without() -> None:
    assert linear_errors(finished(clusters(), "cgan", 0)) == {}
    plain = clusters(conditioned=False)
    unlabelled = Points(plain.train, plain.held_out, "")
    assert linear_errors(finished(unlabelled, "gan", 0)) == {}


def test_features_of_images_are_those_of_every_layer_pooled() -> None:
    critic = Layered(
        nn.Conv2d(1, 2, 1), nn.LeakyReLU(), nn.Conv2d(2, 3, 2, stride=2), nn.LeakyReLU(), nn.Flatten(), nn.Linear(48, 1)
    )
    images = torch.randn(5, 1, 8, 8)
    first = critic.layers[:2](images)
    second = critic.layers[2:4](first)
    expected = torch.cat([nn.MaxPool2d(2)(first).flatten(1), second.flatten(1)], dim=1)
    assert torch.equal(layer_features(critic, images), expected)
    assert by_itself(MinibatchDiscrimination(critic)) is critic


def test_a_run_on_text_is_measured_and_says_that_its_strings_have_no_labels(tmp_path: Path) -> None:
    lines = [f"{'ab' * (i % 3 + 1)}{i},{'xyz'[i % 3]}" for i in range(300)]
    source = tmp_path / "names.csv"
    source.write_text("name,kind\n" + "\n".join(lines) + "\n")
    flags = {"data.sources": [str(source)], "data.label": "kind", "variant": VARIANT, "labelled": 9, "max_rounds": 2}
    sizes = {"model.width": 4, "model.depth": 1, "model.latent": 3, "batch_size": 6, "device": "cpu"}
    config, _ = plan({"flag": {**flags, **sizes}})
    scores = train(config, tmp_path / "run", SilentDisplay()).scores
    assert {"classification_error", "supervised_error"} <= scores.keys()
    facts = read_json(tmp_path / "run" / "data.json")
    assert facts["named_labels"] == ["x", "y", "z"]
    assert "labels" not in facts
    assert load_checkpoint(tmp_path / "run" / "checkpoints", CPU) is not None


@pytest.mark.parametrize("variant", [VARIANT, "cgan"])
def test_images_under_labels_are_asked_for_only_where_the_generator_takes_them(variant: str) -> None:
    data = Images(
        np.zeros((20, 1, 8, 8), np.uint8),
        np.zeros((5, 1, 8, 8), np.float32),
        "",
        np.arange(20, dtype=np.uint16) % 2,
        np.arange(5, dtype=np.uint16) % 2,
        ("a", "b"),
        conditioned=True,
    )
    generator = begin(configured(variant, labelled=2), data).average.module
    assert bool(obeyed(generator, data.labels)) == (variant == "cgan")
