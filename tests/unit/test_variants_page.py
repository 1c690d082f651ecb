"""docs/variants.md and the catalogue: the page is the one that is written from it, and every function is short."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from charwgan import cli
from training.catalogue import CATALOGUE
from training.variants_page import NOT_MEASURED, lines_of, page_of

DOCS = Path(__file__).parent.parent.parent / "docs"
FIGURES: dict[str, Any] = json.loads((DOCS / "variants.json").read_text(encoding="utf-8"))
MOST = 20  # lines of a variant's function


def test_the_page_is_the_one_that_the_catalogue_gives() -> None:
    found = (DOCS / "variants.md").read_text(encoding="utf-8")
    assert found == page_of(FIGURES), "write it again: charwgan variants --page docs/variants.md"


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_variant_has_a_row_and_a_part_of_the_page_whether_it_was_measured_or_not(name: str) -> None:
    entry, page = CATALOGUE[name], page_of({})
    (row,) = (line for line in page.splitlines() if line.startswith(f"| [{name}](#{name}) |"))
    assert f"| {entry.source} |" in row
    assert f"| {entry.summary} |" in row
    assert f"| {lines_of(entry.build)} | {', '.join(entry.kinds)} | {NOT_MEASURED} |" in row
    assert f"\n## {name}\n" in page


def test_figures_are_those_of_the_experiments_as_they_stand() -> None:
    specification = importlib.util.spec_from_file_location("variants", DOCS.parent / "benchmarks" / "variants.py")
    assert specification is not None
    assert specification.loader is not None
    variants = importlib.util.module_from_spec(specification)
    sys.modules["variants"] = variants
    specification.loader.exec_module(variants)
    for name, told in FIGURES.items():
        experiment = variants.EXPERIMENTS[name]
        keys = {"variant": name, **experiment.keys, **experiment.own}
        assert told["command"] == variants.command(experiment.source, keys), f"measure it again: --only {name}"
        assert told["score"] == experiment.score
        assert told["baseline"]["name"] == experiment.baseline.name


def test_figures_are_of_variants_that_there_are_with_the_pictures_that_they_name() -> None:
    assert set(FIGURES) <= set(CATALOGUE)
    for name, told in FIGURES.items():
        assert told["samples"] is None or (DOCS / "variants" / told["samples"]).is_file(), name
        assert f"--variant {name}" in told["command"]


def test_a_figure_that_misses_its_bar_says_so() -> None:
    told = {**next(iter(FIGURES.values())), "better": "higher", "bar": 0.95}
    rows = [
        page_of({"gan": {**told, "value": value}}).partition("| [gan]")[2].partition("\n")[0] for value in (0.94, 0.96)
    ]
    assert rows[0].endswith("| at least 0.95: **not held** |")
    assert rows[1].endswith("| at least 0.95: held |")


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_variant_is_one_short_function(name: str) -> None:
    assert lines_of(CATALOGUE[name].build) <= MOST


def of_three_lines(one: int) -> int:
    """Its first line.

    One more, and a comment, count for nothing.
    """
    # This.

    two = one + 1
    return two * one


def test_lines_are_those_of_code() -> None:
    assert lines_of(of_three_lines) == 3


def test_the_verb_writes_the_page_with_the_figures_beside_it(tmp_path: Path) -> None:
    (tmp_path / "games.json").write_text(json.dumps(FIGURES), encoding="utf-8")
    done = CliRunner().invoke(cli, ["variants", "--page", str(tmp_path / "games.md")])
    assert (done.exit_code, done.output) == (0, "")
    assert (tmp_path / "games.md").read_text(encoding="utf-8") == page_of(FIGURES, "games")
