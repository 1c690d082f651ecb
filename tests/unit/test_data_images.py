"""Folders of images, and images that are not of a size that the networks take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import ConfigurationError, DataError
from training.configuration import DataConfig
from training.data import Images, open_dataset
from training.data.sizes import side_for

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)


def opened(source: Path | str, **options: object) -> Images:
    data = open_dataset(DataConfig(sources=(str(source),), **options))
    assert isinstance(data, Images)
    return data


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.fromarray(NOISE[:16, :16])).save(path, **options)
    return path


def test_a_folder_holds_its_images_as_bytes_in_the_order_of_their_names(tmp_path: Path) -> None:
    for i, name in enumerate(("b.png", "a.webp", "deep/c.png")):
        save(tmp_path / name, Image.fromarray(NOISE[i : i + 16, :16]), lossless=True)
    data = opened(tmp_path, held_out=1e-9)
    assert data.train.dtype == np.uint8
    assert data.shape == (3, 16, 16)
    found = np.concatenate([data.train, np.round((data.held_out + 1) * 127.5).astype(np.uint8)])
    assert np.array_equal(found, np.stack([NOISE[i : i + 16, :16].transpose(2, 0, 1) for i in (1, 0, 2)]))
    assert data.label_names == ()


def test_labels_are_the_sub_folders_where_every_image_lies_in_one(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/b.jpg", "dog/old/c.PNG"):
        save(tmp_path / name)
    data = opened(tmp_path, held_out=1e-9)
    assert data.label_names == ("cat", "dog")
    assert data.train_labels is not None
    assert data.held_out_labels is not None
    assert [*data.train_labels, *data.held_out_labels] == [0, 0, 1]
    save(tmp_path / "e.png")
    assert opened(tmp_path).train_labels is None


def test_grey_images_have_one_channel_unless_one_of_them_has_colours(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"{i}.png", Image.fromarray(NOISE[:8, :8, i]))
    assert opened(tmp_path).shape == (1, 8, 8)
    save(tmp_path / "z.png", Image.fromarray(NOISE[:8, :8]))
    assert opened(tmp_path).shape == (3, 8, 8)


def test_transparent_parts_are_white_and_a_photo_is_turned_as_it_is_shown(tmp_path: Path) -> None:
    save(tmp_path / "a.png", Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    turned = Image.fromarray(np.repeat([[[0, 0, 0]] * 8, [[255, 0, 0]] * 8], 4, axis=0).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 3  # shown upside down
    save(tmp_path / "b.png", turned, exif=exif)
    data = opened(tmp_path, held_out=1e-9)
    shown = np.concatenate([(data.train / 127.5 - 1.0), data.held_out])
    assert (shown[0] == 1).all()
    assert shown[1, 0].mean(axis=1).tolist() == [1] * 4 + [-1] * 4


def test_files_that_are_no_images_by_name_are_passed_over_and_counted(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", ".hidden/c.png"):
        save(tmp_path / name)
    (tmp_path / "._b.png").write_bytes(b"what macOS leaves")
    (tmp_path / "labels.txt").write_text("cat\n")
    data = opened(tmp_path)
    assert len(data.train) + len(data.held_out) == 2
    assert data.notes[0].endswith("of no labels; 3 other files passed over.")


def test_every_broken_file_is_named(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.png").read_bytes()
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"1 of 2 images of .* cannot be read, remove them: \S*text\.png \(cannot id"):
        opened(tmp_path)
    (tmp_path / "text.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "more.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 3 images .*more\.jpg .*text\.png \(.*truncated"):
        opened(tmp_path)
    for i in range(7):
        (tmp_path / f"{i}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"9 of 10 images .*0\.png .*4\.png .* and 4 more$") as caught:
        opened(tmp_path)
    assert "5.png" not in str(caught.value)


def test_more_than_eight_bits_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)))
    with pytest.raises(DataError, match=r"a\.png \(it has more than 8 bits a channel\)"):
        opened(tmp_path)


@pytest.mark.filterwarnings("error")
def test_an_image_that_would_take_all_memory_is_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(DataError, match=r"a\.png \(Image size \(256 pixels\) exceeds limit"):
        opened(tmp_path)


def test_mixed_sizes_are_refused_by_name_unless_a_size_is_asked_for(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", Image.fromarray(NOISE[:16, :20]))
    with pytest.raises(DataError, match=r"b\.png is of 20 x 16 pixels and \S*a\.png of 16 x 16: data.image_size=32"):
        opened(tmp_path)
    assert opened(tmp_path, image_size=8).shape == (3, 8, 8)


@pytest.mark.parametrize("size", [(1, 1), (33, 33), (129, 129), (16, 8)])
def test_sizes_that_no_network_takes_are_refused_before_decoding(tmp_path: Path, size: tuple[int, int]) -> None:
    save(tmp_path / "a.png", Image.new("L", size))
    with pytest.raises(DataError, match=f"are of {size[0]} x {size[1]} pixels, and the networks take .*image_size"):
        opened(tmp_path)


def test_a_folder_has_no_columns(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(ConfigurationError, match="a folder of images has no columns, leave out"):
        opened(tmp_path, label="y")


def test_an_image_alone_and_an_empty_folder_are_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a directory without images \(png, jpg, webp\)"):
        opened(tmp_path)
    with pytest.raises(DataError, match=r"a\.png is one image: name the folder that holds the images"):
        opened(save(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(28, 28, 32), (24, 32, 32), (32, 32, 32), (6, 7, 8), (100, 128, 128), (23, 32, None), (33, 33, None), (5, 8, None),
     (1, 1, None), (129, 129, None), (0, 0, None)],
)  # fmt: skip
def test_a_size_is_padded_where_at_most_a_quarter_of_the_side_is_added(
    height: int, width: int, side: int | None
) -> None:
    assert side_for(height, width) == side


def test_mnists_size_is_padded_by_its_outermost_pixels(tmp_path: Path) -> None:
    pixels = np.full((4, 28, 28), 7, dtype=np.uint8)
    pixels[:, 14, 14] = 255
    np.savez(tmp_path / "mnist.npz", x=pixels)
    data = opened(tmp_path / "mnist.npz")
    assert data.shape == (1, 32, 32)
    assert data.train[0, 0, 16, 16] == 255
    assert (np.delete(data.train[0, 0].ravel(), 16 * 32 + 16) == 7).all()
    assert data.notes == ("Images of 28 x 28 were padded to 32.",)


def test_arrays_are_resized_to_the_size_that_is_asked_for_within_their_range(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (3, 2 * 9, 2 * 12)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=values)
    data = opened(tmp_path / "a.npz", image_size=8, held_out=1e-9)
    assert data.shape == (1, 8, 8)
    assert np.abs(data.train).max() <= 1
    # The middle square, smoothed: the outermost columns have no part in it.
    values[:, :, 0] = values[:, :, -1] = 0
    np.savez(tmp_path / "b.npz", x=values)
    assert np.array_equal(opened(tmp_path / "b.npz", image_size=8, held_out=1e-9).train, data.train)


@pytest.mark.parametrize("option", [{"stack": True}, {"image_size": 32}])
@pytest.mark.parametrize("source", ["builtin:ring", "builtin:names"])
def test_options_of_images_are_refused_for_other_data(source: str, option: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"data.stack and data.image_size are for images, and"):
        open_dataset(DataConfig(sources=(source,), **option))  # type: ignore[arg-type]
