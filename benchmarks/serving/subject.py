"""The model that every side serves: dim 128, depth 5, kernel 5, T 32, V 96, with random weights.

Speed does not depend on what the weights are.  Made in a process of its own, as it needs torch and the servers do not:

    python -m benchmarks.serving.subject FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

LENGTH = 32
CHARACTERS = "".join(chr(point) for point in range(33, 127))  # 94, and two reserved symbols
WIDTH, DEPTH, KERNEL, LATENT = 128, 5, 5, 128


def write_model(path: Path) -> str:
    """Write the model's folder; returns its digest."""
    import torch

    from model.alphabet import Alphabet
    from model.artifact import write_artifact
    from model.text import Critic, Generator
    from training.export import model_files, summarize
    from training.layering import resolve

    torch.manual_seed(0)
    keys = {
        "data.sources": ["none"],
        "data.max_length": LENGTH,
        "model.width": WIDTH,
        "model.depth": DEPTH,
        "model.kernel": KERNEL,
        "model.latent": LATENT,
    }
    config, _ = resolve({"benchmark": keys}, preset="base")
    alphabet = Alphabet(CHARACTERS, LENGTH)
    shape = {"length": LENGTH, "size": alphabet.size, "width": WIDTH, "depth": DEPTH, "kernel": KERNEL}
    generator, critic = Generator(**shape, latent=LATENT).eval(), Critic(**shape).eval()
    data = {"train": 0, "held_out": 0, "digest": "0" * 64}
    summary = summarize(config, alphabet, data, 0, 0.0)
    return write_artifact(path, model_files("random", alphabet, generator, critic, summary, {}))


if __name__ == "__main__":
    print(write_model(Path(sys.argv[1])))
