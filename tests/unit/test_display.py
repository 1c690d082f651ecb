"""What a run shows: every figure whole and on a line of its own at any width that terminals have."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from training.display import PlainDisplay, Progress, figures, panel
from training.runs import SPEED

SCORES = {"js4": 0.4581, "js4_floor": 0.3479, "unique": 0.9876, "copied": 0.1234, "empty": 0.0}
ROW = {
    "round": 1234,
    "critic/wasserstein": -12.3456,
    "critic/gradient_penalty": 0.789,
    SPEED: 123456.7,
}
PROGRESS = Progress("wgan-gp on names.txt", 1234, 75.2, 0.25, ROW, SCORES, ("anna", "esc\x1b[2J", "b" * 200))
WHOLE = ["0.458 (real text 0.348)", "98.8%, copied 12.3%", "12.346", "0.789", "123,457 samples/s"]


def drawn(progress: Progress, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(panel(progress))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 90, 100, 200])
def test_every_figure_of_the_panel_is_whole_and_beside_its_name(width: int) -> None:
    lines = drawn(PROGRESS, width)
    assert max(map(len, lines)) <= width
    for name, value in figures(PROGRESS):
        assert value in WHOLE
        (line,) = [line for line in lines if name in line and value in line]
        assert "━" not in line
    assert [value for _, value in figures(PROGRESS)] == WHOLE


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("share", [0.25, None])
def test_the_bar_has_a_line_of_its_own(width: int, share: float | None) -> None:
    lines = drawn(Progress("x", share=share, row=ROW, scores=SCORES), width)
    (bar,) = [line for line in lines if "━" in line]
    assert set(bar.strip()) <= set("━╸╺ ")
    assert next(line for line in lines if "JS-4" in line).startswith("JS-4")


def test_the_losses_of_other_games_fit_as_well() -> None:
    row = {"critic/non_saturating": 1.25, "generator/non_saturating": 0.5, SPEED: 99.6}
    lines = drawn(Progress("x", row=row, scores=SCORES), 80)
    assert max(map(len, lines)) <= 80
    assert any("critic loss" in line and "1.250" in line for line in lines)
    assert any("generator loss" in line and "0.500" in line and "100 samples/s" not in line for line in lines)


def test_a_figure_that_there_is_not_is_left_out() -> None:
    assert figures(Progress("x")) == []
    assert figures(Progress("x", scores={"js4": 0.5})) == []
    assert figures(Progress("x", row={"critic/gradient_penalty": 2.0})) == [("penalty", "2.000")]


def test_nothing_that_a_terminal_would_obey_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert not any("\x1b[2J" in line for line in drawn(PROGRESS, 80))
    PlainDisplay().show(PROGRESS, looked=True)
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "JS-4 0.458 (real text 0.348)" in told
