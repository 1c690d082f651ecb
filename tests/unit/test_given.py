"""What models of images are given besides a latent: sentences, boxes and pictures, as they stand on a command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from small_exports import write_run
from small_runs import begin, configured

from charwgan import cli
from model.errors import ArtifactError, ConfigurationError, DataError
from model.given import Captions, Pictures, given_by, rows_given, word_rows
from training.data import open_dataset
from training.export import export_run

ASPECTS = (("red", "white"), ("circle", "cross"), ("top", "top left"))
BOXED = Captions(("red", "white", "circle", "cross"), box=True, aspects=ASPECTS[:2])
PLACED = Captions(("red", "white", "circle", "cross", "top", "left"), aspects=ASPECTS)
SOURCES = {"pix2pix": "builtin:digits", "gan-cls": "builtin:shapes", "gawwn": "builtin:shapes"}
EDGES = Pictures((1, 4, 4), "edges")


def npz(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "pictures.npz", **arrays)
    return folder / "pictures.npz"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of games of no rounds, by their variants; their weights are larger, so that what they are told shows."""
    folder = tmp_path_factory.mktemp("models")
    for variant in SOURCES:
        config = configured(variant, **{"data.sources": [SOURCES[variant]]})
        training, run = begin(config, data := open_dataset(config.data)), folder / f"run-{variant}"
        with torch.no_grad():
            for weight in training.average.module.parameters():
                weight.mul_(5)
        write_run(run, training, config, data)
        export_run(run, folder / variant)
    return folder


def generated(model: Path, out: Path, *options: str) -> bytes:
    """What `charwgan generate` writes of 2 samples of seed 1."""
    told = ["generate", "--model", str(model), "--out", str(out), "-n", "2", "--seed", "1", *options]
    done = CliRunner().invoke(cli, told, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return out.read_bytes()


def test_a_sentence_is_a_row_of_its_words_and_then_its_box() -> None:
    row = BOXED.row("A white cross, in the", "0.1,0.2,0.3,0.4")
    assert row.tolist() == [pytest.approx([0, 1, 0, 1, 0.1, 0.2, 0.3, 0.4])]
    assert word_rows(["a red circle", "the"], BOXED.words).tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]
    assert len(BOXED) == 8


@pytest.mark.parametrize(
    ("caption", "box", "told"),
    [
        ("a red circle", None, "the model needs --box"),
        ("a", "0,0,1,1", "the caption says nothing: the words known are red, white"),
        ("a pink circle", "0,0,1,1", "'pink', and the words known are red"),
        ("a red circle", "0,0,1", "--box must be left,top,right,bottom"),
        ("a red circle", "0.5,0,0.5,1", "--box must be left,top,right,bottom"),
        ("a red circle", "0,0,1,1.5", "--box must be left,top,right,bottom"),
        ("a red circle", "0,0,1,x", "got '0,0,1,x'"),
        ("a red circle", "0,0,1,nan", "--box must be left,top,right,bottom"),
    ],
)
def test_a_sentence_or_a_box_that_cannot_be_is_refused(caption: str, box: str | None, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        BOXED.row(caption, box)
    with pytest.raises(ConfigurationError, match="was told of no boxes"):
        Captions(BOXED.words).row("a red circle", "0,0,1,1")


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("a red white circle", "the caption says red and white, and may say one of red, white"),
        ("a circle cross", "the caption says circle and cross"),
        ("a red circle left", "the caption says left, and may say one of top, top left"),
    ],
)
def test_a_sentence_that_contradicts_itself_is_refused(caption: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        PLACED.row(caption)
    assert PLACED.row("a red circle at the top left").tolist() == [[1, 0, 1, 0, 1, 1]]
    assert PLACED.row("red").tolist() == [[1, 0, 0, 0, 0, 0]]
    assert PLACED.row(PLACED.example).sum() == 3


def test_pictures_of_a_file_are_rows_bytes_and_floats_alike(tmp_path: Path) -> None:
    pictures = np.arange(32, dtype=np.uint8).reshape(2, 4, 4) * 8
    rows = EDGES.rows(npz(tmp_path, x=pictures))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, pictures.reshape(2, 16) / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(EDGES.rows(npz(tmp_path, only=rows.reshape(2, 1, 4, 4))), rows)


def test_pictures_of_half_the_side_are_enough_where_they_are_to_be_enlarged(tmp_path: Path) -> None:
    small = np.array([[[0.5, -0.5], [1.0, 0.0]]], dtype=np.float32)
    (row,) = Pictures((1, 4, 4), "shrink").rows(npz(tmp_path, x=small))
    assert row.reshape(4, 4).tolist() == [[0.5, 0.5, -0.5, -0.5]] * 2 + [[1.0, 1.0, 0.0, 0.0]] * 2
    with pytest.raises(
        DataError, match=r"must hold pictures of shape \(1, 4, 4\), got an array of shape \(1, 1, 2, 2\)"
    ):
        EDGES.rows(tmp_path / "pictures.npz")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((2, 4, 5), np.float32)}, r"got an array of shape \(2, 1, 4, 5\)"),
        ({"x": np.zeros((0, 4, 4), np.float32)}, r"got an array of shape \(0, 1, 4, 4\)"),
        ({"x": np.full((2, 4, 4), 3.0)}, "numbers from -1 to 1, got 3 to 3"),
        ({"x": np.full((2, 4, 4), np.nan)}, "numbers from -1 to 1, got nan"),
        ({"x": np.zeros((2, 4, 4), np.int64)}, "bytes or floats, got int64"),
        ({"x": np.zeros(4)}, r"got float64 of shape \(4,\)"),
        ({"a": np.zeros((2, 4, 4)), "b": np.zeros((2, 4, 4))}, "an array x, or one alone, got a, b"),
        ({"x": np.array([[["object"]]], dtype=object)}, "is not a readable .npz"),
    ],
)
def test_what_holds_no_such_pictures_is_refused_by_name(
    tmp_path: Path, arrays: dict[str, np.ndarray], told: str
) -> None:
    with pytest.raises(DataError, match=rf"pictures\.npz .*{told}"):
        EDGES.rows(npz(tmp_path, **arrays))


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive", b"\x93NUMPY"])
def test_a_file_that_is_no_archive_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz"):
        EDGES.rows(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"cannot read .*b\.npz: No such file"):
        EDGES.rows(tmp_path / "b.npz")


def test_an_archive_whose_inside_is_damaged_is_refused_by_name(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (20, 4, 4), dtype=np.uint8)
    np.savez_compressed(tmp_path / "a.npz", x=pictures)
    whole = (tmp_path / "a.npz").read_bytes()
    for at in range(60, len(whole) - 120, 16):
        turned = bytes(byte ^ 0xFF for byte in whole[at : at + 8])
        (tmp_path / "a.npz").write_bytes(whole[:at] + turned + whole[at + 8 :])
        with pytest.raises(DataError, match=r"a\.npz"):
            EDGES.rows(tmp_path / "a.npz")


def test_a_model_says_what_it_needs_and_refuses_what_it_does_not() -> None:
    with pytest.raises(ConfigurationError, match="needs --caption, a sentence of red, white"):
        rows_given(BOXED, None, None, None)
    with pytest.raises(ConfigurationError, match=r"needs --pictures, a \.npz of what it shall translate \(edges\)"):
        rows_given(EDGES, None, None, None)
    with pytest.raises(
        ConfigurationError, match="--caption is not for this model, which makes its samples of pictures"
    ):
        rows_given(EDGES, "red", None, None)
    with pytest.raises(ConfigurationError, match=r"--box is not for this model, .* of a latent and a label alone"):
        rows_given(None, None, "0,0,1,1", None)
    assert rows_given(None, None, None, None) is None


def test_a_configuration_says_what_is_given_and_nothing_else() -> None:
    for given in (BOXED, EDGES):
        assert given_by(given.to_json(), "config.json") == given
    wrong = ({"words": [], "box": True, "aspects": []}, {"words": ["a"], "box": 1, "aspects": []}, {"shape": [1, 2]})
    for told in ([], {"words": ["a"], "box": True}, {"words": ["a"], "box": True, "aspects": [[1]]}, *wrong):
        with pytest.raises(ArtifactError, match=r"config\.json: given must have words, box and aspects, or shape and"):
            given_by(told, "config.json")


def test_generate_draws_what_a_caption_and_a_box_say(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.npz"
    red = generated(models / "gan-cls", out, "--caption", "a small red circle at the top left")
    assert red == generated(models / "gan-cls", out, "--caption", "A small red circle, at the top left")
    assert red != generated(models / "gan-cls", out, "--caption", "a small blue circle at the top left")
    one, other = (
        generated(models / "gawwn", out, "--caption", "red circle", "--box", box) for box in ("0,0,1,1", "0,0,.5,.5")
    )
    assert one != other


def test_generate_translates_the_pictures_of_a_file_in_turn(models: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shape = given_by({"shape": [1, 8, 8], "pair": "edges"}, "")
    assert isinstance(shape, Pictures)
    pictures = random.uniform(-1, 1, (3, *shape.shape)).astype(np.float32)
    out = tmp_path / "out.npz"

    def images(*options: str) -> np.ndarray:
        generated(models / "pix2pix", out, "--pictures", str(npz(tmp_path, x=pictures)), *options)
        return np.load(out)["x"]

    made = images("-n", "40")
    np.testing.assert_array_equal(images("-n", "2", "--first", "37"), made[37:39])
    pictures[1] = -pictures[1]
    changed = (images("-n", "40") != made).any(axis=(1, 2, 3))
    assert np.flatnonzero(changed).tolist() == list(range(1, 40, 3))


def test_a_model_of_text_takes_no_caption(tiny_model: Path) -> None:
    done = CliRunner().invoke(cli, ["generate", "--model", str(tiny_model), "--caption", "red"])
    assert done.exit_code == 2
    assert "--caption, --box and --pictures are for models of images" in done.output
