"""How labels that were asked for, and codes that nobody named, are found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_runs import configured
from torch import Tensor, nn

from model.branches import Branched
from training.data.arrays import Images
from training.evaluation.judges import ImagesJudge
from training.layers import Recogniser
from training.measures import Finished
from training.measures.labels import cluster_accuracy, label_accuracy, named_codes

NAMES, EACH = 4, 1500
TURNED = (2, 0, 3, 1)  # the code of each label


class ByBrightness(ImagesJudge):
    """The label of an image is how bright it is, in steps of a quarter."""

    def __init__(self) -> None:
        pass

    def seen(self, samples: np.ndarray) -> np.ndarray:
        return np.rint(samples.mean(axis=(1, 2, 3)) * NAMES).astype(int)


class Codes(Branched):
    """Images of the brightness that the code after the latent stands for."""

    def __init__(self) -> None:
        super().__init__(latent=3, codes=NAMES)
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, latent: Tensor) -> Tensor:
        labels = torch.tensor([TURNED.index(code) for code in range(NAMES)])
        brightness = labels[latent[:, self.latent :].argmax(dim=1)] / NAMES
        return brightness.view(-1, 1, 1, 1).expand(-1, 1, 8, 8) * self.weight


class Reader(Recogniser):
    """Says the code of an image by its brightness."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.ones(()))

    def features(self, samples: Tensor) -> Tensor:
        return samples.mean(dim=(1, 2, 3)).mul(NAMES).round().long()

    def recognise(self, features: Tensor) -> Tensor:
        return torch.eye(NAMES)[torch.tensor(TURNED)[features]]


def finished() -> Finished:
    """Images in the order of their labels, as files often have them."""
    labels = np.repeat(np.arange(NAMES), EACH).astype(np.uint16)
    samples = np.broadcast_to((labels / NAMES)[:, None, None, None], (len(labels), 1, 8, 8)).astype(np.float32)
    data = Images(samples, samples[::10], "digest", labels, labels[::10], tuple("abcd"))
    players = {"critic": Reader(), "generator": Codes()}
    return Finished(configured("infogan"), players, players["generator"], data, ByBrightness(), 1)


def test_codes_are_named_by_all_of_the_data_though_it_is_in_the_order_of_its_labels() -> None:
    assert cluster_accuracy(finished()) == {"cluster_accuracy": 1.0, "codes_seen": 1.0}


def test_data_that_is_learned_under_no_labels_has_no_label_accuracy() -> None:
    assert label_accuracy(finished()) == {}


def test_each_label_is_that_of_one_code_and_most_samples_are_right() -> None:
    counts = np.array([[5, 4, 0], [6, 0, 1], [0, 0, 9]])
    assert named_codes(counts).tolist() == [1, 0, 2]
    assert named_codes(np.array([[5, 0], [9, 1], [0, 3]])).tolist() == [-1, 0, 1]


def test_a_critic_that_reads_nothing_is_right_for_one_label_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "recognise", lambda self, features: torch.eye(NAMES)[torch.zeros_like(features)])
    assert cluster_accuracy(finished())["cluster_accuracy"] == 1 / NAMES
