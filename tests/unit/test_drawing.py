"""Pictures of points and images, and what a look at them tells."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from model.picture import sheet
from training.configuration import DataConfig
from training.data import Points, open_dataset
from training.drawing import density, scatter
from training.evaluation.judges import PointsJudge
from training.observer import SEEN, ImageObserver, PointsObserver

RANDOM = np.random.default_rng(0)
COLOURS = np.array([(31, 119, 180), (255, 127, 14), (44, 160, 44)])  # of branches 1, 2, 3


def colours(png: bytes) -> list[bool]:
    """Whether each of COLOURS is in a picture, but for how lines are smoothed."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3).astype(int)
    return [bool((np.abs(pixels - colour).sum(axis=1) < 90).any()) for colour in COLOURS]


class Given(nn.Module):
    """Gives what it is told to, whatever the latents.  branches: K of which it looks at the one-hot row."""

    def __init__(self, samples: Tensor, branches: int = 0) -> None:
        super().__init__()
        self.samples = nn.Parameter(samples)
        self.branches = branches

    def forward(self, latent: Tensor) -> Tensor:
        if self.branches:
            return self.samples[latent[:, -self.branches :].argmax(dim=1)]
        return self.samples[torch.arange(len(latent)) % len(self.samples)]


def opened(name: str) -> tuple[Points, PointsJudge]:
    points = open_dataset(DataConfig(sources=(f"builtin:{name}",)))
    assert isinstance(points, Points)
    assert points.modes is not None
    return points, PointsJudge(points, points.modes)


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_each_branch_has_its_colour(dimensions: int) -> None:
    real, fake = (RANDOM.standard_normal((90, dimensions)).astype(np.float32) for _ in range(2))
    draw = density if dimensions == 1 else scatter
    origins = np.repeat([0, 1, 2], 30)
    assert colours(draw(real, fake, origins)) == [True, True, True]
    assert colours(draw(real, fake, np.zeros(90, dtype=np.intp))) == [True, False, False]


@pytest.mark.parametrize("draw", [density, scatter])
def test_any_number_of_branches_and_values_can_be_drawn(draw: object) -> None:
    assert callable(draw)
    wide = 1 if draw is density else 2
    real = np.zeros((7, wide), dtype=np.float32)
    for fake in (np.full((300, wide), 1e30), RANDOM.standard_normal((300, wide))):
        assert draw(real, fake.astype(np.float32), np.arange(300) % 100).startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(64, 1, 8, 8), (5, 3, 16, 16), (9, 4, 8, 8)])
def test_a_sheet_has_eight_images_in_a_row(shape: tuple[int, ...]) -> None:
    picture = Image.open(io.BytesIO(sheet(np.ones(shape, dtype=np.float32)[: shape[0] // 8 * 8 or shape[0]])))
    assert picture.size[0] == 4 * shape[3] * min(8, shape[0])


def test_a_look_at_points_tells_modes_beside_those_of_as_many_real_ones() -> None:
    points, judge = opened("ring")
    assert points.modes is not None
    seen = PointsObserver(points, 2, judge).look(Given(torch.from_numpy(points.modes.centres[:2])))
    assert seen.suffix == ".png"
    assert (seen.scores["modes"], seen.scores["modes_floor"]) == (2, 8)
    assert seen.scores["reverse_kl"] == pytest.approx(np.log(4))
    assert (seen.scores["high_quality"], seen.scores["high_quality_floor"]) == (1, pytest.approx(0.989, abs=0.01))
    assert "forward_kl" not in seen.scores
    assert "forward_kl_floor" not in seen.scores


def test_a_look_at_a_generator_with_branches_draws_each_in_its_colour() -> None:
    points, judge = opened("ring")
    assert points.modes is not None
    seen = PointsObserver(points, 2, judge).look(Given(torch.from_numpy(points.modes.centres[:3]), branches=3))
    assert seen.scores["modes"] == 3
    assert colours(seen.samples) == [True, True, True]


def test_a_look_at_a_line_is_in_the_datas_own_units() -> None:
    points, judge = opened("mixture1d")
    assert points.modes is not None
    seen = PointsObserver(points, 2, judge).look(Given(torch.from_numpy(points.modes.centres)))
    assert seen.scores["modes"] == 5
    assert {"density_kl", "density_kl_floor"} <= set(seen.scores)


def test_data_without_a_judge_is_looked_at_without_scores() -> None:
    roll = open_dataset(DataConfig(sources=("builtin:swissroll",)))
    assert isinstance(roll, Points)
    assert PointsObserver(roll, 2).look(Given(torch.zeros(3, 2))).scores == {}
    assert ImageObserver(2).look(Given(torch.zeros(3, 1, 8, 8))).scores == {}
    assert len(roll.held_out) > SEEN
