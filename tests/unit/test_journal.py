"""The journal of a run: means over rounds, terms that are not finite, and a log that survives a kill."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model.errors import RunError
from training import journal as journal_module
from training.journal import LOG, Journal, Means, NonFiniteError, read_log, write_json


def terms(**values: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def log_of(run: Path, *rounds: int, tail: str = "") -> None:
    rows = "".join(json.dumps({"round": number, "loss": number / 2}) + "\n" for number in rounds)
    (run / LOG).write_text(rows + tail, encoding="utf-8")


def rounds_in(run: Path) -> list[int]:
    return [row["round"] for row in read_log(run)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path, resumed_at=0)
    yield opened
    opened.close()


def test_means_are_those_since_they_were_last_taken() -> None:
    means = Means()
    for value in (1.0, 2.0, 6.0):
        means.add(terms(a=value, b=-value))
    assert means.take() == {"a": 3.0, "b": -3.0}
    means.add(terms(a=10.0, b=0.0))
    assert means.take() == {"a": 10.0, "b": 0.0}


def test_means_of_no_rounds_are_none() -> None:
    assert Means().take() == {}


def test_a_term_that_is_changed_after_it_was_added_counts_as_it_was() -> None:
    means, value = Means(), torch.tensor(2.0)
    means.add({"a": value})
    value.fill_(100.0)
    means.add({"a": torch.tensor(4.0)})
    assert means.take() == {"a": 3.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_term_that_was_not_finite_is_named_even_if_later_rounds_were(bad: float) -> None:
    means = Means()
    for value in (1.0, bad, 1.0, 1.0):
        means.add(terms(fine=1.0, spoilt=value, other=2.0))
    with pytest.raises(NonFiniteError, match=rf"the term spoilt became {bad}"):
        means.take()


def test_infinities_of_both_signs_do_not_cancel() -> None:
    means = Means()
    means.add(terms(spoilt=math.inf))
    means.add(terms(spoilt=-math.inf))
    with pytest.raises(NonFiniteError, match="the term spoilt became nan"):
        means.take()


def test_a_run_starts_with_an_empty_log(tmp_path: Path, journal: Journal) -> None:
    assert (tmp_path / LOG).read_bytes() == b""
    assert list(read_log(tmp_path)) == []


def test_a_folder_without_a_log_has_no_rows(tmp_path: Path) -> None:
    assert list(read_log(tmp_path)) == []


def test_a_row_is_on_the_disk_as_soon_as_it_is_written(tmp_path: Path, journal: Journal) -> None:
    rows = [{"round": 3, "critic/loss": -0.5, "note": "é"}, {"round": 4, "critic/loss": 1e-30, "note": ""}]
    for i, row in enumerate(rows):
        journal.write(row)
        assert list(read_log(tmp_path)) == rows[: i + 1]


def test_rows_after_the_round_where_a_run_goes_on_are_dropped(tmp_path: Path) -> None:
    log_of(tmp_path, 10, 20, 30, 40)
    journal = Journal(tmp_path, resumed_at=20)
    assert rounds_in(tmp_path) == [10, 20]
    journal.write({"round": 25, "loss": 0.0})
    journal.close()
    assert rounds_in(tmp_path) == [10, 20, 25]
    assert not list(tmp_path.glob("*.partial"))


def test_the_rows_that_stay_are_kept_as_they_were(tmp_path: Path) -> None:
    log_of(tmp_path, 10, 20, 30)
    kept = (tmp_path / LOG).read_text().splitlines(keepends=True)[:2]
    Journal(tmp_path, resumed_at=29).close()
    assert (tmp_path / LOG).read_text() == "".join(kept)


@pytest.mark.parametrize(
    "tail", ['{"round": 30, "lo', '{"round"', "{", '{"round": 30}garbage\n', "\0\0\0\0", "[30]\n", "3\n"]
)
def test_a_line_that_a_kill_cut_short_is_passed_over(tmp_path: Path, tail: str) -> None:
    log_of(tmp_path, 10, 20, tail=tail)
    assert rounds_in(tmp_path) == [10, 20]


def test_a_row_after_a_torn_line_starts_a_line_of_its_own(tmp_path: Path) -> None:
    log_of(tmp_path, 10, 20, tail='{"round": 30, "lo')
    journal = Journal(tmp_path, resumed_at=20)
    journal.write({"round": 30, "loss": 1.5})
    journal.close()
    assert list(read_log(tmp_path)) == [
        {"round": 10, "loss": 5.0},
        {"round": 20, "loss": 10.0},
        {"round": 30, "loss": 1.5},
    ]


def test_the_figures_are_shown_as_tensorboard_events_too(tmp_path: Path, journal: Journal) -> None:
    journal.write({"round": 3, "critic/loss": -0.5, "note": "no figure"})
    journal.write_text("samples", "some strings", 3)
    journal.close()
    (events,) = (tmp_path / "events").iterdir()
    data = events.read_bytes()
    assert b"critic/loss" in data
    assert b"some strings" in data
    assert b"no figure" not in data


class Full:
    """A file on a full disk."""

    def write(self, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        pass


def test_a_full_disk_is_an_error_that_says_how_to_go_on(tmp_path: Path, journal: Journal) -> None:
    journal._file.close()
    journal._file = Full()  # type: ignore[assignment]
    with pytest.raises(RunError, match=r"cannot write .*log\.jsonl: No space left on device; continue with --resume"):
        journal.write({"round": 1})


def test_a_log_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / LOG).with_suffix(".partial").mkdir()
    with pytest.raises(RunError, match=r"cannot write .*log\.jsonl: "):
        Journal(tmp_path, resumed_at=0)


def test_json_is_written_whole_in_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"state": "finished", "name": "ñ", "scores": {"a": 0.1}})
    assert json.loads(path.read_text(encoding="utf-8")) == {"state": "finished", "name": "ñ", "scores": {"a": 0.1}}
    assert "ñ" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_json_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"old": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_module.os, "replace", full)
    with pytest.raises(RunError, match=r"cannot write .*result\.json: No space left on device"):
        write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    with pytest.raises(RunError, match=r"cannot write .*: No such file or directory"):
        write_json(tmp_path / "missing" / "result.json", {})
