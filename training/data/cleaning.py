"""From texts as they stand in a source to texts as they are learned: UTF-8, not blank, in NFC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Protocol

from model.alphabet import normalize
from model.errors import DataError
from training.data.lines import Block
from training.data.sources import Identity

if TYPE_CHECKING:
    from training.configuration import DataConfig

_SURROGATE = re.compile("[\ud800-\udfff]")
# What would make two lines of one string wherever strings are written one a line.
_BREAK = re.compile("\r\n|\r|\n")


class TextSource(Protocol):
    """Anything that texts come from: a file, a built-in corpus, a data set of the hub."""

    @property
    def name(self) -> str: ...
    def identity(self) -> Identity:
        """What a cache knows the content by."""
        ...

    def blocks(self, config: DataConfig) -> Iterator[Block]:
        """Its texts as they stand."""
        ...


@dataclass
class Tally:
    """What happened to the lines of one pass."""

    lines: int = 0
    blank: int = 0
    bad_replaced: int = 0
    bad_skipped: int = 0
    broken: int = 0


@dataclass(frozen=True)
class Texts:
    """Texts to learn from, in NFC, with their labels if asked for."""

    texts: list[str]
    labels: list[str] | None

    @property
    def joined(self) -> str:
        """All texts, NUL between them: no text holds one."""
        return "\0".join(self.texts)


def clean(source: TextSource, config: DataConfig, tally: Tally) -> Iterator[Texts]:
    """The texts of a source without blank ones (nothing but white space), in NFC, counting what is left out.

    A line break within a text, as a quoted cell may hold, becomes a space: a string is one line everywhere.

    Raises DataError naming source and line for a NUL, and for bad UTF-8 if data.bad_utf8 is error.
    """
    for block in source.blocks(config):
        tally.lines += len(block.texts)
        block = _decoded(block, source.name, config.bad_utf8, tally)
        full = [bool(text and not text.isspace()) for text in block.texts]
        kept = sum(full)
        tally.blank += len(full) - kept
        if kept:
            texts = block.texts if kept == len(full) else list(compress(block.texts, full))
            texts = _on_one_line(texts, tally)
            labels = None if block.labels is None else list(compress(block.labels, full))
            yield Texts(_normalized(texts), labels)


def _on_one_line(texts: list[str], tally: Tally) -> list[str]:
    joined = "".join(texts)
    if "\n" not in joined and "\r" not in joined:
        return texts
    tally.broken += sum("\n" in text or "\r" in text for text in texts)
    return [_BREAK.sub(" ", text) for text in texts]


def _normalized(texts: list[str]) -> list[str]:
    # NUL composes with nothing, so the texts can be normalised in one call.
    joined = "\0".join(texts)
    normal = normalize(joined)
    return texts if normal == joined else normal.split("\0")


def _decoded(block: Block, name: str, policy: str, tally: Tally) -> Block:
    """The block without lone surrogates, which stand for bytes that are not UTF-8, in texts or labels."""
    joined, marks = "".join(block.texts), "".join(block.labels or ())
    labels = block.labels or [""] * len(block.texts)
    if "\0" in joined or "\0" in marks:
        pairs = zip(block.texts, labels, strict=True)
        line = block.numbers[[("\0" in text + label) for text, label in pairs].index(True)]
        raise DataError(f"{name}, line {line}: holds a NUL character, which marks the end of a string: remove it")
    if _sound(joined) and _sound(marks):
        return block
    bad = [not _sound(text + label) for text, label in zip(block.texts, labels, strict=True)]
    if policy == "error":
        line = block.numbers[bad.index(True)]
        raise DataError(f"{name}, line {line}: not UTF-8: set data.bad_utf8 to replace or skip, or convert the file")
    if policy == "replace":
        tally.bad_replaced += sum(bad)
        return Block(_replaced(block.texts), block.numbers, block.labels and _replaced(block.labels))
    tally.bad_skipped += sum(bad)
    good = [not flag for flag in bad]
    kept = None if block.labels is None else list(compress(block.labels, good))
    return Block(list(compress(block.texts, good)), list(compress(block.numbers, good)), kept)


def _sound(text: str) -> bool:
    """Whether there is no lone surrogate; encoding finds one ten times faster than a regular expression."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _replaced(texts: list[str]) -> list[str]:
    return [_SURROGATE.sub("\ufffd", text) for text in texts]
