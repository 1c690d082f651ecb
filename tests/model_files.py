"""The files of a small model that nobody trained: enough to be written, verified and replaced."""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import save

from model.alphabet import Alphabet

ALPHABET = Alphabet("abc", 4)


def contents(**changed: bytes) -> dict[str, bytes]:
    """The files of a small model; graphs are only read by a sampler."""
    files = {
        "config.json": json.dumps({"model": {"latent": 6}}).encode(),
        "tokenizer.json": ALPHABET.tokenizer().to_str().encode(),
        "generator.safetensors": save({"weight": np.arange(6, dtype=np.float32)}),
        "critic.safetensors": save({"weight": np.ones((2, 2), dtype=np.float32)}),
        "generator.onnx": b"a graph",
        "critic.onnx": b"another graph",
        "metrics.json": json.dumps({"rows": [1]}).encode(),
        "README.md": b"# a card",
    }
    return files | changed
