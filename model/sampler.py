"""Strings from a model by ONNX Runtime, without torch.

N batch, T length, V alphabet, Z latent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model import latents as counter
from model.alphabet import UNKNOWN, Ids, normalize
from model.artifact import Artifact
from model.errors import ArtifactError

SLICE = 256  # strings in one run of the network: larger ones gain nothing on a CPU and hold more memory


class Sampler:
    """The generator of an artifact: latents to logits to strings.

    threads: CPU threads of one run; None leaves the choice to ONNX Runtime.
    """

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        self.artifact = artifact
        self._session = _session(artifact.path / "generator.onnx", threads)

    def latents(self, seed: int, first: int, n: int) -> NDArray[np.float32]:
        """Latent vectors of strings first .. first + n - 1 of a seed, (n, Z)."""
        return counter.latents(seed, first, n, self.artifact.latent)

    def logits(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unnormalised log probabilities, (N, T, V), of latents (N, Z)."""
        logits: NDArray[np.float32] = self._session.run(["logits"], {"latent": latents})[0]
        return logits

    def ids(self, latents: NDArray[np.float32]) -> Ids:
        """The likeliest symbol at every position, (N, T); the unknown character is never chosen."""
        logits = self.logits(latents)
        logits[:, :, UNKNOWN] = -np.inf
        ids: Ids = logits.argmax(axis=2).astype(self.artifact.alphabet.dtype)
        return ids

    def texts(self, latents: NDArray[np.float32]) -> list[str]:
        """The strings of latents (N, Z), padding stripped."""
        return self.artifact.alphabet.decode(self.ids(latents))

    def stream(self, seed: int, first: int, n: int) -> Iterator[list[str]]:
        """Strings first .. first + n - 1 of a seed, in slices, so that any n fits in memory."""
        for start in range(first, first + n, SLICE):
            yield self.texts(self.latents(seed, start, min(SLICE, first + n - start)))

    def warm_up(self) -> None:
        """Run once, so that the first request is not the slow one.  Raises ArtifactError if the graph misbehaves."""
        expected = (2, self.artifact.alphabet.length, self.artifact.alphabet.size)
        try:
            logits = self.logits(self.latents(0, 0, 2))
        except Exception as error:  # ONNX Runtime raises many types, none of them exported
            raise ArtifactError(f"{self.artifact.path / 'generator.onnx'} does not run: {error}") from error
        if logits.shape != expected or not np.isfinite(logits).all():
            raise ArtifactError(
                f"{self.artifact.path / 'generator.onnx'} must give finite logits {expected}, got {logits.shape}"
            )


class Scorer:
    """The critic of an artifact: strings to scores.  High means realistic in its eyes; not a probability."""

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        self.artifact = artifact
        self._session = _session(artifact.path / "critic.onnx", threads)
        self._one_hot = np.eye(artifact.alphabet.size, dtype=np.float32)

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The critic's score of each text, (N,); a text is normalised to NFC and cut at T characters."""
        alphabet = self.artifact.alphabet
        scores = [np.empty(0, dtype=np.float32)]
        for start in range(0, len(texts), SLICE):
            ids = alphabet.encode([normalize(text) for text in texts[start : start + SLICE]])
            (part,) = self._session.run(["score"], {"text": self._one_hot[ids]})
            scores.append(part)
        return np.concatenate(scores)


def _session(graph: Path, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many types, none of them exported
        raise ArtifactError(f"{graph} is not a graph that ONNX Runtime can read: {error}") from error
