"""What generated images are scored by beside their captions and boxes, and images that a person asks for in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_runs import SIZE
from torch import Tensor, nn

from model.errors import ConfigurationError
from training.catalogue import CATALOGUE
from training.checkpoint import save_checkpoint
from training.conditions import beside
from training.configuration import Config
from training.data import Images, open_dataset
from training.evaluation.classifier import Classifier
from training.evaluation.judges import ImagesJudge
from training.layering import resolve
from training.measures import Finished
from training.measures.captions import agreement, box_overlap, caption_accuracy, filled, overlaps
from training.painting import paint, wished
from training.preparation import start
from training.runs import write_json

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


def begun(run: Path, variant: str) -> Path:
    """A run that was saved before its first round; its weights are larger, so that what it is told shows in bytes."""
    config = configured(variant)
    dataset = open_dataset(config.data)
    assert isinstance(dataset, Images)
    training, _ = start(config, dataset, CPU)
    with torch.no_grad():
        for weight in training.average.module.parameters():
            weight.mul_(5)
    save_checkpoint(run / "checkpoints", training.state_dict())
    write_json(run / "data.json", {"digest": dataset.digest})
    write_json(run / "config.json", config.model_dump(mode="json"))
    return run


def test_a_sheet_is_painted_of_a_caption_the_same_each_time(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", "gan-cls")
    red = paint(run, "a small red circle at the top left", n=2)
    assert red.startswith(b"\x89PNG")
    assert red == paint(run, "A small red circle, at the top left", n=2)
    assert red != paint(run, "a small blue circle at the top left", n=2)
    with pytest.raises(ConfigurationError, match="was told of no boxes: leave --box out"):
        paint(run, "a red circle", box="0,0,1,1")


def test_a_run_on_boxes_paints_into_one(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", "gawwn")
    one, other = (paint(run, "a red circle", box=box, n=2) for box in ("0,0,0.5,0.5", "0.5,0.5,1,1"))
    assert one != other


def test_a_run_without_captions_cannot_paint(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", "dcgan")
    with pytest.raises(ConfigurationError, match="was not trained on captions"):
        paint(run, "a red circle")


@pytest.mark.parametrize(
    ("caption", "box", "told"),
    [
        ("a red circle", None, "the run needs --box"),
        ("a", "0,0,1,1", "the caption says nothing"),
        ("a pink circle", "0,0,1,1", "'pink', and the words known are red"),
        ("a red circle", "0,0,1", "--box must be left,top,right,bottom"),
        ("a red circle", "0.5,0,0.5,1", "--box must be left,top,right,bottom"),
        ("a red circle", "0,0,1,1.5", "--box must be left,top,right,bottom"),
        ("a red circle", "0,0,1,x", "got '0,0,1,x'"),
        ("a red circle", "0,0,1,nan", "--box must be left,top,right,bottom"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(boxed: Images, caption: str, box: str | None, told: str) -> None:
    assert boxed.captions is not None
    with pytest.raises(ConfigurationError, match=told):
        wished(boxed.captions, caption, box)


def test_a_wish_is_the_words_and_the_box(boxed: Images) -> None:
    assert boxed.captions is not None
    row: Any = wished(boxed.captions, "a white cross", "0.1,0.2,0.3,0.4")
    assert row.tolist() == pytest.approx([0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0.1, 0.2, 0.3, 0.4])
