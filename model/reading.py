"""Texts from a file of lines, read as training reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from model.errors import DataError

BOM = b"\xef\xbb\xbf"


def read_texts(file: BinaryIO, name: str, size: int = 256) -> Iterator[list[str]]:
    """The lines of a file in slices: UTF-8, ended by LF or CRLF, a byte order mark passed over.

    name: for messages.  Raises DataError naming the line that is not UTF-8 or holds a NUL, or if the file cannot be
    read.
    """
    texts: list[str] = []
    try:
        for number, line in enumerate(file, 1):
            texts.append(_text(line.removeprefix(BOM) if number == 1 else line, f"{name}, line {number}"))
            if len(texts) == size:
                yield texts
                texts = []
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or error}") from error
    if texts:
        yield texts


def _text(line: bytes, where: str) -> str:
    if b"\0" in line:
        raise DataError(f"{where}: holds a NUL character, which marks the end of a string: remove it")
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error.reason}): convert the file") from None
