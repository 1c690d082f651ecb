"""Strings near a given one in the latent space of a run that has an encoder, and sums and differences of strings.

T length, V alphabet, Z latent, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from model.alphabet import UNKNOWN, Alphabet, normalize
from model.errors import ConfigurationError, RunError
from model.labels import Labels
from model.latents import latents
from training.catalogue import make_game
from training.checkpoint import load_checkpoint
from training.configuration import Config
from training.export import read_labels
from training.latent_space import Floats, codes, spelled
from training.networks.roles import Roles
from training.runs import read_config

STEP, STEPS = 0.02, 45  # shares of noise: from 0, where it is the string's own latent, to nine tenths
DRAWS = 64  # latents of each share


@dataclass(frozen=True)
class Neighbour:
    """A string, and the share of noise in the latent that it was first met at, 0 to 1."""

    text: str
    noise: float


@dataclass(frozen=True)
class Coder:
    """Strings to latents and back, by a run's encoder and the average of its generator."""

    alphabet: Alphabet
    labels: Labels
    encoder: nn.Module
    generator: nn.Module

    @classmethod
    def of_run(cls, run: Path) -> Coder:
        """From the newest checkpoint.  Raises RunError if it is not of text, or if there is no encoder in it."""
        config = read_config(run)
        if not (run / "tokenizer.json").is_file():
            raise RunError(f"{run} is not a run on text, and neighbours are those of a string")
        state = load_checkpoint(run / "checkpoints", torch.device("cpu"))
        if state is None:
            raise RunError(f"{run} has no checkpoint yet: continue it with --resume")
        if "encoder" not in state["players"]:
            raise RunError(
                f"{run} has no encoder, as its variant is {config.variant}: train one of aae, ali, avb or bigan"
            )
        alphabet, labels = Alphabet.load(run / "tokenizer.json"), read_labels(run)
        return cls(alphabet, labels, *_networks(config, alphabet, len(labels), state))

    def code(self, text: str) -> Floats:
        """The latent of a string, (Z,).  Raises ConfigurationError if there can be none of it."""
        text = normalize(text)
        if len(text) > self.alphabet.length:
            raise ConfigurationError(
                f"strings of this run have at most {self.alphabet.length} characters, got {len(text)}: {text!r}"
            )
        ids = self.alphabet.encode([text])
        if strange := [text[i] for i in np.flatnonzero(ids[0] == UNKNOWN)]:
            raise ConfigurationError(
                f"{text!r} has characters that the run has not learned, {' '.join(map(repr, dict.fromkeys(strange)))}: "
                f"it knows {self.alphabet.characters!r}"
            )
        (code,) = codes(self.encoder, np.eye(self.alphabet.size, dtype=np.float32)[ids.astype(np.intp)])
        return np.asarray(code)

    def around(self, code: Floats, n: int, *, seed: int, label: str | None) -> list[Neighbour]:
        """The first n different strings of latents sqrt(1 - a^2) z + a eps, a rising from 0; fewer if there are none.

        Latents of N(0, 1) so stay such.  label: of all, for a run with labels; else the one of the most strings.
        """
        found: dict[str, float] = {}
        for step in range(STEPS):
            share = STEP * step
            noise = latents(seed, step * DRAWS, DRAWS if step else 1, len(code))
            rows = np.float32((1 - share**2) ** 0.5) * code + np.float32(share) * noise
            for text in self.alphabet.decode(spelled(self.generator, self._marked(rows, label), self.alphabet)):
                found.setdefault(text, share)
            if len(found) >= n:
                break
        return [Neighbour(text, round(share, 2)) for text, share in list(found.items())[:n]]

    def _marked(self, rows: Floats, label: str | None) -> Floats:
        if not self.labels:
            if label is not None:
                raise ConfigurationError("the run has no labels: leave --label out")
            return rows
        return self.labels.beside(
            rows, int(self.labels.shares.argmax()) if label is None else self.labels.position(label)
        )


def neighbours(
    run: Path,
    near: str,
    plus: Sequence[str] = (),
    minus: Sequence[str] = (),
    *,
    n: int,
    seed: int = 0,
    label: str | None = None,
) -> list[Neighbour]:
    """At most n strings around E(near) + the sum of E of each in plus - that in minus, the nearest first.

    Raises RunError or ConfigurationError.
    """
    coder = Coder.of_run(run)
    code = coder.code(near) + sum(map(coder.code, plus)) - sum(map(coder.code, minus))
    return coder.around(np.asarray(code, dtype=np.float32), n, seed=seed, label=label)


def _networks(config: Config, alphabet: Alphabet, k: int, state: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
    """The encoder and the average generator of a state.  Raises RunError if they are other networks."""
    players = make_game(Roles("text", (alphabet.length, alphabet.size + k), config, k), config).players
    encoder, generator = players["encoder"], players["generator"]
    try:
        encoder.load_state_dict(state["players"]["encoder"])
        generator.load_state_dict(state["average"])
    except (RuntimeError, KeyError) as error:
        raise RunError(f"the checkpoint does not fit the networks of the run's config.json: {error}") from error
    return encoder.eval(), generator.eval()
