"""Images and points from a model by ONNX Runtime, without torch.

N samples, C channels, H W sides, D dimensions, Z latent, K labels or branches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.artifact import Artifact, Model
from model.errors import ArtifactError
from model.given import Captions, Pictures, given_by
from model.sampler import open_network
from model.threads import Workers

NETWORK = "generator.onnx"
SLICE = 32  # samples in every run of the network


@dataclass(frozen=True)
class SampleModel(Model):
    """A model of images or of points that was read and verified."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample: (C, H, W) or (D,)."""
        return tuple(self.config["shape"])

    @cached_property
    def given(self) -> Captions | Pictures | None:
        """What must be given for each sample besides a latent and a label.  Raises ArtifactError for what cannot be."""
        return given_by(self.config.get("given"), self.path / "config.json")

    @classmethod
    def of(cls, found: Model) -> SampleModel:
        """The same of a folder that was read.

        Raises ArtifactError if it does not say the shape of its samples, or what they are made of.
        """
        shape = found.config.get("shape")
        axes = {"image": 3, "points": 1}.get(found.kind)
        if (
            not isinstance(shape, list)
            or len(shape) != axes
            or not all(type(size) is int and size > 0 for size in shape)
        ):
            raise ArtifactError(
                f"{found.path / 'config.json'} must say kind, image or points, and the shape of a sample, "
                f"got {found.kind!r} and {shape!r}: export the run again"
            )
        model = cls(**{each.name: getattr(found, each.name) for each in fields(found)})
        _ = model.given  # checked now
        return model


def load_model(path: Path) -> Artifact | SampleModel:
    """Read a model folder of any kind.  Raises ArtifactError as the loading of each does."""
    found = Model.load(path)
    return Artifact.of(found) if found.kind == "text" else SampleModel.of(found)


class SampleSampler:
    """The generator of a model of images or points: latents to samples.

    The last bits of what a network computes may depend on how much it is asked for.  So it is always run on SLICE
    latents that begin at a multiple of SLICE, and sample i depends on (model digest, seed, i, label) and on
    what is given for it alone.
    threads: CPU threads; None: one for each usable processor.
    """

    def __init__(self, model: SampleModel, threads: int | None = None) -> None:
        self.model, self.workers = model, Workers(threads)
        self._session = open_network(model, NETWORK)

    def stream(
        self, seed: int, first: int, n: int, label: str | None = None, given: NDArray[np.float32] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Samples first .. first + n - 1 of a seed in parts, (N, *shape): images in [-1, 1], points in their own units.

        label: of each; None: each draws its own.  given: (M, K), what the samples are made of besides, for a model that
        needs it: sample i of row i modulo M.  Raises ConfigurationError if the model has no such label, ArtifactError
        if the network does not run.
        """

        def made(start: int) -> NDArray[np.float32]:
            rows = self.model.labels.rows(seed, start, SLICE, self.model.latent, label)
            if given is not None:
                rows = np.hstack([rows, given[np.arange(start, start + SLICE) % len(given)]])
            whole = self._run(rows)
            return whole[max(first - start, 0) : first + n - start]

        yield from self.workers.each(made, range(first - first % SLICE, first + n, SLICE))

    def _run(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        where, expected = self.model.path / NETWORK, (len(latents), *self.model.shape)
        try:
            samples: NDArray[np.float32] = self._session.run(["samples"], {"latent": latents})[0]
        except Exception as error:  # ONNX Runtime raises many types, none of them exported
            raise ArtifactError(f"{where} does not run: {error}") from error
        if samples.shape != expected or not np.isfinite(samples).all():
            raise ArtifactError(f"{where} must give finite numbers {expected}, got {samples.shape}")
        return samples
