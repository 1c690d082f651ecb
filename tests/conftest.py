"""What several tests need: a model that was never trained, and small corpora."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conditional_model import write_conditional
from hypothesis import settings
from untrained_model import write_untrained

from training.configuration import DataConfig
from training.data import Corpus, open_dataset

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
    path = tmp_path_factory.mktemp("models") / "tiny"
    write_untrained(path)
    return path


@pytest.fixture(scope="session")
def conditional_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional model folder, whose labels each have letters of their own."""
    path = tmp_path_factory.mktemp("models") / "countries"
    write_conditional(path)
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
