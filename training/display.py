"""What a run shows while it trains: a live panel on a terminal, plain lines elsewhere.  Always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from model.terminal import visible
from training.runs import SPEED

FRESH = 8  # strings shown on the live panel
VALUE_WIDTH = 24  # "0.458 (real text 0.348)", and one more


@dataclass
class Progress:
    """What there is to show.  share: of the whole run that is done, 0 to 1, or None where no end is set."""

    title: str
    round: int = 0
    seconds: float = 0.0
    share: float | None = None
    row: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @property
    def remaining(self) -> float | None:
        """Seconds to the end at the speed so far; None while that is unknown."""
        if not self.share:
            return None
        return self.seconds * (1 - self.share) / self.share


class Display(AbstractContextManager["Display"], Protocol):
    """Shows the progress of a run, and messages that stay."""

    def say(self, message: str) -> None: ...
    def show(self, progress: Progress, *, looked: bool) -> None:
        """Show the newest figures; looked: there are new scores and samples among them."""
        ...


def make_display() -> Display:
    """The live panel if standard error is a terminal, else plain lines."""
    console = Console(stderr=True, highlight=False)
    return LiveDisplay(console) if console.is_terminal and not console.is_dumb_terminal else PlainDisplay()


class PlainDisplay:
    """One line at every look, and one every 30 seconds in between."""

    EVERY_SECONDS = 30.0

    def __init__(self) -> None:
        self._last = 0.0

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def say(self, message: str) -> None:
        """Print a line."""
        sys.stderr.write(message + "\n")
        sys.stderr.flush()

    def show(self, progress: Progress, *, looked: bool) -> None:
        """Print the figures in one line, with a few samples after a look."""
        if not looked and time.monotonic() - self._last < self.EVERY_SECONDS:
            return
        self._last = time.monotonic()
        head = f"round {progress.round}  {clock(progress.seconds)}"
        head += "" if progress.remaining is None else f"  {clock(progress.remaining)} left"
        self.say("  ".join([head, *(f"{name} {value}" for name, value in figures(progress))]))
        if looked and progress.lines:
            self.say("    " + " | ".join(visible(line) for line in progress.lines[:FRESH]))


class SilentDisplay(PlainDisplay):
    """Shows nothing: of several ranks, one speaks."""

    def say(self, message: str) -> None:
        """Nothing."""

    def show(self, progress: Progress, *, looked: bool) -> None:
        """Nothing."""


class LiveDisplay:
    """A panel of at most 80 columns that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, message: str) -> None:
        """Print a line above the panel."""
        self._console.print(Text(message))

    def show(self, progress: Progress, *, looked: bool) -> None:
        """Redraw the panel."""
        self._live.update(panel(progress), refresh=True)


def panel(progress: Progress) -> Group:
    """Progress, figures and fresh samples, what matters first."""
    head = Text(f"{progress.title}  round {progress.round}  {clock(progress.seconds)}", style="bold")
    if progress.remaining is not None:
        head.append(f"  {clock(progress.remaining)} left", style="not bold dim")
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="left", width=VALUE_WIDTH, no_wrap=True)
    pairs = figures(progress)
    for i in range(0, len(pairs), 2):
        table.add_row(*(cell for pair in pairs[i : i + 2] for cell in pair))
    # A bar ends without a line feed, so what follows it needs a row of its own.
    bar = Table.grid()
    bar.add_row(ProgressBar(total=1.0, completed=progress.share or 0.0, width=78, pulse=progress.share is None))
    samples = [Text("  " + visible(line), style="cyan", overflow="ellipsis", no_wrap=True) for line in progress.lines]
    return Group(head, bar, table, *samples[:FRESH])


# Names and values of what a person watches, in order of importance, by the keys that they need: scores, then a row's.
FIGURES: tuple[tuple[str, tuple[str, ...], Callable[..., str]], ...] = (
    ("JS-4", ("js4", "js4_floor"), "{:.3f} (real text {:.3f})".format),
    ("unique", ("unique", "copied"), "{:.1%}, copied {:.1%}".format),
    ("modes", ("modes", "modes_floor"), "{:.0f} (real {:.0f})".format),
    ("high quality", ("high_quality", "high_quality_floor"), "{:.1%} (real {:.1%})".format),
    ("reverse KL", ("reverse_kl", "reverse_kl_floor"), "{:.3f} (real {:.3f})".format),
    ("W estimate", ("critic/wasserstein",), lambda loss: f"{-loss:.3f}"),
    ("penalty", ("critic/gradient_penalty",), "{:.3f}".format),
    ("critic loss", ("critic/non_saturating",), "{:.3f}".format),
    ("generator loss", ("generator/non_saturating",), "{:.3f}".format),
    ("speed", (SPEED,), "{:,.0f} samples/s".format),
)


def figures(progress: Progress) -> list[tuple[str, str]]:
    """Names and values of what there is of FIGURES."""
    known = {**progress.row, **progress.scores}
    return [(name, told(*map(known.get, keys))) for name, keys, told in FIGURES if known.keys() >= set(keys)]


def clock(seconds: float) -> str:
    """75.2 as 1:15, 3675 as 1:01:15."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
