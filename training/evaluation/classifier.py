"""A small classifier of labelled images, trained on the spot: the eyes by which modes of images are counted.

N batch, C channels, S side, K labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training.data.arrays import Images
from training.runs import write_whole

FILE = "classifier.safetensors"
SIDE = 32  # to which larger images are shrunk by averaging
LEAST, MOST, EPOCHS, BATCH, LR = 150, 600, 20, 128, 2e-3  # LEAST, MOST: steps, whatever EPOCHS says
SLICE = 512


class Network(nn.Module):
    """Images (N, C, S, S) in [-1, 1] to logits (N, K): three strided convolutions with batch norm and a linear map."""

    def __init__(self, shape: tuple[int, ...], labels: int) -> None:
        super().__init__()
        channels, *sides = shape
        large = max(sides) > SIDE
        layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(SIDE)] if large else []
        for outputs in (16, 32, 64):
            layers += [nn.Conv2d(channels, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            channels = outputs
        height, width = (-(-(SIDE if large else side) // 8) for side in sides)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, labels))

    def features(self, images: Tensor) -> Tensor:
        """What the linear map reads, (N, F)."""
        return cast(Tensor, self.layers[:-1](images))

    def read(self, features: Tensor) -> Tensor:
        """The logits of ``features``, (N, K)."""
        return cast(Tensor, self.layers[-1](features))

    def forward(self, images: Tensor) -> Tensor:
        return self.read(self.features(images))


@dataclass(frozen=True)
class Classifier:
    """A trained network.  accuracy: its share of right answers on ``checked`` held-out images."""

    network: Network
    accuracy: float
    checked: int

    def labels(self, images: NDArray[np.float32]) -> NDArray[np.int64]:
        """The likeliest label of each image (N, C, S, S), (N,)."""
        return self._in_slices(lambda part: self.network(part).argmax(dim=1), images)

    def features(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The last hidden layer of each image (N, C, S, S), (N, F)."""
        return self._in_slices(self.network.features, images)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """How likely each label is by ``features`` (N, F), (N, K)."""
        return self._in_slices(lambda part: self.network.read(part).double().softmax(dim=1), features)

    @torch.no_grad()
    def _in_slices(self, give: Callable[[Tensor], Tensor], rows: NDArray[np.float32]) -> NDArray[Any]:
        device = next(self.network.parameters()).device
        parts = (torch.from_numpy(rows[i : i + SLICE]).to(device) for i in range(0, len(rows), SLICE))
        return torch.cat([give(part) for part in parts]).cpu().numpy()


def train_classifier(images: Images, device: torch.device) -> Classifier:
    """Learn the labels of the training images, EPOCHS times each if they are neither few nor many.

    By Adam, whose steps shrink to 0.  Draws nothing from torch's own random state: the same images give the same
    network on the same processor.
    """
    assert images.train_labels is not None
    assert images.held_out_labels is not None
    random = torch.Generator().manual_seed(0)
    network = _fresh(images).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)
    labels = torch.from_numpy(images.train_labels.astype(np.int64))
    steps = min(MOST, max(LEAST, EPOCHS * len(images) // BATCH))
    for step in range(steps):
        rows = torch.randint(len(images), (BATCH,), generator=random)
        loss = cross_entropy(network(images.draw(rows.numpy(), device)), labels[rows].to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.param_groups[0]["lr"] = LR * (1 - step / steps)
        optimizer.step()
        optimizer.zero_grad()
    found = Classifier(network.eval().requires_grad_(False), 0.0, len(images.held_out))
    right = found.labels(images.held_out) == images.held_out_labels
    return Classifier(found.network, float(right.mean()), found.checked)


def classifier_of(images: Images, device: torch.device, run: Path | None = None) -> tuple[Classifier, bool]:
    """The classifier that a run keeps for these images, or one that is trained now, and kept if there is a run.

    Also returns whether it was trained now.
    """
    if run is not None and (kept := _kept(images, device, run)):
        return kept, False
    found = train_classifier(images, device)
    if run is not None:
        facts = {"digest": images.digest, "accuracy": repr(found.accuracy), "checked": str(found.checked)}
        weights = {name: tensor.contiguous() for name, tensor in found.network.state_dict().items()}
        write_whole(run / FILE, save_safetensors(weights, facts))
    return found, True


def _kept(images: Images, device: torch.device, run: Path) -> Classifier | None:
    """None where there is none, it is of other images, or it is damaged."""
    try:
        with safe_open(run / FILE, "pt") as file:
            facts = file.metadata()
            if facts["digest"] != images.digest:
                return None
            network = _fresh(images)
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            accuracy, checked = float(facts["accuracy"]), int(facts["checked"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        return None
    return Classifier(network.to(device).eval().requires_grad_(False), accuracy, checked)


def _fresh(images: Images) -> Network:
    """Of weights that are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return Network(images.shape, len(images.label_names)).float()
