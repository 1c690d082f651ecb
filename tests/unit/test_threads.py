"""Threads: as many as there are processors may be asked for, wherever they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from model import threads
from model.errors import ConfigurationError
from model.generation import strings
from model.threads import check_threads, usable_processors
from service.settings_sources import resolve as service_settings


def test_the_bound_is_what_the_process_may_use() -> None:
    check_threads(None, "threads")
    check_threads(usable_processors(), "threads")
    with pytest.raises(ConfigurationError, match=f"--threads must be at most {usable_processors()}, .*, got 100000: "):
        check_threads(100_000, "--threads")


def test_generating_refuses_more_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_processors", lambda: 4)
    with pytest.raises(ConfigurationError, match="at most 4") as caught:
        strings(Path("missing"), 5, 0, 0, 1)
    assert caught.value.exit_code == 2


def test_a_service_takes_no_more_threads_than_there_are_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.settings.usable_processors", lambda: 4)
    assert service_settings({"model": "m", "threads": 4}, {}).threads == 4
    with pytest.raises(ConfigurationError, match=r"threads must be at most 4, .*, got 5 \(from CHARWGAN_THREADS\)"):
        service_settings({"model": "m"}, {"CHARWGAN_THREADS": "5"})
