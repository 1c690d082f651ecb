"""What generated images are scored by beside their captions and boxes, and images that a person asks for in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_runs import SIZE
from torch import Tensor, nn

from training.catalogue import CATALOGUE
from training.conditions import beside
from training.configuration import Config
from training.data import Images, open_dataset
from training.evaluation.classifier import Classifier
from training.evaluation.judges import ImagesJudge
from training.layering import resolve
from training.measures import Finished
from training.measures.captions import agreement, box_overlap, caption_accuracy, filled, overlaps

CPU = torch.device("cpu")


def configured(variant: str) -> Config:
    asked = {**SIZE, "data.sources": ("builtin:shapes",), "data.image_size": 8}
    return resolve({"variant": {**CATALOGUE[variant].defaults, "variant": variant}, "test": asked})[0]


@pytest.fixture(scope="module")
def boxed() -> Images:
    data = open_dataset(configured("gawwn").data)
    assert isinstance(data, Images)
    return data


class Recalling(nn.Module):
    """A generator that gives for the caption of a held-out image that image, or the one after it."""

    def __init__(self, data: Images, shift: int = 0) -> None:
        super().__init__()
        assert data.captions is not None
        self.weight = nn.Parameter(torch.ones(()))
        self.rows, self.labels = torch.from_numpy(data.captions.held_out), len(data.captions)
        self.images = torch.from_numpy(np.roll(data.held_out, -shift, axis=0))

    def forward(self, latent: Tensor) -> Tensor:
        rows = latent[:, -self.labels :]
        return beside(self.images[torch.cdist(rows, self.rows).argmin(dim=1)], rows)


class Knowing(Classifier):
    """A classifier that has seen the held-out images."""

    def __init__(self, data: Images) -> None:
        assert data.held_out_labels is not None
        known = zip(data.held_out, data.held_out_labels, strict=True)
        object.__setattr__(self, "known", {image.tobytes(): int(label) for image, label in known})
        super().__init__(nn.Identity(), 1.0, len(data.held_out))  # type: ignore[arg-type]

    def labels(self, images: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.array([self.known[image.tobytes()] for image in images])  # type: ignore[attr-defined]


def finished(data: Images, generator: nn.Module) -> Finished:
    judge = ImagesJudge(replace(data, conditioned=False), Knowing(data))
    return Finished(configured("gawwn"), {"generator": generator}, generator, data, judge)


def test_images_that_are_what_their_captions_say_are_right_and_others_by_chance(boxed: Images) -> None:
    scores = caption_accuracy(finished(boxed, Recalling(boxed)))
    assert scores["caption_accuracy"] == scores["caption_accuracy_real"] == scores["caption_colour"] == 1
    assert scores["caption_accuracy_chance"] == pytest.approx(1 / 24, abs=0.03)
    assert scores["caption_colour_chance"] == pytest.approx(1 / 6, abs=0.05)
    assert scores["caption_shape_chance"] == pytest.approx(1 / 4, abs=0.05)
    others = caption_accuracy(finished(boxed, Recalling(boxed, shift=1)))
    assert others["caption_accuracy"] == pytest.approx(1 / 24, abs=0.03)


def test_images_that_fill_their_boxes_overlap_them_as_real_ones_do(boxed: Images) -> None:
    scores = box_overlap(finished(boxed, Recalling(boxed)))
    assert scores["box_overlap"] == pytest.approx(scores["box_overlap_real"], abs=0.02)
    assert scores["box_overlap_real"] > 0.6  # of pixels an eighth of the side wide
    assert scores["box_overlap_chance"] < 0.3
    assert box_overlap(finished(boxed, Recalling(boxed, shift=1)))["box_overlap"] < 0.3


def test_without_captions_there_are_no_such_scores(boxed: Images) -> None:
    plain = finished(replace(boxed, conditioned=False), Recalling(boxed))
    assert caption_accuracy(plain) == box_overlap(plain) == {}


def test_what_is_filled_is_the_smallest_box_of_bright_pixels() -> None:
    images = np.full((2, 3, 8, 8), -1, dtype=np.float32)
    images[0, 1, 2:5, 3:7] = 0.5
    assert filled(images).tolist() == [[3 / 8, 2 / 8, 7 / 8, 5 / 8], [0, 0, 0, 0]]


def test_overlaps_are_area_of_both_by_area_of_either() -> None:
    one = np.array([[0.0, 0.0, 0.5, 0.5]] * 4)
    other = np.array([[0.0, 0.0, 0.5, 0.5], [0.25, 0.0, 0.75, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert overlaps(one, other).tolist() == pytest.approx([1, 1 / 3, 0, 0])


def test_all_that_is_said_must_be_right_at_once() -> None:
    seen = {"colour": np.array([0, 1, 2, 3]), "shape": np.array([0, 0, 0, 0])}
    told = {"colour": np.array([0, 1, 2, 0]), "shape": np.array([0, 1, 0, 0])}
    assert agreement(seen, told) == {"caption_accuracy": 0.5, "caption_colour": 0.75, "caption_shape": 0.75}
