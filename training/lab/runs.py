"""Runs for the figures: a configuration, its data and its game, played by the one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any

import torch

from training.catalogue import make_game
from training.configuration import Config, DataConfig
from training.data import Corpus, Images, Points, open_dataset
from training.game import Game, Terms
from training.lab.figure import Lab
from training.loop import Draws, Training, play, seed_torch, update_rule
from training.networks.roles import Roles
from training.plan import plan

CPU = torch.device("cpu")
Build = Callable[[Roles, Config], Game]


@dataclass
class Run:
    """A game on its data, as far as it has been played."""

    config: Config
    data: Corpus | Images | Points
    training: Training
    rounds: Iterator[Terms]

    def play(self, rounds: int) -> Terms:
        """Play on; returns the terms of the last round."""
        terms: Terms = {}
        for terms in islice(self.rounds, rounds):  # noqa: B007
            pass
        return terms

    @property
    def game(self) -> Game:
        return self.training.game


def steady(roles: Roles, config: Config) -> Game:
    """The configured game with the same turns in every round, where WGAN's critic moves further in the first ones."""
    return replace(make_game(roles, config), turns_of=None)


@cache
def opened(source: str) -> Corpus | Images | Points:
    """Built-in data, opened once."""
    return open_dataset(DataConfig(sources=(source,)))


def points(source: str) -> Points:
    """Built-in points, opened once."""
    found = opened(source)
    assert isinstance(found, Points)
    return found


def begin(
    lab: Lab,
    source: str,
    keys: Mapping[str, Any],
    *,
    build: Build = make_game,
    roles: type[Roles] = Roles,
    draws: type[Draws] = Draws,
    data: Points | None = None,
) -> Run:
    """A run at round 0, as ``charwgan train SOURCE --preset paper --set KEY=VALUE`` would begin it, on the CPU.

    build, roles, draws, data: another game, other networks, batches or points than that run would have.
    """
    config, _ = plan({"lab": {"preset": "paper", "seed": lab.seed, **keys, "data.sources": (source,)}})
    samples = data or opened(source)
    seed_torch(CPU, config.seed)
    game = build(roles(samples.kind, samples.shape, config), config)
    training = Training.start(game, config, CPU)
    batches = draws.of(training, samples, config, CPU)
    return Run(config, samples, training, play(training, update_rule(config), batches, say=lambda _: None))
