"""Stacked images: three at random in the channels of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import ConfigurationError
from training.configuration import DataConfig
from training.data import Images, open_dataset
from training.data.resident import Store
from training.data.stacks import STACKS, Stacks

CPU = torch.device("cpu")


def opened(source: Path | str = "builtin:stacked-digits", **options: object) -> Images:
    data = open_dataset(DataConfig(sources=(str(source),), **options))
    assert isinstance(data, Images)
    return data


def saved(path: Path, channels: int = 1, labels: int = 10) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, channels, 8, 8), dtype=np.uint8)
    np.savez(path, x=pixels, y=np.arange(60) % labels)
    return path


def test_each_channel_of_a_stack_is_a_training_image_and_its_label_is_theirs() -> None:
    data = opened()
    base = data.base
    assert base is not None
    assert isinstance(data.train, Stacks)
    assert base.train_labels is not None
    assert data.train_labels is not None
    assert data.shape == (3, 8, 8)
    assert (len(data), len(data.label_names)) == (STACKS, 1000)
    rows = np.array([5, 0, 77_777])
    drawn = data.draw(rows, CPU).numpy()
    for row, stack in zip(rows, drawn, strict=True):
        chosen = data.train.chosen[row]
        assert np.array_equal(stack, base.train[chosen][:, 0])
        assert data.label_names[data.train_labels[row]] == " ".join(str(d) for d in base.train_labels[chosen])


def test_all_images_have_their_turn_in_every_channel_and_channels_are_independent() -> None:
    train = opened().train
    assert isinstance(train, Stacks)
    count = len(train.images)
    for channel in train.chosen.T:
        shares = np.bincount(channel, minlength=count)
        assert abs(np.sum((shares - STACKS / count) ** 2) / (STACKS / count) - count) < 6 * (2 * count) ** 0.5
    assert np.abs(np.corrcoef(train.chosen.T) - np.eye(3)).max() < 5 / STACKS**0.5


def test_held_out_stacks_are_of_held_out_images() -> None:
    data = opened()
    assert data.base is not None
    assert data.held_out.dtype == np.float32
    channels = {plane.tobytes() for stack in data.held_out for plane in stack}
    assert channels <= {image.tobytes() for image in data.base.held_out[:, 0]}


def test_stacks_depend_on_the_seed_of_the_data_alone() -> None:
    chosen = [opened(seed=seed).train for seed in (0, 0, 1)]
    assert all(isinstance(each, Stacks) for each in chosen)
    first, again, other = (each.chosen for each in chosen if isinstance(each, Stacks))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:100], other[:100])


def test_a_users_images_are_stacked_by_an_option_as_bytes(tmp_path: Path) -> None:
    data = opened(saved(tmp_path / "mnist.npz"), label="y", stack=True)
    assert data.shape == (3, 8, 8)
    assert data.train[np.array([1, 2])].dtype == np.uint8
    assert len(data.label_names) == 1000
    store, rows = Store(data, CPU, 1 << 30), np.array([3, 1])
    assert torch.equal(store.samples(store.travelling(rows)), data.draw(rows, CPU))


def test_without_labels_they_are_learned_all_the_same_and_it_is_said(tmp_path: Path) -> None:
    data = opened(saved(tmp_path / "mnist.npz"), stack=True)
    assert data.train_labels is None
    assert "modes cannot be counted without labels: data.label" in data.notes[-1]


def test_images_of_colours_and_too_many_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="of three of one channel, and these have 3: leave it out"):
        opened(saved(tmp_path / "a.npz", channels=3), stack=True)
    with pytest.raises(ConfigurationError, match="at most 40 labels, got 41"):
        opened(saved(tmp_path / "a.npz", labels=41), label="y", stack=True)
