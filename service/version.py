"""An open model: what turns its latents into strings, and the constraints that were made ready for it.

N strings, Z latent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.artifact import Artifact
from model.constraints import FREE, NONE, Compiled, Constraints, compile_constraints
from model.sampler import Part

Floats = NDArray[np.float32]

RULES_KEPT = 64  # compiled constraints of a model: a client asks the same again and again


class Engine(Protocol):
    """What turns seeds into strings: ``model.sampler.Sampler``."""

    def warm_up(self) -> None:
        """Run once, so that the first request is not the slow one."""

    def latents(self, seed: int, first: int, n: int, label: str | None = None) -> Floats:
        """Latents and labels of strings first .. first + n - 1 of a seed, (n, Z + K); label: of all, else drawn."""

    def texts(self, latents: Floats, parts: Sequence[Part] = ()) -> list[str]:
        """The string of each latent (N, Z + K); parts say which rows are not simply argmaxed."""

    def scores(self, texts: Sequence[str], labels: Sequence[str] = ()) -> Floats:
        """The critic's score of each text, (N,), as text of its label where the model is conditional."""


class Rules(Protocol):
    """Constraints that strings must meet: ``model.constraints.Compiled``."""

    @property
    def at_once(self) -> int | None:
        """Texts that one call should judge at most, so that it is short; None: as many as there are."""

    def judge(self, texts: Sequence[str], seen: set[str]) -> Sequence[str | None]:
        """For each text the constraint that refuses it, or None.  seen: what the answer holds already."""


@dataclass(frozen=True, eq=False)
class Version:
    """An open model.  A job keeps the one it was submitted to, so that no answer mixes two."""

    name: str
    artifact: Artifact
    engine: Engine
    _rules: OrderedDict[tuple[Constraints, int], Compiled] = field(default_factory=OrderedDict, repr=False)

    def rules(self, constraints: Constraints, n: int) -> Compiled:
        """Constraints on n strings, made ready for this model; the latest ones are kept.

        Raises InvalidConstraintError or UnsatisfiableError.
        """
        if constraints == NONE:
            return FREE
        key = (constraints, n if constraints.unique else 1)
        if key in self._rules:
            self._rules.move_to_end(key)
            return self._rules[key]
        artifact = self.artifact
        novelty = artifact.novelty if constraints.novel else None
        compiled = compile_constraints(constraints, artifact.alphabet, novelty, n=n)
        self._rules[key] = compiled
        if len(self._rules) > RULES_KEPT:
            self._rules.popitem(last=False)
        return compiled

    @property
    def identity(self) -> dict[str, str]:
        """Name and digest, as every response has them."""
        return {"name": self.name, "digest": self.artifact.digest}
