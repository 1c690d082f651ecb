"""The command line with labels: strings and scores of a conditional model."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Run
from conditional_model import LABELS
from service_process import process

from model.artifact import Artifact
from model.sampler import Sampler


@pytest.mark.parametrize("label", [None, *LABELS.names])
def test_generate_prints_strings_of_a_label_or_of_those_that_they_draw(
    run: Run, conditional_model: Path, label: str | None
) -> None:
    sampler = Sampler(Artifact.load(conditional_model), 1)
    texts = sampler.texts(sampler.latents(7, 3, 40, label))
    asked = ["--label", label] if label else []
    code, out, _ = run("generate", "--model", conditional_model, "-n", "40", "--seed", "7", "--first", "3", *asked)
    assert (code, out.splitlines()) == (0, texts)


def test_an_unknown_label_is_one_line_with_those_that_there_are(run: Run, conditional_model: Path) -> None:
    code, out, err = run("generate", "--model", conditional_model, "--seed", "1", "--label", "atlantis")
    assert (code, out) == (2, "")
    assert err == "charwgan: the model has no label of that name: it has 3 labels: de, fr, it\n"


def test_a_label_for_a_model_without_labels_is_one_line(run: Run, tiny_model: Path) -> None:
    code, out, err = run("generate", "--model", tiny_model, "--seed", "1", "--label", "de")
    assert (code, out, err) == (2, "", "charwgan: the model is not conditional: leave the label out\n")


def test_score_judges_lines_as_ones_of_a_label(run: Run, conditional_model: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("abab\ncdcd\n")
    scores = Sampler(Artifact.load(conditional_model), 1).scores(["abab", "cdcd"], ["fr", "fr"])
    code, out, _ = run("score", "--model", conditional_model, "--label", "fr", "lines.txt")
    found = [float(line.split("\t")[0]) for line in out.splitlines()]
    assert code == 0
    assert found == pytest.approx(scores.tolist(), abs=1e-4)
    code, out, err = run("score", "--model", conditional_model, "lines.txt")
    assert (code, out, "say of which label the texts are" in err) == (2, "", True)


def test_strings_of_a_label_are_the_same_over_http(run: Run, conditional_model: Path) -> None:
    common = ("generate", "-n", "300", "--seed", "7", "--label", "fr")
    with process("--model", conditional_model) as service:
        there = run(*common, "--url", service.url)
        refused = run("generate", "--seed", "1", "--url", service.url, "--label", "atlantis")
    assert there == run(*common, "--model", conditional_model)
    assert (refused[0], "GET /v1/models/countries" in refused[2]) == (1, True)
