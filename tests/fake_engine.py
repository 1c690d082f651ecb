"""An engine whose strings say where they come from, and whose runs a test opens one by one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.alphabet import Alphabet
from model.artifact import Artifact
from model.sampler import Part
from service.version import Version

DEADLINE_S = 10
Floats = NDArray[np.float32]


class FakeEngine:
    """String i of a seed is "seed:i", its score its length.  Each run is recorded, and the thread that it was on.

    warm: warm-up waits for it.  permits: where gated, each run waits for one.  broken: what runs raise.
    """

    def __init__(self, *, gated: bool = False) -> None:
        self.runs: list[list[str]] = []
        self.threads: list[int] = []
        self.gated = gated
        self.warm, self.entered, self.permits = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)
        self.warm.set()
        self.broken: Exception | None = None

    def warm_up(self) -> None:
        assert self.warm.wait(DEADLINE_S)
        if self.broken is not None:
            raise self.broken

    def latents(self, seed: int, first: int, n: int, label: str | None = None) -> Floats:
        return np.array([[seed, first + i] for i in range(n)], dtype=np.float32)

    def texts(self, latents: Floats, parts: Sequence[Part] = ()) -> list[str]:
        texts = [f"{int(seed)}:{int(i)}" for seed, i in latents]
        self._run(texts)
        return texts

    def scores(self, texts: Sequence[str], labels: Sequence[str] = ()) -> Floats:
        self._run(list(texts))
        return np.array([len(text) for text in texts], dtype=np.float32)

    def _run(self, texts: list[str]) -> None:
        self.entered.release()
        if self.gated:
            assert self.permits.acquire(timeout=DEADLINE_S)
        self.runs.append(texts)
        self.threads.append(threading.get_ident())
        if self.broken is not None:
            raise self.broken

    def open(self) -> None:
        """Let every run through from now on."""
        self.gated = False
        self.permits.release(1000)


def fake_artifact(name: str = "names", digest: str = "d" * 64) -> Artifact:
    """A model that is nowhere on the disk: ten digits and a colon, two latent coordinates."""
    config: dict[str, Any] = {"variant": "wgan-gp", "model": {"latent": 2}}
    artifact = Artifact(Path("nowhere") / name, digest, config, {}, {}, Alphabet("0123456789:", 16))
    vars(artifact)["card"] = f"# {name}"  # which else is read from the disk
    return artifact


def version(engine: FakeEngine, name: str = "names", digest: str = "d" * 64) -> Version:
    """An open model with this engine."""
    return Version(name, fake_artifact(name, digest), engine)
