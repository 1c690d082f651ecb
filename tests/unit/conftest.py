"""A model that every engine can open."""

from __future__ import annotations

from pathlib import Path

import pytest
from untrained_model import write_untrained

from model.artifact import Artifact
from model.sampler import Sampler


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a graph in integers, of random weights, whose likeliest symbol is now and then the unknown one."""
    path = tmp_path_factory.mktemp("models") / "letters"
    write_untrained(path, seed=3, width=16, depth=2, int8_samples=400)
    return path


@pytest.fixture(scope="session")
def artifact(model: Path) -> Artifact:
    return Artifact.load(model)


@pytest.fixture(scope="session")
def onnx(artifact: Artifact) -> Sampler:
    return Sampler(artifact, 1)
