"""The most that this machine makes of the model: the network alone in a process, by threads and batch size.

    python -m benchmarks.serving.ceiling MODEL SECONDS

Prints {threads: {batch size: strings a second}} as JSON: of our sampler on 1 and 2 threads, and of one session of ONNX
Runtime with two threads of its own, "plain 2".
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

from benchmarks.serving.peers.together import PlainSampler
from model.artifact import Artifact
from model.sampler import Sampler

THREADS, PLAIN = (1, 2), "plain 2"
BATCH_SIZES = (16, 32, 64, 128, 256)


def strings_per_s(sampler: Sampler, size: int, seconds: float) -> float:
    """Latents to strings, batch after batch, for some seconds."""
    sampler.texts(sampler.latents(0, 0, size))
    made, started = 0, perf_counter()
    while (elapsed := perf_counter() - started) < seconds:
        sampler.texts(sampler.latents(0, made, size))
        made += size
    return made / elapsed


def measure(model: Path, seconds: float) -> dict[str, dict[int, float]]:
    """Strings a second by threads and batch size, each measured for some seconds."""
    artifact = Artifact.load(model)
    samplers = {str(threads): Sampler(artifact, threads) for threads in THREADS} | {PLAIN: PlainSampler(artifact, 2)}
    return {
        threads: {size: strings_per_s(sampler, size, seconds) for size in BATCH_SIZES}
        for threads, sampler in samplers.items()
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), float(sys.argv[2]))))
