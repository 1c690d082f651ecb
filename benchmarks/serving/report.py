"""The tables, in Markdown, of the document that a run writes with --json.

    python -m benchmarks.serving.report FILE

A figure is the median over the rounds; a ratio is the median of each round's own ratio, its extremes in brackets.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.serving.sides import SIDES

TITLES = {"1": "our sampler, 1 thread", "2": "our sampler, 2 threads", "plain 2": "one session of 2 threads"}
Cell = dict[str, Any]
Document = dict[str, Any]


def text(document: Document) -> str:
    """The whole report."""
    parts = [_machine(document), _ceilings(document), _starts(document)]
    shapes = sorted({(cell["strings"], cell["clients"]) for cell in document["cells"]})
    for strings in sorted({strings for strings, _ in shapes}):
        parts.append(_speeds(document, strings, [clients for most, clients in shapes if most == strings]))
    parts += [_ratios(document, shapes), _stream(document)]
    failures = [f"- {SIDES[name].title}: {reason}" for name, reason in document["failures"].items()]
    if failures:
        parts.append("Not measured, or not to the end:\n\n" + "\n".join(failures))
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned for reading as it is."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first, *rest = zip(row, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]) + " |"

    rule = "|" + "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def _machine(document: Document) -> str:
    machine, options = document["machine"], document["options"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    called = "our sampler" if options["peer_engine"] == "sampler" else "one session of ONNX Runtime as it comes"
    peers = ", ".join(side.requirement for side in SIDES.values() if side.requirement and side.name in options["sides"])
    loads = [f"{number:.1f}" for number in document["load_average"]]
    return (
        f"{machine['processor']}, {machine['threads']} threads ({' '.join(machine['extensions'])}), "
        f"{machine['memory_gb']} GB, {machine['system']}.  {versions}; {peers}.\n"
        f"{document['model']}.  {options['rounds']} rounds of every side in turn, {options['seconds']:g} s after "
        f"{options['warmup']:g} s of warm-up, client processes: {options['client_processes']}.  "
        f"Peers call the model by {called}.  "
        f"Load average when the rounds began: {' '.join(loads)}."
    )


def _ceilings(document: Document) -> str:
    measured = document["ceilings"]
    sizes = list(measured[0]["1"])
    rows = [
        [TITLES[threads]]
        + [f"{median(found[threads][size] for found in measured):.0f}" for size in sizes]
        + [" ".join(f"{max(found[threads].values()):.0f}" for found in measured)]
        for threads in measured[0]
    ]
    head = ["in process, strings/s", *(f"batch {size}" for size in sizes), "best, each time"]
    return table(head, rows)


def _starts(document: Document) -> str:
    rows = []
    for name, found in _by_side(document, "starts"):
        ready, resident = (median(start[key] for start in found) for key in ("ready_s", "resident_mb"))
        rows.append([SIDES[name].title, f"{ready:.2f}", f"{resident:.0f}"])
    return table(["start", "first answer after s", "resident MB"], rows) if rows else ""


def _speeds(document: Document, strings: int, clients: Sequence[int]) -> str:
    rows = []
    for name, cells in _by_side(document, "cells"):
        row = [SIDES[name].title]
        for number in clients:
            here = [cell for cell in cells if (cell["strings"], cell["clients"]) == (strings, number)]
            row.append(_speed(here))
        rows.append(row)
    unit = "one string a request" if strings == 1 else f"{strings} strings a request"
    head = [
        f"{unit}: requests/s (p50, p99 ms; server ms)",
        *(f"{number} client{'s' if number > 1 else ''}" for number in clients),
    ]
    return table(head, rows)


def _speed(cells: Sequence[Cell]) -> str:
    if not cells:
        return "-"
    rate, p50, p99, server = (
        median(cell[key] for cell in cells) for key in ("requests_per_s", "p50_ms", "p99_ms", "server_ms")
    )
    errors = sum(sum(cell["errors"].values()) for cell in cells)
    wrong = sum(cell["wrong"] for cell in cells)
    complaint = (f" {errors} ERRORS" if errors else "") + (f" {wrong} WRONG" if wrong else "")
    return f"{rate:.0f} ({p50:.1f}, {p99:.1f}; {server:.2f}){complaint}"


def _ratios(document: Document, shapes: Sequence[tuple[int, int]]) -> str:
    """Ours beside each peer, and beside the ceilings of two threads of the same round."""
    peers = [name for name, _ in _by_side(document, "cells") if name != "ours"]
    if not any(cell["side"] == "ours" for cell in document["cells"]):
        return ""
    columns = [f"{clients} x {strings}" for strings, clients in shapes]
    tables = []
    for title, key in (
        ("requests/s (clients x strings)", "requests_per_s"),
        ("p99", "p99_ms"),
        ("processor time a request", "server_ms"),
    ):
        rows = []
        if key == "requests_per_s":
            for threads in ("2", "plain 2"):
                shares = (_against_ceiling(document, *shape, threads) for shape in shapes)
                rows.append([f"alone: {TITLES[threads]}", *map(_spread, shares)])
        for name in peers:
            rows.append([SIDES[name].title, *(_spread(_against(document, *shape, name, key)) for shape in shapes)])
        if rows:
            tables.append(table([f"ours / ..., {title}", *columns], rows))
    return "\n\n".join(tables)


def _found(document: Document, strings: int, clients: int, name: str) -> dict[int, Cell]:
    """A side's cells of one shape by round."""
    shape = (name, strings, clients)
    cells = document["cells"]
    return {cell["round"]: cell for cell in cells if (cell["side"], cell["strings"], cell["clients"]) == shape}


def _against(document: Document, strings: int, clients: int, name: str, key: str) -> list[float]:
    """A figure of ours by that of a peer, in each round that has both."""
    ours, theirs = (_found(document, strings, clients, side) for side in ("ours", name))
    return [cell[key] / theirs[number][key] for number, cell in ours.items() if number in theirs]


def _against_ceiling(document: Document, strings: int, clients: int, threads: str) -> list[float]:
    """Our share of a ceiling in each round."""
    ours = _found(document, strings, clients, "ours")
    return [cell["strings_per_s"] / ceiling(document, number, threads) for number, cell in ours.items()]


def ceiling(document: Document, number: int, threads: str) -> float:
    """Strings a second in process, the best batch size, before and after a round."""
    tops = [float(max(found[threads].values())) for found in document["ceilings"][number : number + 2]]
    return mean(tops)


def _spread(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    middle = f"{median(ratios):.2f}"
    return middle if len(ratios) == 1 else f"{middle} ({min(ratios):.2f}-{max(ratios):.2f})"


def _stream(document: Document) -> str:
    found = document["stream"]
    if not found:
        return ""
    memory = found["resident_mb"]
    share = found["strings_per_s"] / mean(max(ceiling["2"].values()) for ceiling in document["ceilings"][-2:])
    return (
        f"One stream of {found['strings']:,} strings: {found['strings_per_s']:.0f} strings/s, {share:.2f} of the "
        f"ceiling; first byte after {found['first_byte_s'] * 1e3:.0f} ms; resident {memory['before']:.1f} MB before, "
        f"at most {memory['early']:.1f} in its first tenth and {memory['most']:.1f} in all: "
        f"{found['growth_mb']:.1f} MB more than before."
    )


def _by_side(document: Document, key: str) -> Iterator[tuple[str, list[Cell]]]:
    for name in SIDES:
        if found := [entry for entry in document[key] if entry["side"] == name]:
            yield name, found


if __name__ == "__main__":
    print(text(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), end="")
