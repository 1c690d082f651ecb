"""What a corpus is like before it is encoded: which characters it has, how long its lines are, which labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.alphabet import CODE_POINTS, RESERVED, Alphabet
from model.errors import DataError
from training.data.cleaning import Tally, Texts, TextSource, clean
from training.data.lines import listing
from training.data.spool import Spool

if TYPE_CHECKING:
    from training.configuration import DataConfig

LONGEST_AUTOMATIC = 64
COVERED = 0.995
SYMBOLS = 1 << 16


@dataclass
class Survey:
    """What was counted.

    counts: occurrences of each code point in what will be learned, (CODE_POINTS,).
    lengths: lines of each length in characters, longer ones than LONGEST_AUTOMATIC in the last entry.
    """

    tally: Tally = field(default_factory=Tally)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CODE_POINTS, dtype=np.int64))
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros(LONGEST_AUTOMATIC + 2, dtype=np.int64))
    labels: set[str] = field(default_factory=set)
    longest: int = 0

    def measure(self, block: Texts) -> None:
        """Take down the lengths and the labels of a block."""
        lengths = text_lengths(block.texts)
        self.longest = max(self.longest, int(lengths.max()))
        self.lengths += np.bincount(np.minimum(lengths, LONGEST_AUTOMATIC + 1), minlength=len(self.lengths))
        self.labels.update(block.labels or ())

    def count(self, block: Texts, length: int, on_long: str) -> None:
        """Count the characters of a block that will be learned if T is the length."""
        learned = _learned(block, length, on_long)
        counts = np.bincount(np.frombuffer(learned.encode("utf-32-le"), dtype="<u4"), minlength=1)
        counts[0] = 0  # NUL stands between the texts
        self.counts[: len(counts)] += counts

    def automatic_length(self) -> int:
        """The smallest T that COVERED of the lines fit in, at most LONGEST_AUTOMATIC."""
        covered = np.cumsum(self.lengths) >= COVERED * self.lengths.sum()
        return min(int(np.argmax(covered)), LONGEST_AUTOMATIC)


def text_lengths(texts: Sequence[str]) -> NDArray[np.int64]:
    """Characters of each text, (N,)."""
    return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))


def _learned(block: Texts, length: int, on_long: str) -> str:
    if on_long == "window" or text_lengths(block.texts).max() <= length:
        return block.joined
    if on_long == "drop":
        return "\0".join(text for text in block.texts if len(text) <= length)
    return "\0".join(text[:length] for text in block.texts)


def survey(sources: Sequence[TextSource], config: DataConfig, spool: Spool) -> tuple[Survey, int]:
    """Read the sources into the spool and count what will be learned; returns the counts and T.

    Characters are counted when T is known, so that none of the alphabet occurs only in what is cut.
    Raises DataError if there is no text at all.
    """
    found = Survey()
    for source in sources:
        for block in clean(source, config, found.tally):
            found.measure(block)
            spool.append(block)
    if not found.longest:
        raise DataError(f"{naming(sources)}: no text to learn from: {_emptiness(found.tally)}")
    length = config.max_length or found.automatic_length()
    for block in spool:
        found.count(block, length, config.on_long)
    return found, length


def _emptiness(tally: Tally) -> str:
    if tally.bad_skipped:
        return f"of {tally.lines} lines {tally.blank} are blank and {tally.bad_skipped} are not UTF-8"
    return f"all {tally.lines} lines are blank" if tally.lines else "it is empty"


def naming(sources: Sequence[TextSource]) -> str:
    """The sources' names for a message."""
    return listing([source.name for source in sources], most=3)


def make_alphabet(found: Survey, length: int, config: DataConfig) -> Alphabet:
    """The characters seen at least data.min_count times, in order of code point.

    Raises DataError if none are, or more than an id of two bytes can tell apart.
    """
    characters = np.flatnonzero(found.counts >= config.min_count)
    if not len(characters):
        if not found.counts.any():
            raise DataError(
                f"every line is longer than data.max_length ({length}) and data.on_long is drop: "
                "raise the length, or set data.on_long to truncate or window"
            )
        raise DataError(
            f"no character occurs data.min_count ({config.min_count}) times: the most frequent one occurs "
            f"{found.counts.max()} times: lower data.min_count"
        )
    if len(characters) + len(RESERVED) > SYMBOLS:
        raise DataError(
            f"the text has {len(characters)} different characters, at most {SYMBOLS - len(RESERVED)} can be learned: "
            "raise data.min_count"
        )
    return Alphabet("".join(map(chr, characters.tolist())), length)
