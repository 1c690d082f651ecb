"""Pairs: images beside pictures that are made of them, or of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import CPU

from model.errors import ConfigurationError
from model.latents import latents
from training.configuration import DataConfig
from training.data import Images, open_dataset
from training.data.pairs import BACK, MAKERS, Sources, edges, partners, rotate, shrink
from training.loop import Draws

DIGITS = ("builtin:digits",)


def digits(**asked: object) -> Images:
    found = open_dataset(DataConfig(sources=DIGITS, **asked))
    assert isinstance(found, Images)
    return found


@pytest.mark.parametrize("name", BACK)
def test_what_undoes_a_picture_gives_the_image_back(name: str) -> None:
    images = torch.arange(2.0 * 3 * 8 * 8).view(2, 3, 8, 8)
    assert not torch.equal(MAKERS[name](images), images)
    assert torch.equal(BACK[name](MAKERS[name](images)), images)


def test_a_quarter_turn_brings_the_right_side_to_the_top() -> None:
    image = torch.zeros(1, 1, 4, 4)
    image[..., -1] = 1
    assert torch.equal(rotate(image)[0, 0, 0], torch.ones(4))
    assert rotate(image)[0, 0, 1:].sum() == 0


def test_a_small_picture_is_the_mean_of_four_pixels_repeated() -> None:
    image = torch.tensor([[1.0, 3.0, 0.0, 0.0], [5.0, 7.0, 0.0, 8.0]]).view(1, 1, 2, 4)
    assert shrink(image)[0, 0].tolist() == [[4, 4, 2, 2], [4, 4, 2, 2]]


def test_edges_are_where_an_image_changes_and_as_bright_as_it_does() -> None:
    image = torch.full((1, 1, 4, 6), -1.0)
    image[..., 3:] = 0.0
    # Half of the step from -1 to 0 on either side of it, which is a length of 1/2, and so 0.
    assert edges(image)[0, 0, 0].tolist() == [-1, -1, 0, 0, -1, -1]
    assert edges(7 * image).max() == 1


@pytest.mark.parametrize("name", MAKERS)
def test_every_picture_stands_after_its_image_and_within_its_range(name: str) -> None:
    data, plain = digits(pair=name), digits()
    rows = np.array([0, 5, 5, 700])
    drawn = data.draw(rows, CPU)
    assert drawn.shape == (4, *data.shape) == (4, 2, 8, 8)
    assert torch.equal(drawn[:, :1], plain.draw(rows, CPU))
    assert torch.equal(drawn[:, 1:], MAKERS[name](drawn[:, :1]))
    assert drawn.abs().max() <= 1
    assert np.array_equal(data.train_labels, plain.train_labels)
    assert not data.labels


def test_partners_are_all_rows_and_none_its_own() -> None:
    found = partners(1000, 3)
    assert sorted(found) == list(range(1000))
    assert not np.any(found == np.arange(1000))
    assert not np.array_equal(found, partners(1000, 4))


def test_without_pairs_the_picture_is_of_another_image_but_those_held_out_stay_together() -> None:
    data, plain = digits(pair="invert", unpaired=True), digits()
    rows = np.arange(50)
    others = partners(len(data), 0)[rows]
    assert torch.equal(data.draw(rows, CPU)[:, 1:], -plain.draw(others, CPU))
    asked = data.asked
    assert isinstance(asked, Sources)
    assert np.array_equal(asked.pictures, -data.held_out)


def test_bytes_become_pairs_too() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8)).astype(np.uint8)
    data = replace(digits(pair="invert"), train=images, train_labels=None, held_out_labels=None)
    drawn = data.draw(np.arange(3), CPU)
    assert drawn.shape == (3, 6, 8, 8)
    assert torch.equal(drawn[:, 3:], -drawn[:, :3])


def test_generated_samples_get_the_pictures_of_the_real_ones() -> None:
    data = digits(pair="edges")
    batch = Draws(data, 6, 5, 0, CPU).batch(2, 1)
    assert batch.latent.shape == (6, 5 + 64)
    assert torch.equal(batch.latent[:, 5:], batch.real[:, 1:].flatten(1))


def test_looks_ask_for_held_out_pictures_in_turn() -> None:
    data = digits(pair="invert")
    asked, many = data.asked, len(data.held_out)
    rows = asked.rows(7, many - 1, 3, 5)
    assert np.array_equal(rows[:, :5], latents(7, many - 1, 3, 5))
    assert np.array_equal(rows[:, 5:], -data.held_out[[many - 1, 0, 1]].reshape(3, -1))
    assert isinstance(asked, Sources)
    sheet = asked.beside(np.zeros((2, 1, 8, 8), dtype=np.float32))
    assert np.array_equal(sheet, np.concatenate([-data.held_out[:2], 0 * data.held_out[:2], data.held_out[:2]], axis=3))


def test_what_cannot_be_paired_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("one\ntwo\nthree\n")
    for sources, further, reason in [
        (("builtin:ring",), {}, "data.pair makes pictures of images, and builtin:ring is points"),
        ((str(path),), {}, "data.pair = edges makes pictures of images, and this data is text"),
        (DIGITS, {"condition": True}, "data.pair = edges and data.condition both say what a sample is made of"),
    ]:
        with pytest.raises(ConfigurationError, match=reason):
            open_dataset(DataConfig(sources=sources, pair="edges", **further))
