"""docs/variants.md: what the catalogue says of each variant, and a figure that ``benchmarks/variants.py`` measured."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.catalogue import CATALOGUE, Variant
from training.runs import read_json, write_whole

TOP = """\
# The variants

Written by `charwgan variants --page docs/variants.md` from the catalogue (`training/catalogue/`), where each variant is
one function, and from `variants.json`, whose figures `python benchmarks/variants.py` measures: change those, not this
page. Every figure is of one short run on one processor, in networks, steps and rounds that all share
(`benchmarks/variants.toml`) unless its command says otherwise. So a figure says what a short run gave, bar held or
not, and not how well a variant does when it is given more time; and a baseline is played in the same way for as many
rounds.

Lines are those of code in the variant's function. A game with other players than a generator and a critic is a further
file of `training/games/`. What may be added to any of them (moving average, spectral norm, R1, packs, instance noise,
DeLiGAN's mixture, ...) is told in [training.md](training.md) and [laboratory.md](laboratory.md).

| variant | paper | objective | lines | data | figure | baseline | bar |
|---|---|---|---|---|---|---|---|
"""
NOT_MEASURED = "not measured"


def write_page(page: Path) -> None:
    """Write the page; figures are those of the ``.json`` beside it, of the same name, and there may be none.

    Raises RunError if a file cannot be read or written.
    """
    figures = page.with_suffix(".json")
    write_whole(page, page_of(read_json(figures) if figures.is_file() else {}, page.stem).encode())


def page_of(figures: Mapping[str, Any], folder: str = "variants") -> str:
    """The page, Markdown.  figures: entries of variants.json by name.  folder: of the pictures."""
    rows = [_row(entry, figures.get(entry.name)) for entry in CATALOGUE.values()]
    sections = [_section(entry, figures.get(entry.name), folder) for entry in CATALOGUE.values()]
    return TOP + "\n".join(rows) + "\n\n" + "\n\n".join(sections) + "\n"


def lines_of(build: Callable[..., Any]) -> int:
    """Lines of code of a function: without its decorator, its docstring, comments and blank lines."""
    lines = textwrap.dedent(inspect.getsource(build)).splitlines()
    (function,) = ast.parse("\n".join(lines)).body
    assert isinstance(function, ast.FunctionDef)
    left_out = set(range(1, function.lineno))
    if ast.get_docstring(function) is not None:
        told = function.body[0]
        left_out |= set(range(told.lineno, (told.end_lineno or told.lineno) + 1))
    counted = [line.strip() for number, line in enumerate(lines, 1) if number not in left_out]
    return sum(bool(line) and not line.startswith("#") for line in counted)


def _row(entry: Variant, told: Mapping[str, Any] | None) -> str:
    figure, baseline, bar = NOT_MEASURED, "", ""
    if told:
        figure = f"{told['says']}: **{told['value']:g}**"
        baseline = f"{told['baseline']['name']}: {told['baseline']['value']:g}"
        bar = _bar(told)
    cells = (
        f"[{entry.name}](#{entry.name})", entry.source, entry.summary, str(lines_of(entry.build)),
        ", ".join(entry.kinds), figure, baseline, bar,
    )  # fmt: skip
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _bar(told: Mapping[str, Any]) -> str:
    if told["bar"] is None:
        return ""
    lower = told["better"] == "lower"
    held = told["value"] <= told["bar"] if lower else told["value"] >= told["bar"]
    return f"{'at most' if lower else 'at least'} {told['bar']:g}: {'held' if held else '**not held**'}"


def _section(entry: Variant, told: Mapping[str, Any] | None, folder: str) -> str:
    lines = [f"## {entry.name}", "", f"{entry.summary} {entry.source}."]
    if not told:
        return "\n".join([*lines, "", f"{NOT_MEASURED.capitalize()}."])
    real = "" if told["real"] is None else f"; real samples have {told['real']:g}"
    error = f" ± {told['error']:g} (standard error, {told['seeds']} seeds)" if told["error"] is not None else ""
    says = told["says"][0].upper() + told["says"][1:]
    sentences = [
        f"{says} (`{told['score']}`, {told['better']} is better): **{told['value']:g}**{error}, beside "
        f"{told['baseline']['value']:g} of {told['baseline']['name']}{real}.",
        f"{told['rounds']} rounds, {told['cpu_seconds']:g} CPU seconds with data and scores "
        f"({told['machine']['processor']}, torch {told['machine']['torch']}).",
    ]
    lines += ["", " ".join(sentences), "", f"    {told['command']}"]
    if (samples := told["samples"]) and samples.endswith(".png"):
        lines += ["", f"![samples of {entry.name}]({folder}/{samples})"]
    elif samples:
        lines += ["", f"[Samples]({folder}/{samples})."]
    return "\n".join(lines)
