"""How much of a sample its code keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.alphabet import PADDING
from training.data.corpus import Corpus
from training.latent_space import HeldOut, made, recoded, spelled
from training.measures import Finished

SAMPLES = 2000


def reconstruction(run: Finished) -> dict[str, float]:
    """How far held-out samples are from what the generator makes of their codes, and from what it makes of others'.

    Of images and points the mean squared error of a coordinate, as the networks see them; of text the share of wrong
    characters, those places aside where both strings have ended.  By chance: each beside the one of another sample.
    """
    held_out = HeldOut.of(run.data, SAMPLES)
    latents = recoded(run.players["encoder"], held_out)
    if isinstance(run.data, Corpus):
        true: NDArray[np.generic] = run.data.held_out[: len(latents)]
        found: NDArray[np.generic] = spelled(run.generator, latents, run.data.alphabet)
    else:
        true, found = held_out.samples, made(run.generator, latents)
    error = wrong_characters if isinstance(run.data, Corpus) else squared_error
    own, others = error(true, found), error(true, np.roll(found, len(found) // 2, axis=0))
    scores = {"reconstruction_error": own, "reconstruction_by_chance": others}
    return scores | ({"reconstruction_ratio": own / others} if others else {})


def squared_error(true: NDArray[np.generic], found: NDArray[np.generic]) -> float:
    """The mean over samples and coordinates, (N, ...)."""
    return float(np.square(np.subtract(true, found, dtype=np.float64)).mean())


def wrong_characters(true: NDArray[np.generic], found: NDArray[np.generic]) -> float:
    """The share of places, of ids (N, T), where strings differ, among those where either has a character."""
    places = int(((true != PADDING) | (found != PADDING)).sum())
    return float((true != found).sum() / places) if places else 0.0
