"""The players of every variant on every kind of data that it supports: what moves, what stays, what is exported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from small_exports import SYMBOLS, trained
from small_runs import CPU, assert_same, begin, configured, data_of, rounds, stopped_and_continued, undisturbed, weights
from torch import nn

from model.artifact import Artifact
from model.given import Captions, Pictures
from model.latents import latents
from model.sampler import Sampler
from model.samples import SampleModel, SampleSampler, load_model
from training.catalogue import CATALOGUE
from training.data.dataset import Dataset, Kind
from training.export import export_run
from training.loop import Draws, Training
from training.observer import generate, generate_texts, obeyed
from training.updates import Alternating

PAIRS = [(name, kind) for name, entry in CATALOGUE.items() for kind in entry.kinds]
every_pair = pytest.mark.parametrize(("variant", "kind"), PAIRS)


@every_pair
def test_every_variant_moves_every_player_by_finite_terms(variant: str, kind: Kind) -> None:
    config, data = configured(variant), data_of(kind, variant)
    training = begin(config, data)
    before = weights(training)
    for terms in rounds(training, config, data, 2):
        assert all(torch.isfinite(value) for value in terms.values())
        assert {name.partition("/")[0] for name in terms} == {*training.game.players, "gradient_norm"}
    assert training.round == 2
    for name, after in weights(training).items():
        assert any(not torch.equal(a, b) for a, b in zip(before[name], after, strict=True))
        assert all(torch.isfinite(parameter).all() for parameter in after)


@every_pair
def test_a_players_move_changes_its_own_parameters_and_those_of_no_other(variant: str, kind: Kind) -> None:
    config, data = configured(variant), data_of(kind, variant)
    training = begin(config, data)
    draw = Draws.of(training, data, config, CPU).of_round(0)
    for mover in training.game.players:
        before = weights(training)
        alone = replace(training.game, turns=(mover,), turns_of=None)
        Alternating().play_round(alone, training.optimizers, draw)
        after = weights(training)
        assert any(not torch.equal(a, b) for a, b in zip(before.pop(mover), after.pop(mover), strict=True)), mover
        assert_same(before, after)


@every_pair
def test_a_run_that_was_stopped_and_continued_equals_an_undisturbed_one(
    tmp_path: Path, variant: str, kind: Kind
) -> None:
    config, data = configured(variant), data_of(kind, variant)
    assert_same(stopped_and_continued(config, data, tmp_path), undisturbed(config, data))


GRAPHED: set[str] = set()
"""Networks that were exported as graphs: games often differ in their objectives alone, and a graph takes seconds."""


def layers_of(training: Training, kind: Kind) -> str:
    """What graphs are made of, apart from weights."""
    critic = training.game.players["critic"] if kind == "text" else ""
    return f"{kind} {training.average.module} {vars(training.average.module)['form']} {critic}"


@every_pair
def test_what_is_exported_gives_the_samples_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str, kind: Kind
) -> None:
    training, data = trained(tmp_path / "run", variant, kind)
    average, layers = training.average.module, layers_of(training, kind)
    if layers in GRAPHED:
        for module in ("export", "export_samples"):
            monkeypatch.setattr(f"training.{module}.graph_of", lambda *given: b"the graph of layers that are known")
    export_run(tmp_path / "run", tmp_path / "model")
    model = load_model(tmp_path / "model")
    assert model.labels.names == (() if given_of(model) else obeyed(average, data.labels).names)
    assert_same(load_file(tmp_path / "model" / "generator.safetensors"), dict(average.state_dict()))
    if layers not in GRAPHED:
        assert_same_samples(model, average, data)
        GRAPHED.add(layers)


def given_of(model: Artifact | SampleModel) -> Captions | Pictures | None:
    """What its samples are made of besides a latent and a label."""
    return model.given if isinstance(model, SampleModel) else None


@dataclass(frozen=True)
class Told:
    """Samples that are made of rows (M, K) in turn."""

    given: NDArray[np.float32]

    def rows(self, seed: int, first: int, n: int, size: int) -> NDArray[np.float32]:
        return np.hstack([latents(seed, first, n, size), self.given[np.arange(first, first + n) % len(self.given)]])


def assert_same_samples(model: Artifact | SampleModel, average: nn.Module, data: Dataset) -> None:
    latent = configured().model.latent
    if isinstance(model, SampleModel):
        asked = (
            Told(np.random.default_rng(0).uniform(-1, 1, (3, len(model.given))).astype("f4")) if model.given else None
        )
        found = np.concatenate(list(SampleSampler(model, 1).stream(0, 0, 5, given=asked and asked.given)))
        np.testing.assert_allclose(found, generate(average, 5, latent, labels=asked or data.labels), atol=1e-5)
        return
    found = [text for part in Sampler(model, 1).stream(0, 0, 50) for text in part]
    assert found == generate_texts(average, 50, latent, SYMBOLS, labels=data.labels)
