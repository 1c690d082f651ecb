"""What was made of the lines of a corpus, in numbers and in sentences."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """Counts of lines unless said otherwise; rows are what is learned from (a line gives several windows).

    broken: texts with a line break within, which became a space.  rare: different characters that became the unknown
    symbol.  replaced: how often they occurred in the rows.
    length: T.  symbols: V.
    """

    lines: int
    blank: int
    bad_utf8_replaced: int
    bad_utf8_skipped: int
    broken: int
    cut: int
    dropped: int
    windowed: int
    duplicates: int
    rare: int
    replaced: int
    train: int
    held_out: int
    length: int
    symbols: int

    def sentences(self) -> list[str]:
        """The report for a person; what did not happen is not mentioned."""
        said = {
            "blank, left out": self.blank,
            "not UTF-8, repaired": self.bad_utf8_replaced,
            "not UTF-8, left out": self.bad_utf8_skipped,
            "with a line break within, made a space": self.broken,
            f"longer than {self.length} characters, cut": self.cut,
            f"longer than {self.length} characters, left out": self.dropped,
            f"longer than {self.length} characters, cut into windows": self.windowed,
        }
        events = [f"{count:,} {what}" for what, count in said.items() if count]
        read = f"{_many(self.lines, 'line')} read" + (": " + "; ".join(events) if events else "") + "."
        sentences = [read]
        if self.duplicates:
            sentences.append(f"{_many(self.duplicates, 'repeated string')} left out.")
        if self.rare:
            times = _many(self.replaced, "occurrence")
            sentences.append(f"{_many(self.rare, 'rare character')}, {times}, became the unknown symbol.")
        sentences.append(
            f"{_many(self.train, 'string')} to train on and {self.held_out:,} held out, "
            f"of up to {_many(self.length, 'character')} over {self.symbols:,} symbols."
        )
        return sentences


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
