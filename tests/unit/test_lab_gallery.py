"""The gallery: all figures drawn in haste, whole files, the page that quotes them, and the verb."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from matplotlib.figure import Figure

import charwgan
from model.errors import ConfigurationError, RunError
from training.lab import gallery
from training.lab.depth import constrained
from training.lab.figure import FIGURES, Claim, Drawn, Entry, Lab
from training.lab.gallery import block, draw_figures, pool, refresh, refresh_page
from training.options import FIGURES as NAMES

DOCS = Path(charwgan.__file__).parent / "docs"
PAGE, FOLDER = DOCS / "laboratory.md", DOCS / "figures"
PNG = b"\x89PNG\r\n\x1a\n"
# Figures whose claims are decided by what can be worked out, so that they hold in haste too.
EXACT = ("fields", "rules", "momentum", "dirac-gan")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """All figures, drawn in haste."""
    out = tmp_path_factory.mktemp("figures")
    return out, dict(draw_figures(out, quick=True))


def blank(lab: Lab) -> Drawn:
    return Drawn(Figure((1, 1)), "Nothing.", (Claim("Nothing is there", "|lines|", 0.0, "<", 1.0),))


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> dict[str, Entry]:
    """A gallery of two empty figures."""
    entries = {name: Entry(name, name.upper(), "nobody", blank) for name in ("one", "two")}
    monkeypatch.setattr(gallery, "FIGURES", entries)
    monkeypatch.setattr(gallery, "NAMES", tuple(entries))
    return entries


def test_every_figure_is_drawn_and_described(drawn: tuple[Path, dict[str, Any]]) -> None:
    out, told = drawn
    assert list(told) == list(NAMES)
    assert {path.name for path in out.iterdir()} == {"figures.json", *(f"{name}.png" for name in FIGURES)}
    assert all((out / f"{name}.png").read_bytes().startswith(PNG) for name in FIGURES)
    assert json.loads((out / "figures.json").read_text(encoding="utf-8")) == told


def test_every_figure_says_what_it_claims_and_by_which_number(drawn: tuple[Path, dict[str, Any]]) -> None:
    for each in drawn[1].values():
        assert each["caption"].endswith(".")
        assert each["source"]
        assert each["claims"]
        for claim in each["claims"]:
            assert claim["measure"]
            assert claim["must be"][0] in "<>"


@pytest.mark.parametrize("name", EXACT)
def test_claims_that_need_no_long_run_hold(drawn: tuple[Path, dict[str, Any]], name: str) -> None:
    assert [claim["claim"] for claim in drawn[1][name]["claims"] if not claim["holds"]] == []


def test_the_distances_after_500_steps_are_those_of_the_formulas(drawn: tuple[Path, dict[str, Any]]) -> None:
    values = [claim["value"] for claim in drawn[1]["rules"]["claims"]]
    assert 17.0 in values  # sqrt(2) (1 + h^2)^(n/2)
    assert 4.02e-22 in values  # sqrt(2) ((1 - h)^2 + h^2)^(n/2)


def test_a_figure_is_drawn_the_same_again(drawn: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    again = dict(draw_figures(tmp_path, ["momentum"], quick=True))
    assert again["momentum"] == drawn[1]["momentum"]
    assert (tmp_path / "momentum.png").read_bytes() == (drawn[0] / "momentum.png").read_bytes()


def test_runs_in_other_processes_are_the_same() -> None:
    lab = Lab(quick=True)
    with pool(2) as workers:
        there = Lab(quick=True, workers=workers).each(constrained, [0.01, None])
    here = lab.each(constrained, [0.01, None])
    for one, other in zip(there, here, strict=True):
        assert one.norms.tolist() == other.norms.tolist()
        assert one.weights.tolist() == other.weights.tolist()


def test_one_figure_is_drawn_alone_and_the_others_stay(two: dict[str, Entry], tmp_path: Path) -> None:
    told: list[str] = []
    assert [name for name, _ in draw_figures(tmp_path, ["two"], seed=3, say=told.append)] == ["two"]
    assert told[0] == "1/1 two"
    list(draw_figures(tmp_path, ["one"]))
    numbers = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert {name: each["seed"] for name, each in numbers.items()} == {"one": 0, "two": 3}


def test_an_interruption_leaves_whole_files_only(two: dict[str, Entry], tmp_path: Path) -> None:
    def interrupted(lab: Lab) -> Drawn:
        raise KeyboardInterrupt

    two["two"] = Entry("two", "TWO", "nobody", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(draw_figures(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"figures.json", "one.png"}
    assert list(json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))) == ["one"]


def test_an_interruption_while_a_file_is_written_leaves_no_part_of_it(
    two: dict[str, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.runs.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(draw_figures(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_there_is_none_of_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no figure 'feilds': there are fields, "):
        list(draw_figures(tmp_path / "new", ["fields", "feilds"]))
    assert not (tmp_path / "new").exists()


def test_a_page_takes_up_what_was_drawn_and_keeps_what_stands_around_it(two: dict[str, Entry], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n\n<!-- figure: one -->\nwhat stood here\n<!-- end -->\n\nAfter.\n", encoding="utf-8")
    list(draw_figures(tmp_path / "drawn"))
    refresh_page(page, tmp_path / "drawn")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n\n<!-- figure: one -->\n![ONE](drawn/one.png)\n")
    assert "| Nothing is there | \\|lines\\| | 0 | < 1 | holds |" in text
    assert text.endswith("<!-- end -->\n\nAfter.\n")
    assert "what stood here" not in text


def test_a_claim_that_does_not_hold_is_said_so_in_the_page() -> None:
    told = gallery.described(FIGURES["rules"], blank(Lab()), seed=0, quick=False)
    told["claims"][0] |= {"holds": False, "value": None}
    assert "| none | < 1 | **does not hold** |" in block("rules", told, "figures")


def test_a_page_takes_no_figures_that_were_drawn_in_haste(two: dict[str, Entry], tmp_path: Path) -> None:
    list(draw_figures(tmp_path, quick=True))
    page = tmp_path / "page.md"
    page.write_text("Nothing.", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="one was drawn with --quick"):
        refresh_page(page, tmp_path)
    with pytest.raises(RunError, match="cannot read"):
        refresh_page(tmp_path / "missing.md", tmp_path)


def test_the_documentation_quotes_the_numbers_of_the_figures_beside_it() -> None:
    numbers = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    assert refresh(text, numbers, "figures") == text
    assert list(numbers) == list(NAMES)
    assert all(block(name, told, "figures") in text for name, told in numbers.items())
    assert all(name in text for name in FIGURES)


def test_the_documentations_pictures_are_there_and_small() -> None:
    pictures = {path.stem: path.stat().st_size for path in FOLDER.glob("*.png")}
    assert pictures.keys() == FIGURES.keys()
    assert sum(pictures.values()) < 2_000_000


def test_the_command_line_knows_the_figures_names_without_torch() -> None:
    assert set(FIGURES) == set(NAMES)


def test_verbs_options_and_names_are_completed() -> None:
    def completed(*words: str) -> list[str]:
        complete = ShellComplete(charwgan.cli, {}, "charwgan", "_CHARWGAN_COMPLETE")
        return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]

    assert completed("lab", "") == ["figures"]
    assert completed("lab", "figures", "--only", "m") == ["momentum"]
    assert {"--out", "--only", "--quick"} <= set(completed("lab", "figures", "--"))


def test_the_verb_draws_and_says_how_many_claims_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    monkeypatch.setattr(sys, "argv", ["charwgan", "lab", "figures", "--out", str(out), "--only", "momentum", "--quick"])
    with pytest.raises(SystemExit) as stopped:
        charwgan.main()
    shown = capsys.readouterr()
    assert (stopped.value.code, shown.out) == (0, f"{out}/momentum.png  4 of 4 claims hold\n")
    assert shown.err.startswith("1/1 momentum\n")


def test_a_wrong_name_is_one_line_and_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["charwgan", "lab", "figures", "--out", str(tmp_path), "--only", "x"])
    with pytest.raises(SystemExit) as stopped:
        charwgan.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
