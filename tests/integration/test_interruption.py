"""A signal at any moment of a run: at once while there is nothing to save, and with all that was played afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import charwgan

ROOT = Path(charwgan.__file__).parent
SMALL = ["--preset=tiny", "--device=cpu", "--set=model.width=8", "--set=model.depth=1", "--set=log_seconds=0.001"]


@contextmanager
def training(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that trains in a folder; killed at the end if it is still there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARWGAN_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "charwgan", "train", *arguments, *SMALL]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_acts_at_once_while_the_data_is_read(tmp_path: Path, number: signal.Signals, code: int) -> None:
    os.mkfifo(tmp_path / "names")
    with training(tmp_path, "names", "--run", "r", "--max-rounds", "3") as process, (tmp_path / "names").open("wb"):
        # Opened: the other end is being read, and will be for ever.
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, "Traceback" in err) == (code, "", False)
    assert not (tmp_path / "r" / "config.json").exists()


def test_a_run_on_a_pipe_in_a_folder_with_a_blank_goes_on_by_the_printed_command(
    corpus_file: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "names"
    os.mkfifo(pipe)
    with training(tmp_path, "names", "--run", "my run", "--max-rounds", "1000000") as process:
        pipe.write_bytes(corpus_file.read_bytes())
        assert process.stderr is not None
        while not process.stderr.readline().startswith("round "):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    said, _, command = err.splitlines()[-1].partition("charwgan train ")
    reached = int(said.partition("round ")[2].partition(",")[0])
    assert command == "--run 'my run' --resume"
    pipe.unlink()
    with training(tmp_path, "--run", "my run", "--resume", "--max-rounds", str(reached + 2)) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, f"my run: {reached + 2} rounds" in out) == (0, True), err
