"""The score table as text: compact figures in blocks that fit the width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from training.evaluation.ngrams import ORDERS

Scores = Mapping[str, float | None]
Rows = Sequence[tuple[str, Scores]]
Groups = Sequence[Mapping[str, str]]

# Columns that stay together, under the two lines of their headings.
GROUPS: tuple[dict[str, str], ...] = (
    {f"js{n}_padded": f"JS-{n}\npad" for n in ORDERS},
    {f"js{n}_bare": f"JS-{n}\nbare" for n in ORDERS},
    {
        "js4_classic": "JS-4\n640",
        "unique": "uniq\n",
        "copied": "copy\n",
        "nearest": "near\n",
        "forward_bits": "bits\nfwd",
        "reverse_bits": "bits\nrev",
        "mean_length": "mean\nlen",
    },
)
NAME_WIDTH = 14
COLUMN_WIDTH = 5


def figure(value: float | None) -> str:
    """At most 4 characters for anything below 1000: .119, 1.00, 12.3, a count as it is, - where nothing is defined."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value}"
    if value < 0.9995:
        return f"{value:.3f}".removeprefix("0")
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def render(rows: Rows, notes: Sequence[str], width: int, groups: Groups = GROUPS) -> RenderableType:
    """Rows of scores for a rich console of `width` columns, in one block or in several; the notes below."""
    return Group(*(_block(rows, columns) for columns in blocks(width, groups)), Text("\n".join(notes), style="dim"))


def plain(rows: Rows, notes: Sequence[str], width: int, groups: Groups = GROUPS) -> str:
    """The same without colours or trailing blanks."""
    out = StringIO()
    Console(file=out, width=width, color_system=None, force_terminal=False).print(render(rows, notes, width, groups))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def blocks(width: int, groups: Groups = GROUPS) -> list[dict[str, str]]:
    """The groups of columns, put side by side as far as the width allows: one block from 100 columns on."""
    room = max(1, (width - NAME_WIDTH) // COLUMN_WIDTH)
    found: list[dict[str, str]] = [{}]
    for group in groups:
        if found[-1] and len(found[-1]) + len(group) > room:
            found.append({})
        found[-1] |= group
    return found


def _block(rows: Rows, columns: Mapping[str, str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("", max_width=NAME_WIDTH - 1, no_wrap=True, overflow="ellipsis")
    for heading in columns.values():
        table.add_column(heading, justify="right", no_wrap=True, min_width=COLUMN_WIDTH - 1)
    for name, scores in rows:
        style = "green" if name == "real" else "dim" if name.startswith("Markov ") else "bold"
        # Text and not str: a set's name in square brackets is no markup.
        table.add_row(Text(name), *(figure(scores.get(key)) for key in columns), style=style)
    table.add_row()
    return table
