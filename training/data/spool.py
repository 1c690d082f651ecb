"""Cleaned texts on disk between the passes over a corpus, so that each source is parsed only once."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from training.data.cleaning import Texts

_HEAD = struct.Struct("<QQ?")


class Spool:
    """A file of blocks of texts that is written once and then read as often as needed; gone when it is closed.

    A block is the number of bytes of its texts and of its labels, whether it has labels, and both, joined by NUL.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("w+b")

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._path.unlink()
        with suppress(OSError):  # on a full disk the rest cannot be written, and nobody wants it any more
            self._file.close()

    def append(self, block: Texts) -> None:
        """Add a block."""
        texts, labels = block.joined.encode(), "\0".join(block.labels or ()).encode()
        self._file.write(_HEAD.pack(len(texts), len(labels), block.labels is not None))
        self._file.write(texts)
        self._file.write(labels)

    def __iter__(self) -> Iterator[Texts]:
        """The blocks in order, one at a time."""
        self._file.seek(0)
        while head := self._file.read(_HEAD.size):
            texts, labels, labelled = _HEAD.unpack(head)
            lines = self._file.read(texts).decode().split("\0")
            marks = self._file.read(labels).decode().split("\0")
            yield Texts(lines, marks if labelled else None)
