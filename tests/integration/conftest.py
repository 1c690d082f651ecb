"""Verbs of the command line, run in a folder of the test's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command import Run

import charwgan


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a verb in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARWGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CHARWGAN_KEY", raising=False)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["charwgan", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            charwgan.main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return call
