"""Images and points into a file: a sheet .png, an array .npz, rows .csv; whole or not at all.

N samples, D dimensions.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigurationError
from model.labels import Positions
from model.picture import sheet
from model.samples import SampleModel
from model.writing import whole

Parts = Iterable[NDArray[np.float32]]

FORMATS = {"image": (".png", ".npz"), "points": (".csv", ".npz")}
MOST_ON_A_SHEET = 4096  # images: it is made in memory
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # when zip's time begins: the same samples are the same bytes


def check_format(out: Path | None, model: SampleModel, n: int) -> None:
    """Raises ConfigurationError if samples of this kind cannot be written there."""
    formats = FORMATS[model.kind]
    if out is None and model.kind == "image":
        raise ConfigurationError(f"{model.path} makes images: say where to by --out sheet.png, or --out samples.npz")
    if out is not None and out.suffix not in formats:
        raise ConfigurationError(f"--out must end in one of {', '.join(formats)} for this model, got {out.name!r}")
    if out is not None and out.suffix == ".png" and n > MOST_ON_A_SHEET:
        raise ConfigurationError(
            f"-n must be at most {MOST_ON_A_SHEET} on a sheet, got {n}: --out samples.npz takes any number"
        )


def write_samples(
    path: Path, parts: Parts, n: int, first: int, labels: Positions | None, model: SampleModel
) -> Iterator[list[str]]:
    """Write n samples, in parts (N, ...), in the format of the file's suffix, which ``check_format`` allowed.

    Nothing is done before it is asked for a first item, of which there is none.

    first: the number of the first.  labels: the position of each one's label, (n,), for a model that has labels.
    Raises CharwganError if the disk refuses; then nothing is left behind.
    """
    with whole(path) as partial:
        if path.suffix == ".png":
            partial.write_bytes(sheet(np.concatenate(list(parts))))
        elif path.suffix == ".npz":
            _write_npz(partial, parts, (n, *model.shape), labels)
        else:
            names = None if labels is None else [model.labels.names[position] for position in labels]
            with partial.open("w", encoding="utf-8", newline="") as file:
                _write_csv(file, parts, first, names)
    yield from ()


def lines(parts: Parts) -> Iterator[list[str]]:
    """A line of D numbers for each point, in slices."""
    for part in parts:
        yield [",".join(map(str, point)) for point in part]


def _write_npz(path: Path, parts: Parts, shape: tuple[int, ...], labels: Positions | None) -> None:
    """Arrays x, float32 (N, ...), and y, the label of each by its position, int64 (N,); any N, in little memory."""
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open(zipfile.ZipInfo("x.npy", LONG_AGO), "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(part.astype("<f4", copy=False).tobytes())
        if labels is not None:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, labels.astype("<i8"))
            archive.writestr(zipfile.ZipInfo("y.npy", LONG_AGO), buffer.getvalue())


def _write_csv(file: TextIO, parts: Parts, first: int, names: list[str] | None) -> None:
    """A row for each point: its number in the seed, its D numbers, and its label if there are labels."""
    writer, number = csv.writer(file), count(first)
    for i, part in enumerate(parts):
        if not i:
            writer.writerow(["index", *(f"x{d}" for d in range(1, part.shape[1] + 1)), *["label"] * bool(names)])
        for point in part.tolist():
            index = next(number)
            writer.writerow([index, *point, *([names[index - first]] if names else [])])
