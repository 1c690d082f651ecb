"""A model that nobody trained: of random weights, with strings of 26 letters and at most 8 characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from model.alphabet import Alphabet
from model.artifact import write_artifact
from model.text import Critic, Generator
from training.export import model_files, summarize
from training.layering import resolve

ALPHABET = Alphabet("abcdefghijklmnopqrstuvwxyz", 8)
SIZES = {"width": 8, "depth": 1, "kernel": 3}
LATENT = 16


def write_untrained(path: Path, *, seed: int = 0, int8_samples: int | None = None, **sizes: int) -> None:
    """Write its folder.  sizes: other than SIZES; int8_samples: see ``export_run``."""
    torch.manual_seed(seed)
    sizes = SIZES | sizes
    shape = {"length": ALPHABET.length, "size": ALPHABET.size, **sizes}
    generator, critic = Generator(**shape, latent=LATENT).eval(), Critic(**shape).eval()
    # Spread the logits, so that strings of one seed differ from each other.
    torch.nn.init.normal_(generator.output.weight, std=2.0)
    keys: dict[str, Any] = {"data.sources": ["letters.txt"], "data.max_length": ALPHABET.length, "model.latent": LATENT}
    config, _ = resolve({"test": keys | {f"model.{name}": size for name, size in sizes.items()}}, preset="tiny")
    summary = summarize(config, ALPHABET, {"train": 90, "held_out": 10, "digest": "0" * 64}, 0)
    write_artifact(path, model_files(path.name, ALPHABET, generator, critic, summary, {}, int8_samples=int8_samples))
