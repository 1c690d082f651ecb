"""What the peers share: opening the model, and a batch of requests in runs of the network of at most 256 strings.

They call it by ONNX Runtime as it comes, or by our sampler, whose threads share a batch by its rows.

A peer is started with the model's folder and its port in the environment, since most import this again in processes
of their own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import onnxruntime

from model.artifact import Artifact
from model.sampler import SLICE, Sampler


def port() -> int:
    """Where to listen."""
    return int(os.environ["BENCHMARK_PORT"])


class PlainSampler(Sampler):
    """The model in one session of ONNX Runtime, whose own threads share every layer of a batch."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        super().__init__(artifact, threads=1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(artifact.read(self.network), options)


def open_sampler(threads: int) -> Sampler:
    """The model; the threads are those found best for the peer, unless the environment has others."""
    open_model = Sampler if os.environ.get("BENCHMARK_ENGINE") == "sampler" else PlainSampler
    artifact = Artifact.load(Path(os.environ["BENCHMARK_MODEL"]))
    return open_model(artifact, int(os.environ.get("BENCHMARK_THREADS", threads)))


def texts_of(sampler: Sampler, wanted: Sequence[tuple[int, int]]) -> list[list[str]]:
    """The strings of each request, given as (n, seed)."""
    latents = np.concatenate([sampler.latents(seed, 0, n) for n, seed in wanted])
    texts = [text for start in range(0, len(latents), SLICE) for text in sampler.texts(latents[start : start + SLICE])]
    return [texts[start:end] for start, end in pairwise(accumulate((n for n, _ in wanted), initial=0))]
