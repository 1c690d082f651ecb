"""The model that comes with charwgan: whole, small, of the committed job, and served where none is named."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from service_process import ROOT, process

from charwgan import cli
from model import artifact as artifacts
from model.artifact import SHIPPED_MODEL, Artifact
from service.settings_sources import resolve
from training.batch import run_batch
from training.configuration import Config
from training.layering import read_job
from training.plan import plan

MOST = 4_000_000  # bytes of its folder
JOB = ROOT / "jobs" / "names-tiny.toml"
LOCALES = ("de_DE", "en_US", "es_ES", "fi_FI", "it_IT", "tr_TR")


@pytest.fixture(scope="module")
def shipped() -> Artifact:
    return Artifact.load(SHIPPED_MODEL)


def test_it_is_whole_and_small_and_of_the_committed_job(shipped: Artifact) -> None:
    assert sum(path.stat().st_size for path in SHIPPED_MODEL.iterdir()) < MOST
    assert {path.name for path in SHIPPED_MODEL.iterdir()} == {*shipped.digests, "manifest.json"}
    config, _ = plan({"file": read_job(JOB)})
    assert Config.model_validate(shipped.config["training"]) == config  # keys that came later have their defaults
    assert shipped.config["rounds"] == config.max_rounds
    assert shipped.labels.names == LOCALES


def test_its_card_says_what_it_is_and_what_may_be_done_with_it(shipped: Artifact) -> None:
    card, told = shipped.card, tomllib.loads(JOB.read_text(encoding="utf-8"))["card"]
    for text in (told["licence"], told["note"]):
        assert " ".join(text.split()) in card
    assert "Markov" in card
    assert "JS-4" in card


def generated(*options: str) -> list[str]:
    done = CliRunner().invoke(cli, ["generate", "-n", "200", "--seed", "7", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_generate_takes_it_where_no_model_is_named_and_says_so(shipped: Artifact) -> None:
    found = CliRunner().invoke(cli, ["generate", "-n", "200", "--seed", "7"], catch_exceptions=False)
    assert "from names-tiny, which comes with charwgan" in found.stderr
    assert found.stdout.splitlines() == generated("--model", str(SHIPPED_MODEL))
    assert len(set(found.stdout.splitlines())) > 150
    italian, german = (generated("--label", label) for label in ("it_IT", "de_DE"))
    assert sum(name[-1] in "aeio" for name in italian) > 1.5 * sum(name[-1] in "aeio" for name in german)


def test_serve_takes_it_where_no_model_is_named() -> None:
    with process() as service:
        answer = httpx.post(f"{service.url}/v1/generate", json={"n": 3, "seed": 7, "label": "de_DE", "novel": True})
        content = answer.json()
        assert (content["model"]["name"], len(content["texts"])) == ("names-tiny", 3)
        service.end()


def test_a_model_or_a_folder_that_is_named_takes_its_place(tmp_path: Path) -> None:
    assert resolve({}, {}).model == SHIPPED_MODEL
    assert resolve({"models": tmp_path}, {}).model is None
    assert resolve({}, {"CHARWGAN_MODEL": str(tmp_path)}).model == tmp_path
    assert artifacts.SHIPPED_MODEL.parent == artifacts.SHIPPED


def test_a_job_gives_the_same_digest_when_it_is_done_again(tmp_path: Path) -> None:
    job = tmp_path / "small.toml"
    job.write_text(JOB.read_text(encoding="utf-8").replace("max_rounds = 20000", "max_rounds = 3"), encoding="utf-8")
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name
        results, code = run_batch([job], folder / "runs", folder / "models", {})
        assert code == 0, results
        digests.append(Artifact.load(folder / "models" / "small").digest)
    assert digests[0] == digests[1]


def test_twenty_lines_of_numpy_and_onnx_runtime_load_it_too() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert "charwgan" not in program.replace("names-tiny", "")
    assert len([line for line in program.splitlines() if line and "import" not in line]) <= 20
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 10
    assert sum(line.isalpha() for line in done.stdout.splitlines()) >= 8
