"""Runs on points and images: what is scored while they learn, at their end, and afterwards by `charwgan evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from charwgan import cli
from model.errors import ConfigurationError, RunError
from training.appraisal import appraise, real_and_generated
from training.checkpoint import load_checkpoint
from training.configuration import Config
from training.display import PlainDisplay, Progress
from training.evaluation.classifier import FILE
from training.evaluation.likeness import scores_in
from training.evaluation.mode_table import ModeTable
from training.job import Outcome, train
from training.journal import read_log
from training.plan import plan
from training.preparation import check_decay
from training.runs import read_json

SMALL: dict[str, Any] = {"preset": "tiny", "model.width": 8, "model.depth": 1, "model.latent": 8, "batch_size": 16,
                         "device": "cpu", "max_seconds": 600.0}  # fmt: skip
MODES = {"modes", "high_quality", "reverse_kl"}


class Quiet(PlainDisplay):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def show(self, progress: Progress, *, looked: bool) -> None:
        self.scores = dict(progress.scores)


def play(
    source: Path | str, run: Path, rounds: int = 2, *, again: bool = False, **changed: Any
) -> tuple[Outcome, Quiet]:
    display = Quiet()
    config, _ = plan({"flag": {**SMALL, "data.sources": [str(source)], "max_rounds": rounds, **changed}})
    return train(config, run, display, resume=again, allow_changes=again), display


def images(folder: Path, *, labels: bool = True) -> Path:
    """Forty noisy images of four greys, in an .npz."""
    marks = np.arange(40) % 4
    pixels = (60 * marks[:, None, None] + np.random.default_rng(0).integers(0, 30, (40, 8, 8))).astype(np.uint8)
    np.savez(folder / "images.npz", x=pixels, **({"y": marks} if labels else {}))
    return folder / "images.npz"


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "ring"
    play("builtin:ring", run)
    return run


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stacks")
    play(images(folder), folder / "run", variant="gan", **{"data.label": "y", "data.stack": True})
    return folder / "run"


def test_looks_log_the_modes_beside_those_of_real_points(ring: Path) -> None:
    row = list(read_log(ring))[-1]
    assert row["score/modes_floor"] == 8
    assert row["score/high_quality_floor"] == pytest.approx(0.989, abs=0.01)
    assert {"score/modes", "score/high_quality"} <= set(row)


def test_the_end_has_the_scores_of_2500_points_in_every_file(ring: Path) -> None:
    scores, metrics = read_json(ring / "result.json")["scores"], read_json(ring / "metrics.json")
    assert {"modes", "high_quality"} <= set(scores)
    real, model = metrics["rows"]
    assert (metrics["n"], metrics["round"]) == (2500, 2)
    assert (real["name"], real["scores"]["modes"], model["name"]) == ("real", 8, "model")
    assert {key: value for key, value in model["scores"].items() if value is not None} == scores
    assert set(metrics["definitions"]) >= MODES
    page = (ring / "report.html").read_text(encoding="utf-8")
    assert "modes<br>of 8" in page
    assert "could not be read" not in page
    assert page.count("data:image/png;base64,") == 2, "the points, and those between two latents"
    assert ">Modes<" in page


def test_a_run_is_evaluated_again_by_its_name_with_the_same_scores(ring: Path) -> None:
    done = CliRunner().invoke(cli, ["evaluate", str(ring), "--json"])
    assert done.exit_code == 0
    found, kept = json.loads(done.stdout), read_json(ring / "metrics.json")
    assert [row["name"] for row in found["rows"]] == ["real", "ring"]
    assert [row["scores"] for row in found["rows"]] == [row["scores"] for row in kept["rows"]]
    table = CliRunner().invoke(cli, ["evaluate", str(ring), "-n", "100", "--seed", "4"])
    assert "100 samples in every row." in table.stdout


def test_stacks_are_scored_by_a_classifier_that_is_kept_and_whose_accuracy_is_told(stacks: Path) -> None:
    metrics = read_json(stacks / "metrics.json")
    assert metrics["n"] == 26_000
    assert metrics["facts"]["held_out_accuracy"] == 1.0
    assert metrics["rows"][0]["scores"]["modes"] == 64
    assert (stacks / FILE).is_file()
    assert "right on 100.0%" in (stacks / "report.html").read_text(encoding="utf-8")
    before = (stacks / FILE).read_bytes()
    table, warning = appraise(stacks, (), n=500)
    assert isinstance(table, ModeTable)
    assert (table.n, warning) == (500, None)
    assert (stacks / FILE).read_bytes() == before


def test_a_run_that_goes_on_says_what_its_data_is_and_keeps_its_classifier(tmp_path: Path) -> None:
    options = {"variant": "gan", "data.label": "y"}
    _, first = play(images(tmp_path), tmp_path / "run", 1, **options)
    _, again = play(images(tmp_path), tmp_path / "run", 2, again=True, **options)
    assert sum(line.startswith("A classifier of 4 labels, to count modes by: right on") for line in first.said) == 1
    assert not any("A classifier" in line for line in again.said)
    assert again.scores["modes_floor"] == 4
    assert read_json(tmp_path / "run" / "metrics.json")["columns"]["modes"] == "modes\nof 4"


def test_images_without_labels_have_no_scores_and_evaluate_says_why(tmp_path: Path) -> None:
    outcome, display = play(images(tmp_path, labels=False), tmp_path / "run", variant="gan")
    assert outcome.scores == display.scores == {}
    assert not (tmp_path / "run" / "metrics.json").exists()
    with pytest.raises(ConfigurationError, match=r"nothing to be scored by: .* images by their labels, of which this"):
        appraise(tmp_path / "run", ())


def test_a_run_may_be_held_against_other_data_of_its_kind_with_a_warning(ring: Path) -> None:
    table, warning = appraise(ring, ("builtin:grid",), n=50)
    assert isinstance(table, ModeTable)
    assert table.columns["modes"] == "modes\nof 25"
    assert warning == "this is not the data of the training"
    with pytest.raises(ConfigurationError, match=r"--data must be points or images, .*, got text"):
        appraise(ring, ("builtin:docs",))


def test_data_of_another_shape_does_not_fit(ring: Path) -> None:
    with pytest.raises(RunError, match="does not fit the networks for this data"):
        appraise(ring, ("builtin:mixture1d",), n=50)


def sizes_of_steps(run: Path) -> set[float]:
    state = load_checkpoint(run / "checkpoints", torch.device("cpu"))
    assert state is not None
    return {group["lr"] for optimizer in state["optimizers"].values() for group in optimizer["param_groups"]}


def test_steps_fall_to_a_hundredth_at_the_end_and_stay_where_they_are_not_to_fall(tmp_path: Path) -> None:
    steps = {"lr_critic": 0.01, "lr_generator": 0.01, "ema": 0.0}
    play("builtin:ring", tmp_path / "falling", 150, decay="linear", **steps)
    (last,) = sizes_of_steps(tmp_path / "falling")
    assert last == pytest.approx(1e-4)
    play("builtin:ring", tmp_path / "steady", 2, **steps)
    assert sizes_of_steps(tmp_path / "steady") == {0.01}


def test_falling_steps_need_an_end_that_all_ranks_see_alike() -> None:
    def config(**ends: Any) -> Config:
        return Config(**{"decay": "linear", **ends})

    with pytest.raises(ConfigurationError, match="decay = linear needs an end to fall to"):
        check_decay(config())
    with pytest.raises(ConfigurationError, match="decay = linear on 2 ranks needs an end in rounds"):
        check_decay(config(max_rounds=5, max_seconds=1.0), ranks=2)
    check_decay(config(max_rounds=5), ranks=2)


def test_labelled_images_can_be_learned_under_their_labels(tmp_path: Path) -> None:
    source, run = images(tmp_path), tmp_path / "run"
    outcome, display = play(source, run, variant="cgan", **{"data.label": "y"})
    assert "Every one is learned under its label, of which there are 4." in display.said
    assert 0 <= outcome.scores["label_accuracy"] <= 1
    assert read_json(run / "result.json")["scores"]["label_accuracy"] == outcome.scores["label_accuracy"]


def test_labelled_images_are_held_against_real_ones_in_the_table_of_a_finished_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    architecture = {"model.architecture": "mlp", "augment": "color,translation,cutout"}
    outcome, display = play(images(tmp_path), run, variant="dcgan", **{"data.label": "y", **architecture})
    looked_at = {"classifier_score", "classifier_frechet", "precision", "recall"}
    assert looked_at <= set(outcome.scores)
    assert not looked_at & set(display.scores), "a look is to be cheap"
    real = read_json(run / "metrics.json")["rows"][0]["scores"]
    assert 3 < real["classifier_score"] <= 4
    assert 0 <= real["classifier_frechet"] < outcome.scores["classifier_frechet"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "clsf<br>Frech" in page
    half = read_json(run / "data.json")["train"] // 2
    assert f"of {half} samples against {half} training ones" in page


def test_samples_of_a_run_can_be_scored_in_features_of_ones_own(ring: Path, tmp_path: Path) -> None:
    real, generated = real_and_generated(ring, 40, seed=3)
    assert real.shape == generated.shape == (40, 2)
    assert set(scores_in(lambda points: points, real, generated)) == {"frechet", "precision", "recall"}
    lines = tmp_path / "lines.txt"
    lines.write_text("a\nb\nc\n" * 9)
    play(lines, tmp_path / "run", 1)
    with pytest.raises(ConfigurationError, match="must be a run on points or images, and is one on text"):
        real_and_generated(tmp_path / "run", 4)


def test_learning_under_labels_that_are_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has none: name their array by data\.label"):
        play(images(tmp_path, labels=False), tmp_path / "run", variant="cgan")
    lines = tmp_path / "lines.txt"
    lines.write_text("a\nb\nc\n" * 9)
    with pytest.raises(ConfigurationError, match=r"of text it is data\.label that says where they are"):
        play(lines, tmp_path / "run", variant="cgan")
