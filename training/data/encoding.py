"""Texts to rows of ids, split in two and written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.alphabet import UNKNOWN, Alphabet
from training.data.cleaning import Texts
from training.data.parts import Parts
from training.data.repeats import Repeats
from training.data.report import Report
from training.data.split import require_two
from training.data.spool import Spool
from training.data.survey import Survey, text_lengths

if TYPE_CHECKING:
    from training.configuration import DataConfig

# Characters encoded in one go: a few megabytes of UTF-32 stay in the processor's cache.
_CELLS = 1 << 20


class Encoder:
    """Makes rows of texts as the options say, and counts what it does."""

    def __init__(self, config: DataConfig, alphabet: Alphabet, label_names: Sequence[str]) -> None:
        self.cut = self.dropped = self.windowed = self.duplicates = self.replaced = 0
        self._alphabet, self._on_long = alphabet, config.on_long
        self._repeats = Repeats() if config.duplicates == "drop" else None
        self._position = {name: i for i, name in enumerate(label_names)}

    def columns(self, texts: Texts) -> Iterator[list[NDArray[Any]]]:
        """Ids (N, T) and, with labels, their positions (N,), in portions of bounded size."""
        strings, sources = self._fit(texts.texts)
        labels = None
        if texts.labels is not None:
            positions = [self._position[label] for label in texts.labels]
            labels = np.array(positions, dtype=np.uint16)[sources]
        step = max(1, _CELLS // self._alphabet.length)
        for start in range(0, len(strings), step):
            ids = self._alphabet.encode(strings[start : start + step])
            portion: list[NDArray[Any]] = [ids] if labels is None else [ids, labels[start : start + step]]
            if self._repeats:
                kept = self._repeats.fresh(ids)
                self.duplicates += len(kept) - int(kept.sum())
                portion = [column[kept] for column in portion]
            self.replaced += int(np.count_nonzero(portion[0] == UNKNOWN))
            yield portion

    def losses(self) -> str:
        """What was left out, for a message: empty if nothing was."""
        told = {"repeated": self.duplicates, "too long": self.dropped}
        parts = [f"{count} {what}" for what, count in told.items() if count]
        return f" ({', '.join(parts)} left out)" if parts else ""

    def _fit(self, texts: list[str]) -> tuple[list[str], NDArray[np.int64] | slice]:
        """Strings of at most T characters (longer if they are to be cut), and the text that each is from."""
        length = self._alphabet.length
        lengths = text_lengths(texts)
        too_long = int(np.count_nonzero(lengths > length))
        if not too_long:
            return texts, slice(None)
        if self._on_long == "truncate":
            self.cut += too_long
            return texts, slice(None)
        if self._on_long == "drop":
            self.dropped += too_long
            return [text for text in texts if len(text) <= length], np.flatnonzero(lengths <= length)
        self.windowed += too_long
        windows = [text[i : i + length] for text in texts for i in range(0, len(text), length)]
        return windows, np.repeat(np.arange(len(texts)), -(-lengths // length))


def encode_corpus(
    spool: Spool, name: str, config: DataConfig, alphabet: Alphabet, found: Survey, folder: Path
) -> tuple[Report, str]:
    """Write the rows of both parts into the folder; returns the report and the digest.

    name: of the sources, for messages.  Raises DataError if there are fewer than two rows.
    """
    label_names = sorted(found.labels)
    encoder = Encoder(config, alphabet, label_names)
    with Parts(folder, config, alphabet, label_names) as parts:
        for texts in spool:
            for columns in encoder.columns(texts):
                parts.append(columns)
        require_two(parts.rows, name, encoder.losses())
        parts.balance()
        digest = parts.digest()
    report = Report(
        lines=found.tally.lines,
        blank=found.tally.blank,
        bad_utf8_replaced=found.tally.bad_replaced,
        bad_utf8_skipped=found.tally.bad_skipped,
        broken=found.tally.broken,
        cut=encoder.cut,
        dropped=encoder.dropped,
        windowed=encoder.windowed,
        duplicates=encoder.duplicates,
        rare=int(np.count_nonzero(found.counts)) - len(alphabet.characters),
        replaced=encoder.replaced,
        train=parts.train.rows,
        held_out=parts.held_out.rows,
        length=alphabet.length,
        symbols=alphabet.size,
    )
    return report, digest
