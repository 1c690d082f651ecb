"""A user's own arrays: images or points of an .npz file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError, SourceError
from training.data.arrays import Images, Labelled, Labels, Points, Samples, split_samples
from training.data.lines import listing
from training.data.sizes import resized

if TYPE_CHECKING:
    from training.configuration import DataConfig

_CHANNELS = (1, 3, 4)


def open_npz(source: str, config: DataConfig) -> Points | Images:
    """The array data.column of the file (its first one if unset), and the labels data.label.

    Images: (N, H, W), (N, H, W, C) or (N, C, H, W), bytes or floats in [-1, 1], C one of 1, 3, 4.
    Points: (N, D) floats.  Raises DataError naming the array for any other shape, type or range.
    """
    samples, labels = _read(source, config)
    where = source if config.column is None else f"{source}, array {config.column!r}"
    label_names: tuple[str, ...] = ()
    positions = None
    if labels is not None:
        label_names, positions = _labels(labels, len(samples), f"{source}, array {config.label!r}")
    if samples.ndim == 2:
        data = Labelled(source, _points(samples, where), positions, label_names)
        return Points(**split_samples(data, config))
    data = Labelled(source, _images(samples, where), positions, label_names)
    return Images(**split_samples(resized(data, config.image_size), config))


def _read(source: str, config: DataConfig) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The arrays of samples and of labels."""
    if not Path(source).exists():
        raise SourceError(f"there is no file {source}: check the path")
    try:
        loaded = np.load(source, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise DataError(f"{source} is a single array: save it with numpy.savez")
        with loaded as file:
            rest = [name for name in file.files if name != config.label]
            column = config.column or (rest[0] if rest else "")
            for name in (column, config.label):
                if name is not None and name not in file.files:
                    raise SourceError(f"{source} has no array {name!r}: it has {listing(file.files)}")
            samples = file[column]
            labels = None if config.label is None else file[config.label]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"cannot read {source} as npz: {error}") from error
    if not samples.ndim:
        raise DataError(f"{source}, array {column!r}: a single number, expected (N, D) or images")
    return samples, labels


def _labels(labels: NDArray[Any], rows: int, where: str) -> tuple[tuple[str, ...], Labels]:
    if labels.shape != (rows,):
        raise DataError(f"{where}: one label for each of the {rows} samples is needed, got the shape {labels.shape}")
    names, positions = np.unique(labels, return_inverse=True)
    if len(names) > 1 << 16:
        raise DataError(f"{where}: {len(names)} different labels, at most 65536 can be told apart")
    return tuple(str(name) for name in names), positions.astype(np.uint16)


def _points(samples: NDArray[Any], where: str) -> NDArray[np.float32]:
    if not np.issubdtype(samples.dtype, np.floating):
        raise DataError(f"{where}: points (N, D) must be floats, got {samples.dtype}: images have three or four axes")
    return _finite(samples, where)


def _finite(samples: NDArray[Any], where: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        values = np.asarray(samples, dtype=np.float32)
    if not values.size:
        raise DataError(f"{where}: is empty, shape {samples.shape}")
    if not np.isfinite(values).all():
        raise DataError(f"{where}: holds values that are not finite in float32")
    return values


def _images(samples: NDArray[Any], where: str) -> Samples:
    """Images as (N, C, H, W)."""
    shaped = np.ascontiguousarray(_channels_first(samples, where))
    if shaped.dtype == np.uint8 and shaped.size:
        return shaped
    if not np.issubdtype(shaped.dtype, np.floating):
        raise DataError(f"{where}: images must be uint8 or floats in [-1, 1], got {shaped.dtype}")
    values = _finite(shaped, where)
    if np.abs(values).max() > 1.0:
        raise DataError(
            f"{where}: images of floats must lie in [-1, 1], got {values.min():g} to {values.max():g}: "
            "scale them, or save bytes"
        )
    return values


def _channels_first(samples: NDArray[Any], where: str) -> NDArray[Any]:
    if samples.ndim == 3:
        return samples[:, np.newaxis]
    if samples.ndim == 4 and samples.shape[1] in _CHANNELS:
        return samples
    if samples.ndim == 4 and samples.shape[3] in _CHANNELS:
        return np.moveaxis(samples, 3, 1)
    raise DataError(
        f"{where}: expected points (N, D) or images (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1, 3 or 4, "
        f"got the shape {samples.shape}"
    )
