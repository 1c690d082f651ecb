"""Strings from a model by ONNX Runtime, without torch.

N batch, T length, V alphabet, Z latent, K labels, 0 for a model that is not conditional.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model.alphabet import Ids, normalize
from model.artifact import Artifact, Model
from model.decoding import Decoding, decode, likeliest
from model.errors import ArtifactError
from model.threads import Workers

SLICE = 256  # strings in one run of the network: larger ones gain nothing on a CPU and hold more memory


@dataclass(frozen=True)
class Part:
    """Some rows of a batch that are not simply argmaxed: strings first .. of a seed, in rows start .. stop - 1."""

    start: int
    stop: int
    seed: int
    first: int
    decoding: Decoding


class Sampler:
    """The generator of an artifact: latents to logits to strings.

    threads: CPU threads that share a batch; None: one for each usable processor.
    """

    network = "generator.onnx"  # the file of the artifact that the generator is read from

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        self.artifact, self.workers = artifact, Workers(threads)
        self._session = open_network(artifact, self.network)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.artifact, self.workers)

    def latents(self, seed: int, first: int, n: int, label: str | None = None) -> NDArray[np.float32]:
        """What the generator takes for strings first .. first + n - 1 of a seed, (n, Z + K): latents and labels.

        label: of every string; None: each draws its own, by the shares of the labels in the training data.  A string
        has the same latent whatever its label.  Raises ConfigurationError if the model has no such label.
        """
        return self.artifact.labels.rows(seed, first, n, self.artifact.latent, label)

    def logits(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unnormalised log probabilities, (N, T, V), of latents (N, Z + K)."""
        return self.workers.spread(self._logits, latents)

    def _logits(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._session.run(["logits"], {"latent": latents})[0]
        return logits

    def _likeliest(self, latents: NDArray[np.float32]) -> Ids:
        return cast(Ids, likeliest(self._logits(latents)).astype(self.artifact.alphabet.dtype))

    def ids(self, latents: NDArray[np.float32], parts: Sequence[Part] = ()) -> Ids:
        """The symbol at every position, (N, T): the likeliest, and as each part says in its rows."""
        if not parts:
            return cast(Ids, self.workers.spread(self._likeliest, latents))
        logits = self.logits(latents)
        drawn = [decode(logits[part.start : part.stop], part.decoding, part.seed, part.first) for part in parts]
        ids = likeliest(logits)
        for part, symbols in zip(parts, drawn, strict=True):
            ids[part.start : part.stop] = symbols
        return cast(Ids, ids.astype(self.artifact.alphabet.dtype))

    def texts(self, latents: NDArray[np.float32], parts: Sequence[Part] = ()) -> list[str]:
        """The strings of latents (N, Z + K), padding stripped."""
        return self.artifact.alphabet.decode(self.ids(latents, parts))

    def scores(self, texts: Sequence[str], labels: Sequence[str] = ()) -> NDArray[np.float32]:
        """As ``Scorer.scores``; the critic is opened when it is first asked."""
        return self._scorer.scores(texts, labels)

    def stream(self, seed: int, first: int, n: int, label: str | None = None) -> Iterator[list[str]]:
        """Strings first .. first + n - 1 of a seed, in slices, so that any n fits in memory."""
        for start in range(first, first + n, SLICE):
            yield self.texts(self.latents(seed, start, min(SLICE, first + n - start), label))

    def warm_up(self) -> None:
        """Run the networks once, so that the first request is not the slow one.

        Raises ArtifactError if one of them misbehaves.
        """
        artifact, n = self.artifact, 2
        with _running(artifact, self.network):
            logits = self.logits(self.latents(0, 0, n))
        _check(artifact, self.network, logits, (n, artifact.alphabet.length, artifact.alphabet.size))
        if not artifact.judges:
            return
        with _running(artifact, self._scorer.network):
            scores = self.scores([""] * n, artifact.labels.names[:1] * n)
        _check(artifact, self._scorer.network, scores, (n,))
        del self._scorer  # it takes 8 MB and is asked for seldom: opened again then


@contextmanager
def _running(artifact: Artifact, network: str) -> Iterator[None]:
    try:
        yield
    except ArtifactError:
        raise
    except Exception as error:  # ONNX Runtime raises many types, none of them exported
        raise ArtifactError(f"{artifact.path / network} does not run: {error}") from error


def _check(artifact: Artifact, network: str, result: NDArray[np.float32], expected: tuple[int, ...]) -> None:
    if result.shape != expected or not np.isfinite(result).all():
        raise ArtifactError(f"{artifact.path / network} must give finite numbers {expected}, got {result.shape}")


class Scorer:
    """The critic of an artifact: strings to scores.  High means realistic in its eyes; not a probability."""

    network = "critic.onnx"

    def __init__(self, artifact: Artifact, workers: Workers | None = None) -> None:
        artifact.require_critic()
        self.artifact, self.workers = artifact, workers or Workers(None)
        self._session = open_network(artifact, self.network)

    def scores(self, texts: Sequence[str], labels: Sequence[str] = ()) -> NDArray[np.float32]:
        """The critic's score of each text, (N,); a text is normalised to NFC and cut at T characters.

        labels: of which label the critic takes each text to be; none for a model that is not conditional.
        Raises ConfigurationError if one is missing, or one that the model does not have.
        """
        alphabet, positions = self.artifact.alphabet, self.artifact.labels.of_texts(labels, len(texts))
        scores = [np.empty(0, dtype=np.float32)]
        for start in range(0, len(texts), SLICE):
            rows = alphabet.encode([normalize(text) for text in texts[start : start + SLICE]]).astype(np.int64)
            if len(positions):
                rows = np.column_stack([rows, positions[start : start + SLICE]])
            scores.append(self.workers.spread(self.score, rows))
        return np.concatenate(scores)

    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The critic's score of each text, (N,), N <= SLICE, from its ids (N, T) and, after them, its label (N, 1)."""
        length, size = self.artifact.alphabet.length, self.artifact.alphabet.size
        one_hot = np.zeros((len(rows), length, size + self.artifact.labels.channels), dtype=np.float32)
        np.put_along_axis(one_hot, rows[:, :length, np.newaxis], 1.0, axis=2)
        if self.artifact.labels.channels:
            one_hot[np.arange(len(rows)), :, size + rows[:, length]] = 1.0
        scores: NDArray[np.float32] = self._session.run(["score"], {"text": one_hot})[0]
        return scores


def open_network(artifact: Model, name: str) -> onnxruntime.InferenceSession:
    """A graph of a model.  Raises ArtifactError if ONNX Runtime cannot read it, or if the file has changed."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # threads share a batch by its rows, and never wait for each other within it
    graph = artifact.read(name)
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many types, none of them exported
        raise ArtifactError(f"{artifact.path / name} is not a graph that ONNX Runtime can read: {error}") from error
    # The wrapper would hold the bytes for ever, to open the graph again on another provider.
    session._model_bytes = None
    return session
