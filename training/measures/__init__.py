"""What some variants are measured by besides the scores of their data, once a run is finished.

A measure takes a finished run and gives scores by name.  They stand in ``metrics.json`` and ``result.json`` beside
those of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from training.configuration import Config
from training.data.arrays import Images, Points
from training.data.corpus import Corpus
from training.evaluation.judges import Judge


@dataclass(frozen=True)
class Finished:
    """A finished run: its players, the average of its generator, its data, and the judge of that if there is one.

    rounds: that were played.
    """

    config: Config
    players: Mapping[str, nn.Module]
    generator: nn.Module
    data: Corpus | Images | Points
    judge: Judge | None
    rounds: int = 0


Measure = Callable[[Finished], dict[str, float]]
