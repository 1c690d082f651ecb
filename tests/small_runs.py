"""Runs of small networks on data that lies in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.given import Pictures
from model.labels import UNCONDITIONAL, Labels
from training.catalogue import CATALOGUE, make_game
from training.checkpoint import load_checkpoint, save_checkpoint
from training.conditions import Conditions, beside
from training.configuration import Config
from training.data.dataset import Dataset, Kind
from training.data.pairs import MAKERS
from training.layering import resolve
from training.loop import Draws, Training, play, seed_torch, update_rule
from training.networks.roles import Roles

CPU = torch.device("cpu")
SIZE = {
    "model.width": 4,
    "model.depth": 1,
    "model.kernel": 3,
    "model.latent": 3,
    "batch_size": 6,
    "n_critic": 2,
    "ema": 0.9,
}


@dataclass(frozen=True)
class Memory:
    """A Dataset of samples (N, ...) that lie in memory; labels: of text (N, T, V + K).

    pair: of images (N, C + C, H, W) beside pictures that they are to be made from, what these are.
    """

    kind: Kind
    samples: Tensor
    labels: Labels = UNCONDITIONAL
    pair: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.samples.shape[1:])

    @property
    def conditions(self) -> Conditions:
        return Conditions(self.shape[0] // 2, pictures=True) if self.pair else Conditions(len(self.labels))

    @property
    def given(self) -> Pictures | None:
        return Pictures((self.shape[0] // 2, *self.shape[1:]), self.pair) if self.pair else None

    @property
    def train_labels(self) -> NDArray[np.int64] | None:
        return self.conditions.of(self.samples).argmax(dim=1).numpy() if self.labels else None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.samples.numpy().tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.samples)

    def draw(self, rows: NDArray[np.int64], device: torch.device) -> Tensor:
        return self.samples[torch.from_numpy(rows)].to(device)


LABELS = Labels(("a", "b", "c"), np.array([0.5, 0.25, 0.25]))
BOXED = Labels((*LABELS.names, "left", "top", "right", "bottom"), np.full(7, 1 / 7))


def data_of(kind: Kind, variant: str = "gan") -> Memory:
    """Samples of a kind as a variant learns them: under LABELS, row i under label i modulo 3, if it needs labels.

    If it needs boxes as well, with one after the label.
    """
    generator = torch.Generator().manual_seed(1)
    if kind == "text":
        ids = torch.randint(6, (40, 5), generator=generator)
        samples = nn.functional.one_hot(ids, 6).float()
    else:
        samples = torch.randn((40, 1, 8, 8) if kind == "image" else (40, 2), generator=generator).tanh()
    if pair := CATALOGUE[variant].defaults.get("data.pair"):
        return Memory(kind, torch.cat([samples, MAKERS[pair](samples)], dim=1), pair=pair)
    if not CATALOGUE[variant].defaults.get("data.condition"):
        return Memory(kind, samples)
    marks = torch.eye(len(LABELS))[torch.arange(len(samples)) % len(LABELS)]
    if CATALOGUE[variant].defaults.get("data.boxes"):
        boxes = torch.tensor([0.2, 0.1, 0.6, 0.7]) + 0.3 * torch.rand(len(samples), 1, generator=generator)
        return Memory(kind, beside(samples, torch.cat([marks, boxes], dim=1)), BOXED)
    return Memory(kind, beside(samples, marks), LABELS)


def configured(variant: str = "wgan-gp", **changed: Any) -> Config:
    config, _ = resolve({"variant": {**CATALOGUE[variant].defaults, "variant": variant}, "test": {**SIZE, **changed}})
    return config


def begin(config: Config, data: Dataset) -> Training:
    seed_torch(CPU, config.seed)
    roles = Roles(data.kind, data.shape, config, data.conditions.channels)
    return Training.start(make_game(roles, config), config, CPU)


def rounds(training: Training, config: Config, data: Dataset, n: int) -> list[dict[str, Tensor]]:
    draws = Draws.of(training, data, config, CPU)
    return list(islice(play(training, update_rule(config), draws, precision=config.precision), n))


def assert_same(one: Any, other: Any) -> None:
    """Bit for bit, through nested states."""
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


def lasting(training: Training) -> dict[str, Any]:
    """The state apart from the clocks."""
    return {name: value for name, value in training.state_dict().items() if "seconds" not in name}


def weights(training: Training) -> dict[str, list[Tensor]]:
    return {name: [p.detach().clone() for p in player.parameters()] for name, player in training.game.players.items()}


def undisturbed(config: Config, data: Dataset) -> dict[str, Any]:
    """The state after four rounds."""
    training = begin(config, data)
    rounds(training, config, data, 4)
    return lasting(training)


def stopped_and_continued(config: Config, data: Dataset, folder: Path) -> dict[str, Any]:
    """The state after two rounds, a checkpoint, and two rounds more by new objects."""
    first = begin(config, data)
    rounds(first, config, data, 2)
    save_checkpoint(folder, first.state_dict())
    torch.manual_seed(999)  # what another process would find is unknown
    second = begin(config, data)
    state = load_checkpoint(folder, CPU)
    assert state is not None
    second.load_state_dict(state)
    assert (second.round, second.seconds, second.cpu_seconds) == (2, first.seconds, first.cpu_seconds)
    rounds(second, config, data, 2)
    return lasting(second)
