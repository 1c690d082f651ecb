"""What the latents of a generator are: paths between them, and, where there is an encoder, the codes of samples.

N samples, Z latent, K labels, V alphabet.  The generator is the average, which follows the one that is trained; the
encoder is itself, since averages are taken of the generator alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.alphabet import Alphabet, Ids
from model.latents import slerp
from model.picture import sheet
from training.conditions import Asked
from training.data.arrays import Images, Points
from training.data.corpus import Corpus
from training.observer import SAMPLE_SEED, SLICE, Look, likeliest, made_of, obeyed
from training.runs import INTERPOLATION, RECONSTRUCTIONS

Data = Corpus | Images | Points
Floats = NDArray[np.float32]
STEPS, PATHS = 8, 8  # samples on a path, its ends included; paths of images, each a row
LONG_PATH = 64  # points on a path
SHOWN = {"text": 16, "image": 32, "points": 500}  # held-out samples whose reconstructions are kept


def looks(data: Data, generator: nn.Module, encoder: nn.Module | None, latent: int) -> dict[str, Look]:
    """What is kept of the latents, by the name of its folder: an interpolation, and reconstructions by an encoder.

    latent: Z.  Changes nothing, torch's random state included.
    """
    asked = obeyed(generator, data.labels if isinstance(data, Corpus) else data.asked)
    paths, steps = {"text": (1, STEPS), "image": (PATHS, STEPS), "points": (1, LONG_PATH)}[data.kind]
    found = {INTERPOLATION: _shown(data, generator, between(asked, latent, paths=paths, steps=steps))}
    if encoder is not None:
        held_out = HeldOut.of(data, SHOWN[data.kind])
        found[RECONSTRUCTIONS] = _shown(data, generator, recoded(encoder, held_out), held_out.samples)
    return found


def _shown(data: Data, generator: nn.Module, latents: Floats, originals: Floats | None = None) -> Look:
    """What is made of latents (N, Z + K): lines, each after its original if there is one; a sheet; or points."""
    if isinstance(data, Corpus):
        lines = data.alphabet.decode(spelled(generator, latents, data.alphabet))
        if originals is not None:
            before = data.alphabet.decode(originals.argmax(axis=2))
            lines = [f"{one} \N{RIGHTWARDS ARROW} {other}" for one, other in zip(before, lines, strict=True)]
        return Look(".txt", "".join(line + "\n" for line in lines).encode())
    from training.drawing import beneath, density, scatter

    samples = made(generator, latents)
    if isinstance(data, Images):
        return Look(".png", sheet(samples if originals is None else beneath(originals, samples)))
    own = data.units.own
    real = own(data.held_out if originals is None else originals)
    draw = density if samples.shape[1] == 1 else scatter
    return Look(".png", draw(real, own(samples), np.zeros(len(samples), dtype=np.intp)))


@dataclass(frozen=True)
class HeldOut:
    """Held-out samples by themselves, (N, ...), text as one-hot, and the labels that they stand under, (N, K)."""

    samples: Floats
    marks: Floats

    @classmethod
    def of(cls, data: Data, most: int) -> HeldOut:
        """The first of the held-out part."""
        if not isinstance(data, Corpus):
            samples = data.held_out[:most]
            return cls(samples, _marks(data, len(samples)))
        ids = data.held_out[:most]
        samples = np.eye(data.alphabet.size, dtype=np.float32)[ids.astype(np.intp)]
        return cls(samples, _marks(data, len(samples)))


def _marks(data: Data, n: int) -> Floats:
    """What the first n held-out samples are learned under besides themselves, (n, K)."""
    if not isinstance(data, Corpus) and data.conditioned and data.captions:
        return data.captions.held_out[:n]
    labels, positions = data.labels, data.held_out_labels
    if not labels or positions is None:
        return np.empty((n, 0), dtype=np.float32)
    return np.eye(len(labels), dtype=np.float32)[positions[:n].astype(np.intp)]


@torch.no_grad()
def codes(encoder: nn.Module, samples: Floats) -> Floats:
    """The latent that stands for each sample by itself, (N, Z); of an encoder that draws, that without noise."""
    device = next(encoder.parameters()).device
    return np.concatenate([encoder(part).float().cpu().numpy() for part in _parts(samples, device)])


def recoded(encoder: nn.Module, held_out: HeldOut) -> Floats:
    """What a generator takes to make these samples again, (N, Z + K): their codes and their labels."""
    return np.hstack([codes(encoder, held_out.samples), held_out.marks])


def made(generator: nn.Module, latents: Floats) -> Floats:
    """What a generator makes of latents (N, Z + K), by itself, (N, ...)."""
    device = next(generator.parameters()).device
    return np.concatenate([made_of(generator, part) for part in _parts(latents, device)])


def spelled(generator: nn.Module, latents: Floats, alphabet: Alphabet) -> Ids:
    """The strings that a generator makes of latents (N, Z + K), as ids (N, T)."""
    device = next(generator.parameters()).device
    return np.concatenate([likeliest(generator, part, alphabet) for part in _parts(latents, device)])


def between(asked: Asked, latent: int, *, paths: int, steps: int) -> Floats:
    """Latents on arcs between those of samples 0 and 1, 2 and 3, ... of a look, (paths * steps, Z + K).

    Each arc is under the labels of its first end.  latent: Z.
    """
    ends = asked.rows(SAMPLE_SEED, 0, 2 * paths, latent)
    return np.concatenate([
        np.hstack([slerp(first[:latent], last[:latent], steps), np.tile(first[latent:], (steps, 1))])
        for first, last in zip(ends[::2], ends[1::2], strict=True)
    ])  # fmt: skip


def _parts(rows: Floats, device: Any) -> Iterator[Tensor]:
    for first in range(0, len(rows), SLICE):
        yield torch.from_numpy(rows[first : first + SLICE]).to(device)
