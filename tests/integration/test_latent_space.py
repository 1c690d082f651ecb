"""What is kept and told of a run's latents: paths, reconstructions, and strings near a given one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from running import assert_problem, running

from charwgan import cli
from model.alphabet import PADDING
from model.artifact import Artifact
from model.errors import ArtifactError, RunError
from model.latents import latents
from training.checkpoint import load_checkpoint, save_checkpoint
from training.display import PlainDisplay
from training.drawing import beneath
from training.export import export_run
from training.job import train
from training.latent_space import between
from training.measures.encoding import squared_error, wrong_characters
from training.neighbours import Coder, neighbours
from training.plan import plan
from training.runs import drop_samples, read_json

SMALL: dict[str, Any] = {"preset": "tiny", "model.width": 8, "model.depth": 1, "model.latent": 8, "batch_size": 16,
                         "device": "cpu", "max_seconds": 600.0, "max_rounds": 2}  # fmt: skip
ENCODED = ("reconstruction_error", "reconstruction_by_chance", "reconstruction_ratio")


class Silent(PlainDisplay):
    def say(self, message: str) -> None:
        pass

    def show(self, *given: Any, **told: Any) -> None:
        pass


def play(source: Path | str, run: Path, **changed: Any) -> dict[str, float]:
    config, _ = plan({"flag": {**SMALL, "data.sources": [str(source)], **changed}})
    return train(config, run, Silent()).scores


@pytest.fixture(scope="module")
def strings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of aae on strings of a, b and c."""
    folder = tmp_path_factory.mktemp("strings")
    draw = np.random.default_rng(0)
    lines = ["".join(draw.choice(list("abc"), draw.integers(2, 7))) for _ in range(400)]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CHARWGAN_CACHE", str(folder / "cache"))
        play(folder / "lines.txt", folder / "run", variant="aae", lr_generator=0.01, max_rounds=150)
    return folder / "run"


def test_a_run_on_text_keeps_a_path_and_reconstructions_and_shows_the_last_of_them(strings: Path) -> None:
    path = (strings / "interpolation" / "00000150.txt").read_text(encoding="utf-8").splitlines()
    pairs = (strings / "reconstructions" / "00000150.txt").read_text(encoding="utf-8").splitlines()
    assert len(path) == 8
    assert len(pairs) == 16
    assert all(line.count(" → ") == 1 and set(line) <= set("abc →") for line in pairs)
    page = (strings / "report.html").read_text(encoding="utf-8")
    for line in (path[0], path[-1], pairs[0], "Between latents", "Reconstructions"):
        assert line in page
    # Its ends are the strings of those latents.
    assert [path[0], path[-1]] == (strings / "samples" / "00000150.txt").read_text(encoding="utf-8").splitlines()[:2]


def test_its_error_is_told_beside_that_of_chance(strings: Path) -> None:
    scores = read_json(strings / "result.json")["scores"]
    assert set(ENCODED) <= set(scores)
    assert scores["reconstruction_ratio"] == scores["reconstruction_error"] / scores["reconstruction_by_chance"]
    assert 0 < scores["reconstruction_error"] < scores["reconstruction_by_chance"] <= 1
    assert "critic_scores" not in read_json(strings / "metrics.json"), "it judges no strings"


@pytest.mark.parametrize(("source", "variant"), [("images.npz", "ali"), ("builtin:swissroll", "avb")])
def test_runs_on_images_and_points_keep_pictures_of_both(source: str, variant: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", x=np.random.default_rng(0).integers(0, 255, (400, 8, 8)).astype(np.uint8))
    scores = play(source if ":" in source else tmp_path / source, tmp_path / "run", variant=variant)
    assert set(ENCODED) <= set(scores)
    for folder in ("interpolation", "reconstructions"):
        assert (tmp_path / "run" / folder / "00000002.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3


def test_what_is_of_rounds_that_are_played_again_is_dropped(tmp_path: Path) -> None:
    for folder in ("samples", "interpolation", "reconstructions"):
        (tmp_path / folder).mkdir()
        for number in (10, 20, 30):
            (tmp_path / folder / f"{number:08d}.txt").write_text("a\n")
    drop_samples(tmp_path, after=20)
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == ["00000010.txt"] * 3 + ["00000020.txt"] * 3


def test_a_path_is_an_arc_between_two_latents_of_a_look_under_the_labels_of_the_first() -> None:
    class Labelled:
        def rows(self, seed: int, first: int, n: int, size: int) -> np.ndarray:
            return np.hstack([latents(seed, first, n, size), np.eye(4, dtype=np.float32)[:n]])

    path = between(Labelled(), 16, paths=2, steps=5)
    assert path.shape == (10, 20)
    ends = latents(0, 0, 4, 16)
    assert np.array_equal(path[[0, 4, 5, 9], :16], ends)
    assert np.array_equal(path[:, 16:], np.eye(4)[[0] * 5 + [2] * 5])
    lengths = np.linalg.norm(path[:5, :16], axis=1)
    assert lengths.min() > 0.9 * min(np.linalg.norm(ends[:2], axis=1))


def test_on_a_sheet_each_row_is_followed_by_that_of_the_others() -> None:
    images = np.arange(16, dtype=np.float32).reshape(16, 1, 1, 1)
    found = beneath(images, images + 100).ravel().tolist()
    assert found == [*range(8), *range(100, 108), *range(8, 16), *range(108, 116)]


def test_errors_are_per_coordinate_and_per_character_of_either_string() -> None:
    assert squared_error(np.zeros((2, 3)), np.full((2, 3), 2.0)) == 4.0
    true = np.array([[5, 6, PADDING, PADDING], [5, PADDING, PADDING, PADDING]])
    found = np.array([[5, 7, 6, PADDING], [5, PADDING, PADDING, PADDING]])
    assert wrong_characters(true, found) == pytest.approx(2 / 4)
    assert wrong_characters(np.zeros((1, 4), int) + PADDING, np.zeros((1, 4), int) + PADDING) == 0


def test_neighbours_begin_with_the_strings_own_reconstruction_and_differ(strings: Path) -> None:
    found = neighbours(strings, "abca", n=6)
    texts = [each.text for each in found]
    assert len(texts) == len(set(texts)) == 6
    assert [each.noise for each in found] == sorted(each.noise for each in found)
    assert found[0].noise == 0
    assert neighbours(strings, "abca", n=6) == found
    assert neighbours(strings, "abca", n=3) == found[:3]


def test_what_is_added_and_subtracted_again_leaves_a_string_where_it_was(strings: Path) -> None:
    plain, there_and_back = (neighbours(strings, "ab", *more, n=4) for more in ((), (["ccc"], ["ccc"])))
    assert [each.text for each in plain] == [each.text for each in there_and_back]
    coder = Coder.of_run(strings)
    assert coder.code("ab").shape == (8,)
    assert not np.allclose(coder.code("ab"), coder.code("ccc"))


def test_the_encoder_is_the_one_of_the_newest_checkpoint_and_the_generator_the_average(strings: Path) -> None:
    coder, state = Coder.of_run(strings), load_checkpoint(strings / "checkpoints", torch.device("cpu"))
    assert state is not None
    for module, kept in ((coder.encoder, state["players"]["encoder"]), (coder.generator, state["average"])):
        assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())


def test_the_verb_prints_lines_or_json(strings: Path) -> None:
    lines = CliRunner().invoke(cli, ["neighbours", str(strings), "--near", "abca", "-n", "3"])
    told = CliRunner().invoke(cli, ["neighbours", str(strings), "--near", "abca", "-n", "3", "--json"])
    assert (lines.exit_code, told.exit_code) == (0, 0)
    assert [each["text"] for each in json.loads(told.stdout)] == lines.stdout.splitlines()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--near", "abxy"], "'abxy' has characters that the run has not learned, 'x' 'y': it knows 'abc'"),
        (["--near", "abcabcabc"], "strings of this run have at most 6 characters, got 9: 'abcabcabc'"),
        (["--near", "a", "--plus", "é"], "'é' has characters that the run has not learned"),
        (["--near", "a", "--label", "b"], "the run has no labels: leave --label out"),
    ],
)
def test_strings_that_have_no_latent_are_told_why(strings: Path, asked: list[str], told: str) -> None:
    done = CliRunner().invoke(cli, ["neighbours", str(strings), *asked])
    assert done.exit_code != 0
    assert told in str(done.exception)


def test_runs_without_an_encoder_or_without_text_are_told_what_to_do(strings: Path, tmp_path: Path) -> None:
    for file in ("config.json", "data.json"):
        shutil.copy(strings / file, tmp_path)
    with pytest.raises(RunError, match="is not a run on text, and neighbours are those of a string"):
        neighbours(tmp_path, "a", n=1)
    shutil.copy(strings / "tokenizer.json", tmp_path)
    with pytest.raises(RunError, match="has no checkpoint yet"):
        neighbours(tmp_path, "a", n=1)
    state = load_checkpoint(strings / "checkpoints", torch.device("cpu"))
    assert state is not None
    del state["players"]["encoder"]
    save_checkpoint(tmp_path / "checkpoints", state)
    with pytest.raises(RunError, match=r"has no encoder, as its variant is aae: train one of aae, ali, avb or bigan"):
        neighbours(tmp_path, "a", n=1)
    with pytest.raises(RunError, match="is not a run"):
        neighbours(tmp_path / "nothing", "a", n=1)


def test_a_run_whose_critic_judges_latents_becomes_a_model_without_a_critic(strings: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    export_run(strings, model)
    assert not list(model.glob("critic.*"))
    assert "The model scores no strings" in (model / "README.md").read_text(encoding="utf-8")
    assert "critic.onnx" not in (model / "README.md").read_text(encoding="utf-8")
    (tmp_path / "lines.txt").write_text("ab\n")
    scored = CliRunner().invoke(cli, ["score", "--model", str(model), str(tmp_path / "lines.txt")])
    assert isinstance(scored.exception, ArtifactError)
    assert "cannot score strings: it has no critic" in str(scored.exception)
    with running(artifact=Artifact.load(model)) as service:
        (told,) = service.client.get("/v1/models").json()["models"]
        assert (told["variant"], told["critic"]) == ("aae", False)
        assert len(service.post(n=3, seed=1).json()["texts"]) == 3
        refused = assert_problem(service.post(n=3, scores=True), 422, "invalid-field")
        assert refused["errors"][0]["field"] == "scores"
        refused = assert_problem(service.client.post("/v1/score", json={"texts": ["ab"]}), 422, "invalid-field")
        assert refused["errors"][0]["field"] == "model"
        assert "has no critic" in refused["detail"]


def test_a_run_whose_critic_judges_latents_is_evaluated(strings: Path) -> None:
    done = CliRunner().invoke(cli, ["evaluate", str(strings), "-n", "50", "--json"])
    assert done.exit_code == 0
