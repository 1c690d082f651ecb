"""A figure: what is drawn of real runs, what it claims, and the number that decides each claim."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeVar

from matplotlib.figure import Figure

Say = Callable[[str], None]
Case = TypeVar("Case")
Result = TypeVar("Result")


def silent(message: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Claim:
    """A sentence that a run may refute.

    measure: what decides it.  value: what the run gave.  bound: what the value must be below ("<") or above (">").
    """

    text: str
    measure: str
    value: float
    relation: Literal["<", ">"]
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the run bears it out; a value that is no number never does."""
        return bool(self.value < self.bound if self.relation == "<" else self.value > self.bound)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in figures.json."""
        return {
            "claim": self.text,
            "measure": self.measure,
            "value": rounded(self.value),
            "must be": f"{self.relation} {self.bound:g}",
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Drawn:
    """A picture, what it shows, what it claims, and further numbers of its runs by name."""

    figure: Figure
    caption: str
    claims: tuple[Claim, ...]
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Lab:
    """In what way figures are drawn.

    seed: of weights and batches.  quick: a 500th of the rounds, to see that all can be drawn.  say: is told of
    progress within a figure.  workers: processes that play its runs; None for this one alone.
    """

    seed: int = 0
    quick: bool = False
    say: Say = silent
    workers: Executor | None = None

    def rounds(self, full: int) -> int:
        """How many of a full figure's rounds are played."""
        return max(2, full // 500) if self.quick else full

    def each(self, task: Callable[[Lab, Case], Result], cases: Sequence[Case]) -> list[Result]:
        """What a task gives for each case, in order; where there are workers, for several of them at a time."""
        work = partial(task, replace(self, say=silent, workers=None))
        found: list[Result] = []
        for result in map(work, cases) if self.workers is None else self.workers.map(work, cases):
            found.append(result)
            self.say(f"{len(found)} of {len(cases)} runs")
        return found


Draw = Callable[[Lab], Drawn]


@dataclass(frozen=True)
class Entry:
    """A figure that can be drawn.  title: one line.  source: whose claim it is."""

    name: str
    title: str
    source: str
    draw: Draw


FIGURES: dict[str, Entry] = {}


def figure(*, title: str, source: str) -> Callable[[Draw], Draw]:
    """Enter a function among the figures under its own name, with dashes."""

    def enter(draw: Draw) -> Draw:
        name = draw.__name__.replace("_", "-")
        FIGURES[name] = Entry(name, title, source, draw)
        return draw

    return enter


def rounded(value: float) -> float | None:
    """Three digits: what other machines, which add in another order, are likely to find too.  None: not finite."""
    return float(f"{value:.3g}") if math.isfinite(value) else None
