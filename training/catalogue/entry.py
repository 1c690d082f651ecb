"""What an entry of the catalogue is, and how one is made: a function from roles to a game, under its own name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from model.errors import ConfigurationError
from training.configuration import Config
from training.data.dataset import Kind
from training.game import Game
from training.measures import Measure
from training.networks.roles import Roles

Build = Callable[[Roles, Config], Game]


@dataclass(frozen=True)
class Variant:
    """An entry of the catalogue.

    source: the paper.  kinds: of data that it plays.  defaults: configuration that it wants where nobody says
    otherwise.  options: keys that some variants obey, and this one among them; all others every variant obeys.
    summary: the first line of the function's docstring.  measures: what a finished run is scored by besides the table
    of its data.
    """

    name: str
    source: str
    kinds: tuple[Kind, ...]
    defaults: Mapping[str, Any]
    options: tuple[str, ...]
    summary: str
    build: Build
    measures: tuple[Measure, ...] = ()


CATALOGUE: dict[str, Variant] = {}


def variant(
    *,
    source: str,
    kinds: tuple[Kind, ...] = get_args(Kind),
    defaults: Mapping[str, Any] | None = None,
    options: tuple[str, ...] = (),
    measures: tuple[Measure, ...] = (),
    penalised: bool = False,
) -> Callable[[Build], Build]:
    """Enter a function into the catalogue under its own name, with dashes.

    penalised: whether slopes of the critic are penalised where nobody says otherwise.
    """

    def enter(build: Build) -> Build:
        name = build.__name__.replace("_", "-")
        summary = (build.__doc__ or "").partition("\n")[0]
        own = {} if penalised else {"penalty": 0.0}
        CATALOGUE[name] = Variant(name, source, kinds, own | dict(defaults or {}), options, summary, build, measures)
        return build

    return enter


def find_variant(name: str) -> Variant:
    """The entry of that name.  Raises ConfigurationError if there is none."""
    if name not in CATALOGUE:
        raise ConfigurationError(f"variant must be one of {', '.join(CATALOGUE)}, got {name!r}")
    return CATALOGUE[name]


def check_obeyed(entry: Variant, asked: Mapping[str, Any]) -> None:
    """Raises ConfigurationError if a person asked for a key that this variant does not obey, and others do."""
    for key, value in asked.items():
        obeying = [each.name for each in CATALOGUE.values() if key in each.options]
        if obeying and entry.name not in obeying:
            raise ConfigurationError(
                f"{key} = {value} has no effect on variant {entry.name}, only on {' and '.join(obeying)}: leave it out"
            )
