"""One folder in the place of another, with no moment in which there is neither."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2
# What a kernel, a file system or a C library answers that cannot exchange.
CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)
SUFFIX = ".exchange"
NEW, OLD = "new", "old"


def clear_abandoned(path: Path) -> None:
    """Put right what a killed process left of replacing path: its workplace, and path itself if it lies in there."""
    for folder in path.parent.glob(f".*{SUFFIX}"):
        if not folder.name.startswith(f".{path.name}.") or not folder.is_dir():
            continue
        with suppress(OSError):  # held by a process that lives, or another user's
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _bring_back(folder, path)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """A folder beside path in which its successor is made; gone afterwards with what it holds.  Raises OSError."""
    folder, lock = _locked_folder(path)
    try:
        yield folder
    finally:
        _bring_back(folder, path)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def put_in_place(fresh: Path, path: Path) -> None:
    """Make the folder fresh, made in a workplace of path, what path is; what path was is then in the workplace.

    On a file system that cannot exchange names, the moment between two renames remains.  Raises OSError.
    """
    if not path.exists():
        fresh.rename(path)
    elif not exchange(fresh, path):
        path.rename(fresh.parent / OLD)
        fresh.rename(path)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step (renameat2, Linux 3.15); False where that cannot be done.  Raises OSError."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _locked_folder(path: Path) -> tuple[Path, int]:
    """A new workplace, and the descriptor by which it is locked until the process ends, however it ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=SUFFIX, dir=path.parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # nobody took it for abandoned before it was locked
            return folder, lock
        os.close(lock)


def _bring_back(folder: Path, path: Path) -> None:
    """Undo the first of the two renames if the second did not happen."""
    if (folder / OLD).exists() and not path.exists():
        (folder / OLD).rename(path)
