"""Generators with branches by the command line: from lines to strings of a branch, over HTTP too."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from command import Run
from service_process import process
from small_runs import assert_same

import charwgan
from model.artifact import Artifact
from model.engines import Int8Sampler
from model.sampler import Sampler
from model.torch_engine import TorchSampler
from training.checkpoint import load_checkpoint

SMALL = ("--preset=tiny", "--device=cpu", "--set=model.width=8", "--set=model.depth=2", "--set=model.latent=8")
TRAINED = (*SMALL, "--set=data.max_length=8", "--set=ema=0.9")
FORMS = {
    "several": (3, ("--variant=mad-gan", "--set=generators=3")),
    "coded": (4, ("--variant=infogan", "--set=codes=4")),
    "mixed": (5, ("--variant=gan", "--set=generator.mixture=5", "--set=generator.virtual_batch_norm=true")),
}
ROUNDS = 40


@pytest.fixture(scope="module")
def folder(corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and a model of each form, NAME-run and NAME."""
    folder = tmp_path_factory.mktemp("branches")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CHARWGAN_CACHE", str(folder / "cache"))
        for name, (_, form) in FORMS.items():
            run = folder / f"{name}-run"
            for verb in (
                ("train", corpus_file, "--run", run, *TRAINED, *form, f"--max-rounds={ROUNDS}"),
                ("export", run, "--out", folder / name, "--int8", "--int8-samples", "200"),
            ):
                patched.setattr(sys, "argv", ["charwgan", *map(str, verb)])
                with pytest.raises(SystemExit) as stopped:
                    charwgan.main()
                assert not stopped.value.code
    return folder


@pytest.mark.parametrize("name", FORMS)
def test_a_run_and_its_model_name_the_branches_with_equal_shares(folder: Path, name: str) -> None:
    k = FORMS[name][0]
    expected = {"names": [str(i) for i in range(1, k + 1)], "shares": [1 / k] * k, "judged": False}
    for path in (folder / f"{name}-run" / "data.json", folder / name / "config.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["labels"] == expected
    card = (folder / name / "README.md").read_text(encoding="utf-8")
    assert f"`latent` (N, 8 + {k})" in card
    of = {"several": "which of 3 generators makes it", "coded": "of which of 4 labels it is made"}
    assert of.get(name, "which of 5 Gaussians makes it") in card


@pytest.mark.parametrize("name", FORMS)
def test_the_samples_of_the_run_are_the_strings_of_the_model(run: Run, folder: Path, name: str) -> None:
    code, out, _ = run("generate", "--model", folder / name, "-n", "100", "--seed", "0")
    assert code == 0
    assert out == (folder / f"{name}-run" / "samples" / f"{ROUNDS:08d}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FORMS)
def test_a_string_is_of_the_branch_that_is_asked_for_or_drawn(folder: Path, name: str) -> None:
    sampler = Sampler(Artifact.load(folder / name), 1)
    drawn = sampler.latents(3, 0, 200)
    texts, branches = sampler.texts(drawn), sampler.artifact.labels.names_of(drawn)
    each = {label: sampler.texts(sampler.latents(3, 0, 200, label)) for label in sampler.artifact.labels.names}
    assert texts == [each[branch][i] for i, branch in enumerate(branches)]
    assert len({tuple(of_branch) for of_branch in each.values()}) == len(each)
    alone = sampler.texts(sampler.latents(3, 17, 1))
    assert alone == texts[17:18], "whatever is in the batch"


@pytest.mark.parametrize("name", FORMS)
def test_every_engine_has_the_branches(folder: Path, name: str) -> None:
    artifact = Artifact.load(folder / name)
    sampler, of_torch = Sampler(artifact, 1), TorchSampler(artifact, 1, "cpu")
    rows = sampler.latents(3, 0, 200)
    np.testing.assert_allclose(of_torch.logits(rows), sampler.logits(rows), atol=1e-4)
    texts = sampler.texts(rows)
    np.testing.assert_allclose(of_torch.scores(texts), sampler.scores(texts), atol=1e-4)
    in_integers = Int8Sampler(artifact, 1).texts(rows)
    assert artifact.config["int8"]["changed"] < 0.5
    assert len(in_integers) == 200


@pytest.mark.parametrize("name", FORMS)
def test_a_run_and_its_model_have_the_same_scores(
    run: Run, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARWGAN_CACHE", str(folder / "cache"))
    found = [run("evaluate", folder / subject, "-n", "100", "--json") for subject in (f"{name}-run", name)]
    assert [code for code, _, _ in found] == [0, 0], found
    of_run, of_model = (json.loads(out)["rows"][-1] for _, out, _ in found)
    assert {**of_run, "name": name} == of_model


def test_the_service_makes_strings_of_a_branch_and_judges_them_without_it(run: Run, folder: Path) -> None:
    asked = ("generate", "-n", "20", "--seed", "1", "--label", "2")
    here = run(*asked, "--model", folder / "several")
    with process("--model", str(folder / "several")) as service, httpx.Client(base_url=service.url) as client:
        assert run(*asked, "--url", service.url) == here
        drawn = client.post("/v1/generate", json={"n": 30, "seed": 1, "scores": True}).json()
        assert set(drawn["labels"]) == {"1", "2", "3"}
        scores = [
            client.post("/v1/score", json={"texts": drawn["texts"], **label}).json()["scores"]
            for label in ({}, {"label": "2"})
        ]
        assert scores[0] == scores[1] == pytest.approx(drawn["scores"], abs=1e-5)
        unknown = client.post("/v1/generate", json={"n": 1, "label": "4"})
        assert (unknown.status_code, "label must be one of the 3 labels" in unknown.text) == (422, True)
        listed = client.get("/v1/models/several").json()["labels"]
    assert listed == [{"name": str(i), "share": pytest.approx(1 / 3)} for i in (1, 2, 3)]


@pytest.mark.parametrize("name", FORMS)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    run: Run, folder: Path, corpus_file: Path, tmp_path: Path, name: str
) -> None:
    asked = ("train", corpus_file, "--run", tmp_path / "r", *TRAINED, *FORMS[name][1])
    assert run(*asked, "--max-rounds=15")[0] == 0
    assert run("train", "--run", tmp_path / "r", "--resume", f"--max-rounds={ROUNDS}")[0] == 0
    states = [
        load_checkpoint(path / "checkpoints", torch.device("cpu")) for path in (tmp_path / "r", folder / f"{name}-run")
    ]
    found, expected = ({k: v for k, v in (state or {}).items() if "seconds" not in k} for state in states)
    assert found["round"] == ROUNDS
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("data", "form"),
    [
        ("builtin:ring", "--variant=mad-gan"),
        ("builtin:ring", "--variant=mad-gan-sim"),
        ("builtin:digits", "--variant=mad-gan"),
        ("builtin:digits", "--set=generator.mixture=4"),
    ],
)
def test_points_and_images_have_branches_too(run: Run, tmp_path: Path, data: str, form: str) -> None:
    code, _, err = run("train", data, "--run", "r", *SMALL, form, "--set=batch_size=16", "--max-rounds=3")
    assert code == 0, err
    assert (tmp_path / "r" / "samples" / "00000003.png").is_file()
    scores = json.loads((tmp_path / "r" / "result.json").read_text(encoding="utf-8"))["scores"]
    assert "modes" in scores
    assert run("evaluate", "r", "-n", "100")[0] == 0


@pytest.mark.parametrize(
    ("further", "told"),
    [
        (("--variant=mad-gan", "--set=generator.mixture=2"), "generator.mixture = 2 cannot be had with mad-gan"),
        (("--variant=gan", "--set=generators=2"), "generators = 2 has no effect on variant gan"),
        (("--variant=mad-gan", "--set=similarity=2"), "similarity = 2 has no effect on variant mad-gan"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_training(
    run: Run, corpus_file: Path, tmp_path: Path, further: tuple[str, ...], told: str
) -> None:
    code, _, err = run("train", corpus_file, "--run", "r", *SMALL, *further, "--max-rounds=3")
    assert code != 0
    assert told in err
    assert not (tmp_path / "r" / "config.json").exists()
