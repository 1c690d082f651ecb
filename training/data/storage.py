"""A prepared corpus on disk: written in one stream, made once, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError

MAPPED = 1 << 28  # bytes of a file that is drawn from through a memory map, at most


def cache_folder() -> Path:
    """``$CHARWGAN_CACHE``, else ``$XDG_CACHE_HOME/charwgan``, else ``~/.cache/charwgan``."""
    if chosen := os.environ.get("CHARWGAN_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "charwgan"


class NpyWriter:
    """An .npy file of rows that grows; its header is written again when the number of rows is known."""

    def __init__(self, path: Path, dtype: np.dtype[Any], row: tuple[int, ...] = ()) -> None:
        self.rows = 0
        self._dtype, self._row = dtype, row
        self._file: BinaryIO = path.open("w+b")
        self._write_header()

    def __enter__(self) -> NpyWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            # What is still buffered for a full disk fails again in close: the first error is the one to tell.
            with suppress(OSError):
                self._file.close()
            return
        with self._file:
            self._file.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        # numpy pads the header so that the first axis can grow in place up to 21 digits.
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._file, {**header, "shape": (self.rows, *self._row)})

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows, (N, *row)."""
        self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)
        self.rows += len(rows)

    def take_last(self) -> NDArray[Any]:
        """Remove the last row and return it, (1, *row)."""
        size = self._dtype.itemsize * int(np.prod(self._row, dtype=np.int64))
        start = self._file.seek(-size, os.SEEK_END)
        row = np.frombuffer(self._file.read(size), dtype=self._dtype).reshape(1, *self._row)
        self._file.seek(start)
        self._file.truncate()
        self.rows -= 1
        return row


class StoredRows:
    """Rows of an .npy file by number, drawn again and again.

    A file of more than MAPPED bytes is read where they lie: of a memory map all pages around them, in the end all
    pages, would count as this process's memory.  A smaller one is mapped, which is faster.
    """

    def __init__(self, mapped: NDArray[Any], path: Path) -> None:
        """mapped: the memory map of the file, (N, *row)."""
        self._mapped, self._path = mapped, path
        self._file: int | None = None
        if mapped.nbytes > MAPPED:
            self._file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            self._start = path.stat().st_size - mapped.nbytes
            self._size = mapped.nbytes // len(mapped)

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The rows of those numbers, (n, *row).  Raises DataError if the file has been cut off."""
        if self._file is None:
            return self._mapped[rows]
        size = self._size
        parts = [os.pread(self._file, size, self._start + int(row) * size) for row in rows]
        data = bytearray().join(parts)  # which torch may write to, as it warns otherwise
        if len(data) != len(rows) * size:
            raise DataError(f"{self._path} has been cut off since it was opened: remove its folder, and start again")
        return np.frombuffer(data, self._mapped.dtype).reshape(len(rows), *self._mapped.shape[1:])


def make_once(root: Path, key: str, build: Callable[[Path], None]) -> Path:
    """The folder root/key, made by ``build(partial folder)`` unless it is there.

    The partial folder is renamed when it is whole, so a kill leaves nothing that could be taken for the real one, and
    the next call clears away what a kill left.  Of several processes that want the same key one builds, others wait.
    Raises DataError if the folder cannot be written, for example because the disk is full.
    """
    folder = root / key
    if folder.is_dir():
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(root)
        with _locked(root / f"{key}.lock"):
            if not folder.is_dir():
                _build(root / f"{key}.partial", folder, build)
    except OSError as error:
        raise DataError(
            f"cannot write the prepared corpus to {root}: {error.strerror or error}: "
            "free some space, or set CHARWGAN_CACHE to a folder on another disk"
        ) from error
    return folder


def _build(partial: Path, folder: Path, build: Callable[[Path], None]) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        build(partial)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def _locked(path: Path, mode: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock that the kernel releases when the process ends, however it ends."""
    with path.open("w") as lock:
        fcntl.flock(lock, mode)
        yield


def _clear_abandoned(root: Path) -> None:
    """Remove what killed processes left half made: partial folders whose lock nobody holds."""
    for partial in root.glob("*.partial"):
        try:
            with _locked(partial.with_suffix(".lock"), fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(partial, ignore_errors=True)
        except OSError:  # held, or another user's
            continue
