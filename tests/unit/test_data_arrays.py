"""Points and images: the built-in ones in closed form, and a user's own arrays."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import ConfigurationError, DataError
from training.configuration import DataConfig
from training.data import Corpus, Images, Points, open_dataset
from training.data.dataset import Dataset

CPU = torch.device("cpu")


def opened(source: Path | str, **options: object) -> Points | Images:
    data = open_dataset(DataConfig(sources=(str(source),), **options))
    assert not isinstance(data, Corpus)
    return data


def saved(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(("name", "count", "sd", "reach"), [("ring", 8, 0.01, 1.0), ("grid", 25, 0.05, 32**0.5)])
def test_a_mixture_has_its_centres_weights_and_spread(name: str, count: int, sd: float, reach: float) -> None:
    points = opened(f"builtin:{name}")
    assert isinstance(points, Points)
    assert points.kind == "points"
    assert points.shape == (2,)
    assert points.modes is not None
    assert points.modes.centres.shape == (count, 2)
    assert points.modes.sd == sd
    assert np.linalg.norm(points.modes.centres, axis=1).max() == pytest.approx(reach)
    assert points.train_labels is not None
    errors = points.train - points.modes.centres[points.train_labels]
    assert errors.std() == pytest.approx(sd, rel=0.02)
    rows = len(points.train)
    shares = np.bincount(points.train_labels, minlength=count) / rows
    assert np.abs(shares - 1 / count).max() < 5 * (1 / count / rows) ** 0.5


def test_the_centres_of_ring_and_grid_are_the_classic_ones() -> None:
    ring, grid = opened("builtin:ring"), opened("builtin:grid")
    assert isinstance(ring, Points)
    assert isinstance(grid, Points)
    assert ring.modes is not None
    assert grid.modes is not None
    assert np.allclose(np.linalg.norm(ring.modes.centres, axis=1), 1.0)
    assert len(np.unique(ring.modes.centres.round(5), axis=0)) == 8
    assert sorted(map(tuple, grid.modes.centres.tolist())) == [(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)]


def test_the_mixture_on_a_line_is_the_published_one_in_units_of_its_own() -> None:
    line = opened("builtin:mixture1d")
    assert isinstance(line, Points)
    assert line.modes is not None
    assert line.train_labels is not None
    assert line.shape == (1,)
    assert line.units.own(line.modes.centres)[:, 0] == pytest.approx([10, 20, 60, 80, 110], rel=1e-6)
    values = line.units.own(line.train)[:, 0]
    spreads = [values[line.train_labels == mode].std() for mode in range(5)]
    assert spreads == pytest.approx([3, 3, 2, 2, 1], rel=0.03)
    # What the networks see is (x - 60) / 70.
    assert line.train[:, 0] == pytest.approx((values - 60) / 70, abs=1e-6)
    assert np.abs(line.train).max() < 1


def test_the_swissroll_winds_once_and_a_half() -> None:
    roll = opened("builtin:swissroll").train * 7.5
    radius = np.linalg.norm(roll, axis=1)
    assert radius.min() == pytest.approx(1.5 * np.pi, abs=1.2)
    assert radius.max() == pytest.approx(4.5 * np.pi, abs=1.2)
    # On the spiral the angle is the radius, up to whole turns and the noise.
    turns = (radius - np.arctan2(roll[:, 1], roll[:, 0])) / (2 * np.pi)
    assert np.abs(turns - turns.round()).mean() < 0.05


def test_digits_are_images_of_eight_by_eight_with_labels() -> None:
    digits: Dataset = opened("builtin:digits")
    assert isinstance(digits, Images)
    assert digits.kind == "image"
    assert digits.shape == (1, 8, 8)
    assert len(digits.train) + len(digits.held_out) == 1797
    assert (digits.train.min(), digits.train.max()) == (-1.0, 1.0)
    assert digits.label_names == tuple("0123456789")
    assert digits.held_out_labels is not None
    assert len(digits.held_out_labels) == len(digits.held_out)
    drawn = digits.draw(np.array([3, 3, 0]), CPU)
    assert drawn.dtype == torch.float32
    assert np.array_equal(drawn.numpy(), digits.train[[3, 3, 0]])


@pytest.mark.parametrize("name", ["ring", "grid", "mixture1d", "swissroll", "digits", "stacked-digits"])
def test_the_same_seed_gives_the_same_arrays_and_another_seed_others(name: str) -> None:
    first, again, other = (opened(f"builtin:{name}", seed=seed) for seed in (0, 0, 1))
    assert first.digest == again.digest != other.digest
    assert np.array_equal(first.train[:1000], again.train[:1000])
    assert len(first.train) == len(first)


def test_images_of_bytes_stay_bytes_and_are_drawn_between_minus_one_and_one(tmp_path: Path) -> None:
    pixels = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    images = opened(saved(tmp_path / "a.npz", x=pixels), held_out=1e-9)
    assert isinstance(images, Images)
    assert images.shape == (1, 8, 8)
    assert images.train.dtype == np.uint8
    assert images.held_out.dtype == np.float32
    assert images.held_out.max() == 1.0
    drawn = images.draw(np.array([0, 2]), CPU)
    assert drawn[0, 0, 0, 0] == -1.0
    assert np.allclose(drawn.numpy(), pixels[[0, 2], np.newaxis] / 127.5 - 1, atol=1e-6)


def test_channels_may_come_first_or_last(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 9), dtype=np.uint8)
    first = opened(saved(tmp_path / "first.npz", x=pixels))
    last = opened(saved(tmp_path / "last.npz", x=np.moveaxis(pixels, 1, 3)))
    assert first.shape == last.shape == (3, 8, 9)
    assert first.digest == last.digest


def test_two_axes_of_floats_are_points_and_three_are_images(tmp_path: Path) -> None:
    points = opened(saved(tmp_path / "points.npz", x=np.ones((4, 3))))
    assert points.kind == "points"
    assert points.shape == (3,)
    images = opened(saved(tmp_path / "images.npz", x=np.ones((4, 3, 3))))
    assert images.kind == "image"
    assert images.train.dtype == np.float32


def test_arrays_and_labels_are_chosen_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", y=[7, 5, 7], x=np.zeros((3, 2)), z=np.zeros((3, 5)))
    data = opened(path, label="y", held_out=1e-9)
    assert data.shape == (2,)
    assert data.label_names == ("5", "7")
    assert data.train_labels is not None
    assert data.held_out_labels is not None
    assert [*data.train_labels, *data.held_out_labels] == [1, 0, 1]
    assert opened(path, column="z").shape == (5,)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"x": np.zeros((3, 2))}, {"column": "w"}, r"a\.npz has no array 'w': it has x"),
        ({"x": np.zeros((3, 2))}, {"label": "w"}, r"a\.npz has no array 'w': it has x"),
        ({"x": np.zeros((3, 2)), "y": [1, 2]}, {"label": "y"}, r"one label for each of the 3 samples is needed"),
        ({"x": np.zeros((1, 2))}, {}, r"leaves 1 sample to learn from: at least 2"),
        ({"x": np.zeros((0, 2))}, {}, r"is empty"),
        ({"x": np.zeros((0, 8, 8), dtype=np.uint8)}, {}, r"a\.npz"),
        ({"x": np.array([[0.0], [np.nan]])}, {}, r"not finite"),
        ({"x": np.array([[0.0], [1e300]])}, {}, r"not finite in float32"),
        ({"x": np.full((3, 8, 8), np.nan)}, {}, r"not finite"),
        ({"x": np.zeros((3, 2), dtype=np.int64)}, {}, r"points \(N, D\) must be floats, got int64"),
        ({"x": np.zeros((3, 2, 2), dtype=np.int64)}, {}, r"images must be uint8 or floats in \[-1, 1\], got int64"),
        ({"x": np.full((3, 2, 2), 255.0)}, {}, r"must lie in \[-1, 1\], got 255 to 255: scale them"),
        ({"x": np.zeros((3, 2, 2, 2))}, {}, r"got the shape \(3, 2, 2, 2\)"),
        ({"x": np.zeros(3)}, {}, r"got the shape \(3,\)"),
        ({"x": np.float64(3)}, {}, r"a single number"),
        ({"x": np.array([{}, {}])}, {}, r"cannot read .*a\.npz as npz"),
        ({}, {}, r"a\.npz has no array '': it has none"),
    ],
)
def test_arrays_that_cannot_be_learned_are_refused_with_the_reason(
    tmp_path: Path, arrays: dict[str, object], options: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        opened(saved(tmp_path / "a.npz", **arrays), **options)


def test_a_file_that_is_no_npz_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*a\.npz"):
        opened(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"cannot read .*a\.npz as npz"):
        opened(tmp_path / "a.npz")
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"a\.npz is a single array"):
        opened(tmp_path / "a.npz")


def test_kinds_cannot_be_mixed(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", x=np.zeros((3, 2)))
    for sources in (("builtin:names", "builtin:ring"), ("builtin:ring", "builtin:grid"), (str(path), "names.txt")):
        with pytest.raises(ConfigurationError, match="points and images come from one source"):
            open_dataset(DataConfig(sources=sources))
