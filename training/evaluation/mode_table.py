"""The table of scores of points and images: the data's own samples and the model's, of one size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation import layout
from training.evaluation.judges import Judge, Seen
from training.evaluation.likeness import DEFINITIONS as OF_LIKENESS
from training.evaluation.likeness import Values
from training.evaluation.modes import DEFINITIONS as OF_MODES
from training.evaluation.table import Row, ScoreTable

KIND = "modes"
FEW = 64  # modes that are drawn one by one
DEFINITIONS = {**OF_MODES, **OF_LIKENESS}


@dataclass(frozen=True)
class ModeTable:
    """Rows of scores that may be compared with one another.

    n: samples in every row.  columns: the heading of each score.  facts: on the classifier that told modes apart.
    histograms: the share of samples in each mode, where there are few.
    """

    rows: tuple[Row, ...]
    n: int
    columns: Mapping[str, str]
    said: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    histograms: Mapping[str, Any] = field(default_factory=dict)
    examples: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Mapping[str, float | None]:
        """The scores of the row of that name.  Raises KeyError."""
        return {row.name: row.scores for row in self.rows}[name]

    @property
    def definitions(self) -> dict[str, str]:
        """What each score is."""
        return {key: DEFINITIONS[key] for key in self.columns}

    def to_dict(self) -> dict[str, Any]:
        """Everything, definitions included, as JSON would return it."""
        rows = [{**asdict(row), "seed": list(row.seed) if row.seed else None} for row in self.rows]
        return {"kind": KIND, **asdict(self), "rows": rows, "said": list(self.said), "definitions": self.definitions}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> ModeTable:
        """The table that ``to_dict`` wrote.  Raises ValueError if it is not one."""
        try:
            rows = tuple(map(Row.from_dict, tree["rows"]))
            found = {key.name: tree[key.name] for key in fields(cls)} | {"rows": rows, "said": tuple(tree["said"])}
            if not set(found["columns"]) <= set(DEFINITIONS):
                raise ValueError(f"unknown scores among {', '.join(found['columns'])}")
            return cls(**found)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a table of modes: {error!r}") from error

    def notes(self) -> list[str]:
        """What the figures were taken from and how to read them, a sentence each."""
        return [f"{self.n} samples in every row.", *self.said]

    def plain(self, width: int = 100) -> str:
        """As text without colours."""
        rows = [(row.name, row.scores) for row in self.rows]
        return layout.plain(rows, self.notes(), width, (dict(self.columns),))


def mode_table(
    judge: Judge, samples: Iterable[NDArray[np.float32]], n: int, *, seed: int, name: str = "model"
) -> ModeTable:
    """Score n samples of a seed, in parts (N, ...), beside as many real ones."""
    likeness = judge.likeness
    compared = min(n, len(likeness.reference)) if likeness else 0
    model, features = _looked_at(judge, samples, compared)
    real, columns, said = judge.real(n), dict(judge.headings), judge.notes()
    of_real, of_model = judge.scores(real), judge.scores(model)
    if likeness:
        of_real |= likeness.scores(likeness.floor[:compared])
        of_model |= likeness.scores(features)
        columns |= likeness.headings
        said.append(likeness.note(compared))
    histograms = {}
    if 1 < len(judge.names) <= FEW:
        shares = {"real": judge.shares(real).tolist(), "generated": judge.shares(model).tolist()}
        histograms["mode"] = {"values": list(judge.names), **shares}
    rows = (Row("real", of_real), Row(name, of_model, (seed,)))
    return ModeTable(rows, n, columns, tuple(said), judge.facts, histograms)


def _looked_at(judge: Judge, samples: Iterable[NDArray[np.float32]], compared: int) -> tuple[Seen, Values]:
    """What the judge needs of all samples, in parts (N, ...), and the features of so many of the first."""
    seen, features = [], []
    for part in samples:
        seen.append(judge.seen(part))
        if compared and judge.likeness:
            features.append(judge.likeness.features(part[:compared]))
            compared -= len(features[-1])
    return np.concatenate(seen), np.concatenate(features or [np.zeros((0, 1))])


def read_table(tree: Mapping[str, Any]) -> ScoreTable | ModeTable:
    """The table in a run's ``metrics.json``.  Raises ValueError if it is none."""
    return ModeTable.from_dict(tree) if tree.get("kind") == KIND else ScoreTable.from_dict(tree)
