"""The space that a sweep searches: ``lr_critic=1e-4..1e-2:log``, ``model.depth=2..6``, ``model.width=32,64,128``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from optuna.trial import Trial

from model.errors import ConfigurationError
from training.configuration import Config, Frozen
from training.layering import parse_value
from training.plan import Layers, plan

GRAMMAR = "--search takes key=low..high, key=low..high:log or key=a,b,c"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(:log)?")
BUDGET = ("max_seconds", "max_rounds", "max_cpu_seconds")
EACH = 64  # whole numbers of a range that are looked at one by one before the first trial


@dataclass(frozen=True)
class Range:
    """The numbers from low to high, both included; on a logarithmic scale, or whole ones, if so said."""

    key: str
    low: Any
    high: Any
    log: bool
    whole: bool

    @property
    def samples(self) -> tuple[Any, ...]:
        """Values that must all be possible for the range to be."""
        each = self.whole and self.high - self.low < EACH
        return tuple(range(self.low, self.high + 1)) if each else (self.low, self.high)

    def suggest(self, trial: Trial) -> Any:
        """The value of a trial."""
        draw: Any = trial.suggest_int if self.whole else trial.suggest_float
        return draw(self.key, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    key: str
    samples: tuple[Any, ...]
    log: bool = False

    def suggest(self, trial: Trial) -> Any:
        """The value of a trial."""
        return trial.suggest_categorical(self.key, self.samples)


Dimension = Range | Choice


def parse_search(text: str) -> Dimension:
    """What one ``--search`` asks for.  Raises ConfigurationError."""
    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise ConfigurationError(f"{GRAMMAR}, got {text!r}")
    if key in BUDGET:
        raise ConfigurationError(f"--search {key}: trials are compared at one budget, set it by --set {key}=...")
    if found := RANGE.fullmatch(values):
        return _range(key, *found.groups())
    choices = tuple(parse_value(value.strip(), key) for value in values.split(","))
    if len(choices) < 2 or not all(isinstance(choice, str | int | float) for choice in choices):
        raise ConfigurationError(f"{GRAMMAR}, got {text!r}")
    if len(set(choices)) < len(choices):
        raise ConfigurationError(f"--search {key}: every choice once, got {values}")
    return Choice(key, choices)


def _range(key: str, lowest: str, highest: str, log: str | None) -> Range:
    low, high = (parse_value(bound) for bound in (lowest, highest))
    if not all(
        isinstance(bound, int | float) for bound in (low, high)
    ):  # numbers, but none of TOML's, such as 01 or .5
        low, high = float(lowest), float(highest)
    given = f"got {lowest}..{highest}"
    if low >= high:
        raise ConfigurationError(f"--search {key}: the lower bound must be below the upper one, {given}")
    if log and low <= 0:
        raise ConfigurationError(f"--search {key}: a range on a logarithmic scale must begin above 0, {given}:log")
    # Where the key takes whole numbers and a bound is none, the configuration will say so.
    whole = int in _types(key) and low == int(low) and high == int(high)
    if whole:
        low, high = int(low), int(high)
    return Range(key, low, high, bool(log), whole)


def _types(key: str) -> tuple[Any, ...]:
    """The types that a key takes; none for an unknown key."""
    section, _, name = key.rpartition(".")
    home = type(Config.model_fields[section].default) if section in Config.model_fields else Config
    field = home.model_fields.get(name) if issubclass(home, Frozen) else None
    return () if field is None else get_args(field.annotation) or (field.annotation,)


def parse_searches(texts: Sequence[str], layers: Layers) -> tuple[Dimension, ...]:
    """The space of a sweep whose other keys are in ``layers``; every value that can be looked at is possible.

    Raises ConfigurationError naming the key, the bound and the value, as --set does.
    """
    space = tuple(map(parse_search, texts))
    keys = [dimension.key for dimension in space]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ConfigurationError(f"--search {min(twice)}: once for each key, got it {keys.count(min(twice))} times")
    for dimension in space:
        for value in dimension.samples:
            plan(with_values(layers, {**{other.key: other.samples[0] for other in space}, dimension.key: value}))
    return space


def with_values(layers: Layers, values: dict[str, Any]) -> dict[str, Any]:
    """The layers of a trial: its values stand over all others."""
    return {**layers, "flag": {**layers.get("flag", {}), **values}}
