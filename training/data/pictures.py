"""A folder of images: png, jpg or webp, of one size or brought to it, labelled by its sub-folders."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigurationError, DataError
from training.data.arrays import Images, Labelled, Labels, split_samples
from training.data.optional import load_optional
from training.data.sizes import SIDES, resized, side_for

if TYPE_CHECKING:
    from training.configuration import DataConfig

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
NAMED = 5  # broken files that a message names
_GREY = ("1", "L", "LA")
_TURNED = 5  # from this value on, EXIF's orientation exchanges width and height
_ORIENTATION = 0x0112


def holds_images(source: str) -> bool:
    """Whether a source is a folder with an image in it or in a folder below."""
    return os.path.isdir(source) and next(_files(Path(source)), None) is not None


def open_folder(source: str, config: DataConfig) -> Images:
    """The images of a folder and of those below it, as bytes: grey if all of them are, else of three colours.

    Labels are the names of its sub-folders, where every image lies in one of at least two.  Transparent parts become
    white.  Every file is opened to learn its size before memory is taken for the pixels, and decoded one by one.
    Raises DataError naming the files that cannot be read, or one of another size than the first unless
    data.image_size is set; ConfigurationError for data.column and data.label, which a folder has not.
    """
    if config.column is not None or config.label is not None:
        raise ConfigurationError(
            f"{source}: a folder of images has no columns, leave out data.column and data.label: "
            "its labels are the names of its sub-folders"
        )
    folder = Path(source)
    paths = sorted(_files(folder))
    heads = _all(_head, paths, source)
    if config.image_size is None:
        _check_sizes(paths, heads, source)
    grey = all(head.grey for head in heads)
    samples = _decoded(paths, heads, grey=grey, size=config.image_size, source=source)
    names, positions = _labels(folder, paths)
    others = sum(1 for path in folder.rglob("*") if path.is_file()) - len(paths)
    note = (
        f"{len(paths)} files of images in {source}, of {len(names) or 'no'} labels; {others} other files passed over."
    )
    data = resized(Labelled(source, samples, positions, names, (note,)), None)
    return Images(**split_samples(data, config))


def _files(folder: Path) -> Iterator[Path]:
    """Those that their names call images; what is hidden is none, such as the shadows that macOS leaves."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


@dataclass(frozen=True)
class _Head:
    """What a file says of its image before it is decoded: width and height as it is shown, and whether it is grey."""

    size: tuple[int, int]
    grey: bool


def _head(path: Path) -> _Head:
    with load_optional("PIL.Image", str(path)).open(path) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError("it has more than 8 bits a channel")
        turned = image.getexif().get(_ORIENTATION, 1) >= _TURNED
        return _Head(image.size[::-1] if turned else image.size, image.mode in _GREY)


def _pixels(path: Path, mode: str, size: int | None) -> NDArray[np.uint8]:
    """The image as it is shown, (H, W) or (H, W, 3); size: that of its middle square, resized."""
    pillow, operations = load_optional("PIL.Image", str(path)), load_optional("PIL.ImageOps", str(path))
    with pillow.open(path) as file:
        image = operations.exif_transpose(file)
    if image.has_transparency_data:
        image = pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert(mode)
    return np.asarray(operations.fit(image, (size, size)) if size else image)


def _all(read: Callable[[Path], Any], paths: Sequence[Path], source: str) -> list[Any]:
    """What is read of every file.  Raises DataError that names those that cannot be."""
    found, broken = [], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", load_optional("PIL.Image", source).DecompressionBombWarning)
        for path in paths:
            try:
                found.append(read(path))
            except Exception as error:  # decoders raise what they like
                broken[path] = error
    if broken:
        listed = "; ".join(f"{path} ({error})" for path, error in list(broken.items())[:NAMED])
        more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        raise DataError(f"{len(broken)} of {len(paths)} images of {source} cannot be read, remove them: {listed}{more}")
    return found


def _check_sizes(paths: Sequence[Path], heads: Sequence[_Head], source: str) -> None:
    """Raises DataError unless all are of one size, and that one is for the networks."""
    (width, height), nearest = heads[0].size, SIDES[2]
    for path, head in zip(paths, heads, strict=True):
        if head.size != (width, height):
            other = "{} x {}".format(*head.size)
            raise DataError(
                f"{path} is of {other} pixels and {paths[0]} of {width} x {height}: "
                f"data.image_size={nearest} brings all to one size"
            )
    if side_for(height, width) is None:
        raise DataError(
            f"the images of {source} are of {width} x {height} pixels, and the networks take squares of "
            f"{', '.join(map(str, SIDES))}: data.image_size={nearest} resizes them"
        )


def _decoded(
    paths: Sequence[Path], heads: Sequence[_Head], *, grey: bool, size: int | None, source: str
) -> NDArray[np.uint8]:
    """The pixels of all files, (N, C, H, W)."""
    width, height = (size, size) if size else heads[0].size
    found = np.empty((len(paths), 1 if grey else 3, height, width), dtype=np.uint8)
    place = iter(found)

    def decode(path: Path) -> None:
        pixels = _pixels(path, "L" if grey else "RGB", size)
        next(place)[:] = pixels if grey else np.moveaxis(pixels, 2, 0)

    _all(decode, paths, source)
    return found


def _labels(folder: Path, paths: Sequence[Path]) -> tuple[tuple[str, ...], Labels | None]:
    """The names of the sub-folders and whose each file is, or none."""
    parts = [path.relative_to(folder).parts for path in paths]
    if any(len(part) < 2 for part in parts) or len({part[0] for part in parts}) < 2:
        return (), None
    names, positions = np.unique([part[0] for part in parts], return_inverse=True)
    return tuple(map(str, names)), positions.astype(np.uint16)
