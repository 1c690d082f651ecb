"""Generated strings into a file: .txt, .csv, .jsonl or .parquet, whole or not at all, in any number."""

from __future__ import annotations

import csv
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from model.errors import CharwganError, ConfigurationError, MissingDependencyError, how_to_install

Slices = Iterable[list[str]]


def write_texts(path: Path, slices: Slices, first: int = 0) -> None:
    """Write strings in the format of the file's suffix; all but .txt carry the index of each, counted from first.

    Raises ConfigurationError for another suffix, CharwganError if the disk refuses; then nothing is left behind.
    """
    check_suffix(path)
    with whole(path) as partial:
        if path.suffix == ".parquet":
            _write_parquet(partial, slices, first)
        else:
            with partial.open("w", encoding="utf-8", newline="") as file:
                WRITERS[path.suffix](file, slices, first)


def check_suffix(path: Path) -> None:
    """Raises ConfigurationError if there is no format for the file's suffix."""
    if path.suffix not in (*WRITERS, ".parquet"):
        formats = ", ".join((*WRITERS, ".parquet"))
        raise ConfigurationError(f"--out must end in one of {formats}, got {path.name!r}")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Another name to write a file by, which then has its own, or is removed if anything stops the block.

    Raises CharwganError if the disk refuses.
    """
    # A name of its own for each writer: two of one file must not write into each other's.
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise CharwganError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _write_txt(file: TextIO, slices: Slices, first: int) -> None:
    for texts in slices:
        file.writelines(text + "\n" for text in texts)


def _write_csv(file: TextIO, slices: Slices, first: int) -> None:
    writer = csv.writer(file)
    writer.writerow(["index", "text"])
    for texts in slices:
        writer.writerows(enumerate(texts, first))
        first += len(texts)


def _write_jsonl(file: TextIO, slices: Slices, first: int) -> None:
    for texts in slices:
        rows = ({"index": i, "text": text} for i, text in enumerate(texts, first))
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        first += len(texts)


def _write_parquet(path: Path, slices: Slices, first: int) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(f"writing .parquet needs pyarrow: {how_to_install('parquet')}") from error
    schema = pyarrow.schema([("index", pyarrow.int64()), ("text", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for texts in _gathered(slices, 65536):
            indices = range(first, first + len(texts))
            writer.write_table(pyarrow.table({"index": indices, "text": texts}, schema=schema))
            first += len(texts)


def _gathered(slices: Slices, rows: int) -> Iterator[list[str]]:
    """Slices joined until they hold at least that many rows, since parquet wants large row groups."""
    group: list[str] = []
    for texts in slices:
        group += texts
        if len(group) >= rows:
            yield group
            group = []
    if group:
        yield group


WRITERS: dict[str, Callable[[TextIO, Slices, int], None]] = {
    ".txt": _write_txt,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}
