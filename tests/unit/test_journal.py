"""The journal of a run: means over rounds, terms that are not finite, and a log that survives a kill."""

from __future__ import annotations

import errno
import json
import math
import struct
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboardX.proto.event_pb2 import Event, SessionLog

import training
from model.errors import RunError
from model.picture import sheet
from training.events import EVENTS
from training.journal import LOG, Journal, Means, NonFiniteError, last_alarm, read_log


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


def events_of(path: Path) -> list[Any]:
    """The events of a file: length, sum, message and sum of each."""
    file, found = BytesIO(path.read_bytes()), []
    while head := file.read(12):
        (length,) = struct.unpack_from("<Q", head)
        found.append(Event.FromString(file.read(length)))
        file.read(4)
    return found


def event_files(run: Path) -> list[Path]:
    return sorted((run / EVENTS).iterdir())


def test_the_figures_are_shown_as_tensorboard_events_too(tmp_path: Path, journal: Journal) -> None:
    journal.write({"round": 3, "critic/loss": -0.5, "note": "no figure"})
    (file,) = event_files(tmp_path)
    (first, shown) = events_of(file)
    assert first.file_version == "brain.Event:2"
    assert shown.step == 3
    assert [(value.tag, value.simple_value) for value in shown.summary.value] == [("critic/loss", -0.5)]


def test_tensorboard_reads_what_is_written_by_its_checksums(tmp_path: Path, journal: Journal) -> None:
    from tensorboardX.record_writer import masked_crc32c

    journal.write({"round": 3, "critic/loss": -0.5})
    (file,) = event_files(tmp_path)
    data = file.read_bytes()
    while data:
        (length, head), body = struct.unpack_from("<QI", data), data[12:]
        assert head == masked_crc32c(data[:8])
        assert struct.unpack_from("<I", body, length) == (masked_crc32c(body[:length]),)
        data = body[length + 4 :]


def test_a_text_is_shown_as_it_stands_and_not_as_markdown(tmp_path: Path, journal: Journal) -> None:
    journal.write_text("samples", "*anna*\n# bo\n", 3)
    (_, shown) = events_of(event_files(tmp_path)[0])
    (value,) = shown.summary.value
    assert (shown.step, value.tag, value.metadata.plugin_data.plugin_name) == (3, "samples/text_summary", "text")
    assert value.tensor.string_val == [b"    *anna*\n    # bo\n    \n"]


def test_an_image_is_shown_with_its_size(tmp_path: Path, journal: Journal) -> None:
    png = sheet(np.zeros((16, 1, 8, 8), dtype=np.float32))
    journal.write_image("samples", png, 3)
    (_, shown) = events_of(event_files(tmp_path)[0])
    (value,) = shown.summary.value
    assert (shown.step, value.tag, value.image.width, value.image.height) == (3, "samples", 256, 64)
    assert value.image.encoded_image_string == png


@pytest.mark.parametrize("resumed_at", [0, 20])
def test_what_earlier_files_show_of_rounds_that_are_played_again_is_taken_back(tmp_path: Path, resumed_at: int) -> None:
    for _ in range(2):  # killed twice before the first checkpoint, or before the next one
        with Journal(tmp_path, resumed_at=resumed_at) as journal:
            journal.write({"round": resumed_at + 3, "loss": 0.5})
    first, second = map(events_of, event_files(tmp_path))
    assert not any(event.HasField("session_log") for event in first)
    (taken_back,) = [event for event in second if event.HasField("session_log")]
    assert (taken_back.session_log.status, taken_back.step) == (SessionLog.START, resumed_at + 1)


def test_samples_of_rounds_that_are_played_again_are_dropped(tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    for name in ("00000010.txt", "00000020.txt", "00000021.txt", "00000300.png", "notes.txt"):
        (samples / name).touch()
    Journal(tmp_path, resumed_at=20).close()
    assert sorted(path.name for path in samples.iterdir()) == ["00000010.txt", "00000020.txt", "notes.txt"]


FILL = """
import resource, sys
from pathlib import Path
from model.errors import RunError
from training.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with Journal(Path(sys.argv[1]), resumed_at=0) as journal:
        for number in range(1, 100_000):
            journal.write({"round": number, "loss": 0.5, "note": "x" * int(sys.argv[2])})
except RunError as error:
    print(error)
"""


@pytest.mark.parametrize(("note", "full"), [(0, "events"), (5000, "the log")])
def test_a_full_disk_is_an_error_of_one_line_and_not_a_wait_for_ever(tmp_path: Path, note: int, full: str) -> None:
    # A bound on the size of files is a full disk to whoever writes, also when the file is closed.
    command = [sys.executable, "-c", FILL, str(tmp_path), str(note)]
    where = Path(training.__file__).parent.parent
    ended = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout == f"cannot write {tmp_path / LOG}: File too large; continue with --resume\n"
    assert ended.stderr == ""
    (events,) = event_files(tmp_path)
    assert (events.stat().st_size > (tmp_path / LOG).stat().st_size) == (full == "events")
    rounds = rounds_in(tmp_path)
    assert rounds == list(range(1, len(rounds) + 1))
    with Journal(tmp_path, resumed_at=2) as journal:
        journal.write({"round": 3, "loss": 0.5})
    assert rounds_in(tmp_path) == [1, 2, 3]


def refuse() -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_closing_tells_its_error_unless_there_was_one_before(tmp_path: Path) -> None:
    for last, expected in ((len, "cannot write .*: Input/output error"), (int, "invalid literal")):
        journal = Journal(tmp_path, resumed_at=0)
        journal._files.callback(refuse)
        with pytest.raises((RunError, ValueError), match=expected), journal:
            last("no number")


def test_the_alarm_that_counts_is_that_of_the_last_look(tmp_path: Path) -> None:
    assert last_alarm(tmp_path) is None
    rows: list[dict[str, Any]] = [{"round": 1, "alarm": "collapse"}, {"round": 2, "score/js4": 0.5}, {"round": 3}]
    for kept, expected in ((1, "round 1: collapse"), (2, None), (3, None)):
        (tmp_path / LOG).write_text("".join(json.dumps(row) + "\n" for row in rows[:kept]))
        assert last_alarm(tmp_path) == expected
    (tmp_path / LOG).write_text("".join(json.dumps(row) + "\n" for row in (rows[1], rows[0], rows[2])))
    assert last_alarm(tmp_path) == "round 1: collapse"


def test_a_log_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / f"{LOG}.partial").mkdir()
    with pytest.raises(RunError, match=r"cannot write .*log\.jsonl: "):
        Journal(tmp_path, resumed_at=0)
