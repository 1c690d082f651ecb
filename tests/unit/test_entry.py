"""From options to a run: which layer a continued run is, what a dry run tells, and how an interruption is worded."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from training import entry
from training.configuration import Config
from training.display import PlainDisplay
from training.job import Outcome, train
from training.plan import plan
from training.preparation import cautions, reads_once
from training.presets import PRESETS
from training.runs import differences, read_config, write_json


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHARWGAN_CACHE", str(tmp_path / "cache"))


def begun(run: Path, **flags: Any) -> Config:
    """The configuration of a run that was started with those flags."""
    config, _ = plan({"flag": {"data.sources": ["names.txt"], **flags}})
    run.mkdir()
    write_json(run / "config.json", config.model_dump(mode="json"))
    return config


def continued(run: Path, **flags: Any) -> Config:
    return plan(entry.layers_of(data=(), run=run, environment={}, **flags))[0]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_resumed_run_has_the_configuration_that_it_was_begun_with(tmp_path: Path, preset: str) -> None:
    config = begun(tmp_path / "run", preset=preset)
    assert continued(tmp_path / "run") == config == read_config(tmp_path / "run")


@pytest.mark.parametrize("flags", [{"data.sources": ["builtin:docs"]}, {"variant": "wgan"}, {"update": "consensus"}])
def test_so_has_one_whose_data_or_variant_brought_defaults(tmp_path: Path, flags: dict[str, Any]) -> None:
    config = begun(tmp_path / "run", **flags)
    assert continued(tmp_path / "run") == config


def test_a_preset_that_is_asked_for_of_a_run_that_goes_on_is_a_difference(tmp_path: Path) -> None:
    before = begun(tmp_path / "run", preset="tiny", **{"model.width": 8})
    after = continued(tmp_path / "run", preset="small")
    assert (after.model.depth, after.model.width, after.n_critic) == (5, 64, 2)
    assert "model.depth: 2 -> 5" in differences(before, after)
    assert differences(before, continued(tmp_path / "run", preset="tiny")) == ["model.width: 8 -> 64"]
    assert continued(tmp_path / "run", preset="tiny", assignments=["model.width=8"]) == before
    job = tmp_path / "job.toml"
    job.write_text('preset = "tiny"\n[model]\nwidth = 8\n', encoding="utf-8")
    assert continued(tmp_path / "run", config=job) == before


def test_a_variants_defaults_still_stand_over_the_preset_that_is_asked_for_again(tmp_path: Path) -> None:
    before = begun(tmp_path / "run", preset="tiny", variant="wgan")
    assert continued(tmp_path / "run", preset="tiny") == before


def test_a_key_that_was_unset_stays_unset_and_a_flag_sets_it(tmp_path: Path) -> None:
    begun(tmp_path / "run", preset="paper")
    assert continued(tmp_path / "run").max_seconds is None
    assert continued(tmp_path / "run", max_seconds=5.0).max_seconds == 5.0


@pytest.mark.parametrize("update", ["simultaneous", "consensus"])
def test_a_dry_run_says_that_n_critic_has_no_effect(update: str) -> None:
    layers = {"flag": {"data.sources": ["builtin:ring"], "update": update, "n_critic": 3, "device": "cpu"}}
    told = f"n_critic = 3 has no effect: under update = {update} every player moves once in a round"
    assert told in entry.dry_run(layers).splitlines()
    assert cautions(plan({"flag": {**layers["flag"], "update": "alternating"}})[0]) == []


@pytest.mark.parametrize(
    ("key", "value", "needed"),
    [
        ("consensus", 5.0, {"update": "consensus"}),
        ("consensus_estimator", "biased", {"update": "consensus"}),
        ("unrolled_lr", 0.5, {"unrolled": 1, "variant": "gan"}),
        ("instance_noise_rounds", 7, {"instance_noise": 0.1}),
    ],
)
def test_a_key_that_does_nothing_without_another_is_told_of(key: str, value: object, needed: dict[str, object]) -> None:
    asked = {"data.sources": ["builtin:ring"], "n_critic": 1, key: value}
    (told,) = cautions(plan({"flag": asked})[0])
    assert told.startswith(f"{key} = {value} has no effect: ask for ")
    assert cautions(plan({"flag": {**asked, **needed}})[0]) == []


def test_adams_decays_are_told_of_where_another_optimiser_steps() -> None:
    asked = {"data.sources": ["builtin:ring"], "n_critic": 1, "beta1": 0.3, "beta2": 0.8}
    told = {name: cautions(plan({"flag": {**asked, "optimizer": name}})[0]) for name in ("adam", "rmsprop", "sgd")}
    assert told["adam"] == []
    assert told["rmsprop"] == ["beta1 = 0.3 has no effect: it is Adam's"]
    assert told["sgd"] == [*told["rmsprop"], "beta2 = 0.8 has no effect: it is Adam's and RMSProp's"]


def test_an_interruption_before_the_first_round_does_not_claim_that_something_was_saved() -> None:
    outcome = Outcome(Path("my run"), 0, 0.0, 0.0, signal=2)
    assert entry.interruption(outcome) == (
        "interrupted before the first round, nothing was saved; "
        "begin again with: charwgan train --run 'my run' --resume"
    )
    outcome = Outcome(Path("my run"), 7, 1.0, 1.0, signal=2)
    assert entry.interruption(outcome) == (
        "interrupted at round 7, saved; continue with: charwgan train --run 'my run' --resume"
    )


def test_standard_input_and_pipes_are_read_once_and_files_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    once = [
        reads_once(str(source)) for source in ("-", tmp_path / "pipe", tmp_path / "file", tmp_path, "builtin:names")
    ]
    assert once == [True, True, False, False, False]
    assert not reads_once("n" * 5000)


def test_a_dry_run_of_a_continued_run_reads_the_data_that_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"model.width": 4, "model.depth": 1, "max_rounds": 1, "threads": 1, "device": "cpu", "preset": "tiny"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"anna\nbea\ncarl\n" * 20)))
    train(plan({"flag": {"data.sources": ["-"], **small}})[0], tmp_path / "run", PlainDisplay())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    layers = entry.layers_of(data=(), run=tmp_path / "run", environment={})
    assert "60 lines read." in entry.dry_run(layers, tmp_path / "run")
