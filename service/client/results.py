"""What the service answers, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload


class Row(NamedTuple):
    """A string of a stream, and its place in its seed: what files and the service call its index."""

    place: int
    text: str
    score: float | None = None
    latent: Sequence[float] | None = None
    label: str | None = None


@dataclass(frozen=True)
class Summary:
    """The end of a stream.

    accepted: strings it gave; attempted: strings tried for them; refused: how often each constraint
    refused one, since the stream was last taken up.
    """

    seed: int
    first: int
    model_name: str
    digest: str
    attempted: int
    accepted: int
    refused: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Generated(Sequence[str]):
    """The strings of one answer, in order; fewer than asked for (see accepted) if max_attempts did not give more."""

    texts: tuple[str, ...]
    seed: int
    first: int
    model_name: str
    digest: str
    attempted: int
    accepted: int
    scores: Sequence[float] | None = None
    latents: Sequence[Sequence[float]] | None = None
    labels: Sequence[str] | None = None
    refused: Mapping[str, int] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        return self.texts[place]


@dataclass(frozen=True)
class Scored:
    """The critic's score of each text, which is no probability.

    percentiles: the place of each score among those of "real" and of "generated" strings; None if the model does not
    say them.
    """

    scores: tuple[float, ...]
    percentiles: Mapping[str, Sequence[float]] | None
    model_name: str
    digest: str


@dataclass(frozen=True)
class Interpolated:
    """The strings on the way.  further: what else the answer holds."""

    texts: tuple[str, ...]
    model_name: str
    digest: str
    further: Mapping[str, Any]
