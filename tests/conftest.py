"""What several tests need: a model that was never trained, and small corpora."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from model.alphabet import Alphabet
from model.artifact import write_artifact
from model.text import Critic, Generator
from training.configuration import DataConfig, resolve
from training.data import Corpus, open_dataset
from training.export import model_files, summarize

TINY = {
    "data.max_length": 8,
    "model.width": 8,
    "model.depth": 1,
    "model.kernel": 3,
    "model.latent": 16,
    "batch_size": 16,
    "threads": 1,
    "device": "cpu",
}


# Two threads make tiny networks several times slower, and a warning that comes once per process would make tests
# depend on their order.
torch.set_num_threads(1)
torch.set_warn_always(True)

# The check tries the same examples each time, so that it fails for what changed; whoever runs the tests tries new ones.
settings.register_profile("check", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("check")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model folder with random weights: 26 letters, at most 8 characters."""
    torch.manual_seed(0)
    alphabet = Alphabet("abcdefghijklmnopqrstuvwxyz", 8)
    config, _ = resolve({"test": {**TINY, "data.sources": ["letters.txt"]}}, preset="tiny")
    shape = {"length": 8, "size": alphabet.size, "width": 8, "depth": 1, "kernel": 3}
    generator, critic = Generator(**shape, latent=16), Critic(**shape)
    # Spread the logits, so that strings of one seed differ from each other.
    torch.nn.init.normal_(generator.output.weight, std=2.0)
    summary = summarize(config, alphabet, {"train": 90, "held_out": 10, "digest": "0" * 64}, 0, 0.0)
    path = tmp_path_factory.mktemp("models") / "tiny"
    write_artifact(path, model_files("tiny", alphabet, generator.eval(), critic.eval(), summary, {}))
    return path


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 made-up names of two to four syllables, one a line, drawn by seed."""
    draw = random.Random(0)
    syllables = [consonant + vowel for consonant in "bdklmnrst" for vowel in "aeio"]
    lines = ["".join(draw.choices(syllables, k=draw.randint(2, 4))) for _ in range(2000)]
    path = tmp_path_factory.mktemp("corpus") / "names.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def open_text(tmp_path: Path) -> Callable[..., Corpus]:
    """Opens sources as a corpus, prepared in a folder of the test's own."""

    def opened(*sources: Path | str, **options: object) -> Corpus:
        corpus = open_dataset(DataConfig(sources=tuple(map(str, sources)), **options), tmp_path / "cache")
        assert isinstance(corpus, Corpus)
        return corpus

    return opened
