"""The labels of a conditional model: what its strings can be asked to be, such as names of one country.

N strings, T length, V alphabet, Z latent, K labels.  The label of a string is a one-hot row (K,): the generator takes
it after the latent, as (N, Z + K), and the critic after the channels of the text, at every position, as (N, T, V + K).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import ArtifactError, ConfigurationError
from model.latents import LABELS, latents, uniforms

MOST = 10_000  # labels of a model
LONGEST = 255  # characters of a label, as a request may hold
FEW = 20  # labels that a message lists
ROUNDING = 1e-6  # by which shares may miss the sum of 1

Floats = NDArray[np.float32]
Positions = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Labels:
    """What a model's strings can be asked to be; false for a model that is not conditional.

    names: K, in the order of their coordinates.  shares: of each among the training strings, float64 (K,).
    judged: whether the critic takes them too; False for the branches of a generator, whose strings it judges alike.
    """

    names: tuple[str, ...] = ()
    shares: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    judged: bool = True

    @classmethod
    def of_branches(cls, count: int) -> Labels:
        """The branches of a generator, "1" to ``count``, of equal shares; none of one that has none."""
        return cls(tuple(map(str, range(1, count + 1))), np.full(count, 1 / count), False) if count else cls()

    @classmethod
    def from_json(cls, value: object, where: Path | str) -> Labels:
        """Those of a model's configuration, {"names": [...], "shares": [...], "judged": true}, or None for none.

        where: it stands, for messages.  Raises ArtifactError for what labels cannot be.
        """
        if value is None:
            return cls()
        told = value if isinstance(value, dict) else {}
        names, shares, judged = told.get("names"), told.get("shares"), told.get("judged", True)
        if not isinstance(names, list) or not isinstance(shares, list) or len(names) != len(shares):
            raise ArtifactError(f"{where}: labels must have an array of names, and one of as many shares")
        if not 1 <= len(names) <= MOST:
            raise ArtifactError(f"{where}: there must be between 1 and {MOST} labels, got {len(names)}")
        if not all(map(_is_name, names)):
            raise ArtifactError(f"{where}: every label must be a string of 1 to {LONGEST} characters of Unicode")
        if (distinct := len(set(names))) < len(names):
            raise ArtifactError(f"{where}: labels must be distinct, got {len(names)} of which {distinct} are")
        if not all(type(share) in (int, float) and 0 <= share <= 1 for share in shares):
            raise ArtifactError(f"{where}: every share of a label must be a number from 0 to 1")
        if abs((total := math.fsum(shares)) - 1) > ROUNDING:
            raise ArtifactError(f"{where}: the shares of the labels must sum to 1, got {total:g}")
        if not isinstance(judged, bool):
            raise ArtifactError(f"{where}: whether labels are judged must be true or false")
        return cls(tuple(names), np.array(shares, dtype=np.float64), judged)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._positions

    def __str__(self) -> str:
        """How many there are, and which if they are few."""
        listed = ", ".join(self.names) if len(self) <= FEW else "`charwgan inspect MODEL --json` lists them"
        return f"{len(self)} labels: {listed}"

    def position(self, name: str) -> int:
        """Which of the K coordinates is a label's.  Raises ConfigurationError if there is no such label."""
        if not self:
            raise ConfigurationError("the model is not conditional: leave the label out")
        if name not in self:
            raise ConfigurationError(f"the model has no label of that name: it has {self}")
        return self._positions[name]

    def of_strings(self, seed: int, first: int, n: int, label: str | None = None) -> Positions:
        """The label of strings first .. first + n - 1 of a seed, (n,): the one that is given, or drawn by the shares.

        What is drawn for string i depends on (seed, i) and the shares alone.  Raises ConfigurationError as above.
        """
        if label is not None:
            return np.full(n, self.position(label))
        return np.searchsorted(self._running, uniforms(seed, first, n, 1, purpose=LABELS)[:, 0], side="right")

    def rows(self, seed: int, first: int, n: int, size: int, label: str | None = None) -> Floats:
        """What the generator takes for strings first .. first + n - 1 of a seed, (n, Z + K).

        size: Z.  label: as above, and a string has the same latent whatever it is.  Raises as above.
        """
        rows = latents(seed, first, n, size)
        if not self and label is None:
            return rows
        return self.beside(rows, self.of_strings(seed, first, n, label))

    def to_json(self) -> dict[str, Any]:
        """As ``from_json`` reads them."""
        unjudged = {} if self.judged else {"judged": False}
        return {"names": list(self.names), "shares": self.shares.tolist(), **unjudged}

    def listed(self) -> list[dict[str, Any]]:
        """Each name and its share, as JSON has them."""
        return [{"name": name, "share": share} for name, share in zip(self.names, self.shares.tolist(), strict=True)]

    def beside(self, latents: Floats, positions: Positions | int) -> Floats:
        """What the generator takes, (N, Z + K), of latents (N, Z) and labels (N,), or one of all."""
        one_hot = np.zeros((len(latents), len(self)), dtype=np.float32)
        one_hot[np.arange(len(latents)), positions] = 1.0
        return np.hstack([latents, one_hot])

    def names_of(self, rows: Floats) -> list[str]:
        """The label of each row that the generator takes, (N, Z + K)."""
        return [self.names[position] for position in rows[:, -len(self) :].argmax(axis=1)]

    def of_texts(self, names: Sequence[str], n: int) -> Positions:
        """The label of each of n texts for the critic, (n,), or (0,) where it takes none.

        Raises ConfigurationError unless every text has a label of the model, or none where the critic takes none.
        """
        if self.channels and len(names) != n:
            raise ConfigurationError(f"the model is conditional: say of which label the texts are; it has {self}")
        positions = np.array([self.position(name) for name in names], dtype=np.intp)
        return positions if self.channels else positions[:0]

    @property
    def channels(self) -> int:
        """How many the critic takes after the symbols: K, or 0 where it takes no labels."""
        return len(self) if self.judged else 0

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def _running(self) -> NDArray[np.float64]:
        """The distribution function, (K,), which ends with 1 whatever rounding does."""
        running = np.cumsum(self.shares)
        return np.asarray(running / running[-1])


UNCONDITIONAL = Labels()


def _is_name(value: object) -> bool:
    """Whether it can be a label; half a surrogate pair, which JSON can hold, could be sent to nobody."""
    return isinstance(value, str) and 1 <= len(value) <= LONGEST and not any("\ud800" <= c <= "\udfff" for c in value)
