"""Standard output as shells use it: readers that leave, full disks, other encodings, control characters, signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn

from model.errors import MissingDependencyError, how_to_install

INTERRUPTED = 128 + signal.SIGINT
OURS = ("model", "service", "training")


def prepare_output() -> None:
    """Make standard output UTF-8 whatever the locale says, since generated strings may hold any character."""
    if sys.stdout is None:  # closed by the shell: >&-
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    elif isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def give_up_output() -> None:
    """Let what is still buffered for standard output go nowhere: Python flushes once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_lines(slices: Iterable[list[str]]) -> None:
    """Write slices of texts to standard output, one a line, until the reader leaves.

    `charwgan generate ... | head` has what it wanted, and that is no error.  Raises OSError for a full disk.
    """
    try:
        for texts in slices:
            sys.stdout.write("".join(text + "\n" for text in texts))
        sys.stdout.flush()
    except BrokenPipeError:
        give_up_output()


@contextmanager
def ending_tidily() -> Iterator[None]:
    """Let SIGTERM unwind what it interrupts, so that temporary files are removed; the exit code is 143."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def importing(extra: str, what: str) -> Iterator[None]:
    """Around imports of what an extra installs: says so where they are missing.  what: needs them, for the message.

    Ctrl-C ends the program with one line, where it could else surface as any error of a package.
    Raises MissingDependencyError.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        sys.stderr.write("charwgan: interrupted\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise
        raise MissingDependencyError(
            f"{what} needs {error.name}, which is not installed: {how_to_install(extra)}"
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)


def visible(line: str) -> str:
    """A string with what a terminal would obey, such as escape sequences, replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def as_shown(texts: list[str]) -> list[str]:
    """Texts for standard output: as they are for a file or a program, ``visible`` for a person at a terminal."""
    return [visible(text) for text in texts] if sys.stdout.isatty() else texts
