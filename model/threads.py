"""How many threads a person may ask for: as many as there are processors to run them."""

from __future__ import annotations

import os

from model.errors import ConfigurationError


def usable_processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def check_threads(threads: int | None, origin: str) -> None:
    """Raises ConfigurationError for more threads than processors: they would only take turns.  None: not given."""
    if threads is not None and threads > (most := usable_processors()):
        raise ConfigurationError(
            f"{origin} must be at most {most}, the processors that are usable here, got {threads}: "
            "ask for fewer, or leave it out"
        )
