"""Models of images and points: exported, sampled without torch, written as sheets, arrays and rows."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from small_exports import trained

from charwgan import cli
from model.artifact import Artifact
from model.errors import ArtifactError, ConfigurationError, RunError
from model.picture import sheet
from model.samples import SLICE, SampleModel, SampleSampler, load_model
from training.configuration import DataConfig
from training.data import Images, open_dataset
from training.export import export_run
from training.observer import generate


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a conditional model of images, and one of points of three generators in units of their own."""
    folder = tmp_path_factory.mktemp("models")
    for name, variant, kind, keys in (
        ("images", "cgan", "image", {}),
        ("points", "mad-gan", "points", {"generators": 3}),
    ):
        trained(folder / f"{name}-run", variant, kind, **keys)
        if name == "points":
            data = json.loads((folder / "points-run" / "data.json").read_text())
            (folder / "points-run" / "data.json").write_text(
                json.dumps({**data, "units": {"offset": 50.0, "scale": 4.0}})
            )
        export_run(folder / f"{name}-run", folder / name)
    return folder


def opened(path: Path) -> SampleModel:
    model = load_model(path)
    assert isinstance(model, SampleModel)
    return model


def samples(path: Path, seed: int, first: int, n: int, label: str | None = None, threads: int = 1) -> np.ndarray:
    return np.concatenate(list(SampleSampler(opened(path), threads).stream(seed, first, n, label)))


@pytest.mark.parametrize("name", ["images", "points"])
def test_a_sample_is_the_same_to_the_last_bit_whatever_is_beside_it(models: Path, name: str) -> None:
    many = samples(models / name, 3, 0, 2 * SLICE + 9, threads=2)
    assert many.shape == (2 * SLICE + 9, *opened(models / name).shape)
    for first, n in ((0, 1), (5, 2), (SLICE - 1, 2), (SLICE, SLICE), (2 * SLICE + 8, 1)):
        np.testing.assert_array_equal(samples(models / name, 3, first, n), many[first : first + n])
    assert not np.array_equal(samples(models / name, 4, 0, 1), many[:1])


def test_a_label_is_obeyed_and_draws_no_other_latent(models: Path) -> None:
    drawn = samples(models / "images", 0, 0, 40)
    labels = opened(models / "images").labels
    each = {name: samples(models / "images", 0, 0, 40, name) for name in labels.names}
    for i, position in enumerate(labels.of_strings(0, 0, 40)):
        np.testing.assert_array_equal(drawn[i], each[labels.names[position]][i])
    assert not np.array_equal(each["a"], each["b"])
    with pytest.raises(ConfigurationError, match="no label of that name: it has 3 labels: a, b, c"):
        samples(models / "images", 0, 0, 1, "d")


def test_points_are_in_the_units_of_their_data(models: Path, tmp_path: Path) -> None:
    training, _ = trained(tmp_path / "run", "mad-gan", "points", generators=3)
    seen = generate(training.average.module, 20, 3)
    np.testing.assert_allclose(samples(models / "points", 0, 0, 20), 50 + 4 * seen, rtol=1e-5)


def test_a_sheet_holds_the_pixels_of_every_image_in_order() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (11, 3, 5, 4)).astype(np.float32)
    for channels in (1, 3):
        shown = images[:, :channels]
        picture = Image.open(io.BytesIO(sheet(shown)))
        assert (picture.mode, picture.size) == ("L" if channels == 1 else "RGB", (8 * 4 * 4, 2 * 5 * 4))
        pixels = np.asarray(picture).reshape(2 * 5 * 4, 8 * 4 * 4, channels)[::4, ::4]
        for i, image in enumerate(shown):
            row, column = divmod(i, 8)
            place = pixels[row * 5 : row * 5 + 5, column * 4 : column * 4 + 4]
            np.testing.assert_allclose(place, (image.transpose(1, 2, 0) + 1) * 127.5, atol=0.51)
        assert not pixels[5:, 12:].any(), "places that are left are black"


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    return done.exit_code, done.stdout + str(done.exception or "")


def test_the_command_line_writes_a_sheet_and_arrays_that_can_be_learned(models: Path, tmp_path: Path) -> None:
    asked = ("generate", "--model", models / "images", "-n", 60, "--seed", 5)
    assert run(*asked, "--out", tmp_path / "sheet.png")[0] == 0
    assert run(*asked, "--out", tmp_path / "samples.npz")[0] == 0
    made, again = samples(models / "images", 5, 0, 60), tmp_path / "again.npz"
    assert (tmp_path / "sheet.png").read_bytes() == sheet(made)
    with np.load(tmp_path / "samples.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], made)
        np.testing.assert_array_equal(arrays["y"], opened(models / "images").labels.of_strings(5, 0, 60))
    data = open_dataset(DataConfig(sources=(str(tmp_path / "samples.npz"),), label="y"))
    assert isinstance(data, Images)
    assert data.shape == (1, 8, 8)
    assert run(*asked, "--out", again)[0] == 0
    assert again.read_bytes() == (tmp_path / "samples.npz").read_bytes()


def test_points_are_rows_with_their_numbers_and_branches_or_lines_of_numbers(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "points.csv"
    assert run("generate", "--model", models / "points", "-n", 3, "--seed", 5, "--first", 40, "--out", out)[0] == 0
    made, labels = samples(models / "points", 5, 40, 3), opened(models / "points").labels
    header, *rows = out.read_text(encoding="utf-8").splitlines()
    assert header == "index,x1,x2,label"
    for i, row in enumerate(rows):
        index, *values, label = row.split(",")
        assert (int(index), label) == (40 + i, labels.names[labels.of_strings(5, 40, 3)[i]])
        np.testing.assert_array_equal(np.array(values, dtype=np.float32), made[i])
    code, printed = run("generate", "--model", models / "points", "-n", 3, "--seed", 5, "--first", 40)
    assert code == 0
    np.testing.assert_array_equal(np.loadtxt(io.StringIO(printed), delimiter=",", dtype=np.float32), made)


@pytest.mark.parametrize(
    ("name", "further", "told"),
    [
        ("images", (), "makes images: say where to by --out sheet.png, or --out samples.npz"),
        ("images", ("--out", "x.csv"), "--out must end in one of .png, .npz for this model, got 'x.csv'"),
        ("points", ("--out", "x.png"), "--out must end in one of .csv, .npz for this model, got 'x.png'"),
        ("images", ("--out", "x.png", "-n", "4097"), "-n must be at most 4096 on a sheet, got 4097"),
    ],
)
def test_what_cannot_be_written_is_refused_with_what_can(
    models: Path, name: str, further: tuple[str, ...], told: str
) -> None:
    code, printed = run("generate", "--model", models / name, *further)
    assert code
    assert told in printed


@pytest.mark.parametrize("name", ["images", "points"])
def test_only_text_is_served_scored_and_evaluated_and_the_line_says_how_to_sample(models: Path, name: str) -> None:
    with pytest.raises(ArtifactError) as refused:
        Artifact.load(models / name)
    kind = {"images": "image", "points": "points"}[name]
    assert f"is a model of {kind}, and only text is served, scored and evaluated: `charwgan generate" in str(
        refused.value
    )


def test_a_model_tells_what_it_is(models: Path) -> None:
    facts, card = json.loads(run("inspect", models / "images", "--json")[1]), run("inspect", models / "images")[1]
    assert (facts["config"]["kind"], facts["config"]["shape"]) == ("image", [1, 8, 8])
    assert "A cgan generator of images, made by charwgan." in card
    assert "maps `latent` (N, 3 + 3) to `samples` (N, 1, 8, 8), in [-1, 1]." in card
    assert "--out points.csv" in opened(models / "points").card


def test_runs_without_a_shape_and_graphs_in_integers_are_refused(models: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="only text models have a graph in 8-bit integers"):
        export_run(models / "images-run", tmp_path / "model", int8_samples=10)
    trained(tmp_path / "run", "gan", "points")
    (tmp_path / "run" / "data.json").write_text('{"kind": "points"}')
    with pytest.raises(RunError, match="does not say the shape of a sample: continue the run with --resume first"):
        export_run(tmp_path / "run", tmp_path / "model")
