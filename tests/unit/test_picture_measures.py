"""What images that were made from pictures are measured by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_runs import configured
from torch import Tensor, nn

from training.data.arrays import Images
from training.data.pairs import Pair
from training.evaluation.judges import ImagesJudge
from training.measures import Finished
from training.measures.pictures import (
    MOST,
    bicubic,
    label_preserved,
    label_preserved_both_ways,
    likeness,
    psnr,
    ssim,
)
from training.networks.translators import Translator

Z = 3


class ByBrightness(ImagesJudge):
    """Label 1 of what is bright as a whole, else 0."""

    def __init__(self) -> None:
        pass

    def seen(self, samples: np.ndarray) -> np.ndarray:
        return (samples.mean(axis=(1, 2, 3)) > 0).astype(int)


class Times(Translator):
    def __init__(self, factor: float) -> None:
        super().__init__(shape=(1, 8, 8), latent=Z, labels=1)
        self.factor = nn.Parameter(torch.tensor(factor))

    def outputs(self, latent: Tensor) -> Tensor:
        return self.factor * self.picture(latent)


def images(pair: str | None) -> Images:
    """Five held-out images, of which the bright ones have label 1; the last is dark and has it as well."""
    random = np.random.default_rng(0)
    samples = random.uniform(0, 0.5, (5, 1, 8, 8)).astype(np.float32)
    samples[[0, 1, 4]] *= -1
    labels = np.array([0, 0, 1, 1, 1], dtype=np.uint16)
    further: dict[str, Any] = {"pair": Pair(pair)} if pair else {}
    return Images(samples, samples, "digest", labels, labels, ("dark", "bright"), **further)


def finished(variant: str, pair: str | None, factor: float, back: float = -1.0) -> Finished:
    config = configured(variant, **{"model.latent": Z})
    players = {"generator": Times(factor), "generator_back": Times(back)}
    return Finished(config, players, players["generator"], images(pair), ByBrightness())


def test_twenty_decibels_are_a_tenth_of_the_range_apart() -> None:
    black = np.zeros((2, 1, 8, 8), dtype=np.float32)
    assert psnr(black, black + 0.2) == pytest.approx(20.0, abs=1e-5)
    half = black.copy()
    half[0] += 0.2 * 2**0.5
    assert psnr(black, half) == pytest.approx(20.0, abs=1e-5), "of all pixels together"
    assert psnr(black, black) == MOST


@pytest.mark.parametrize("side", [4, 8, 16])
def test_similarity_is_1_of_the_same_and_of_flat_images_that_of_their_means(side: int) -> None:
    random = np.random.default_rng(1).uniform(-1, 1, (3, 2, side, side)).astype(np.float32)
    assert ssim(random, random) == pytest.approx(1.0)
    assert ssim(0.5 + random, 0.5 - random) < 0
    a, b = 0.5, -0.25
    flat = [np.full((1, 1, side, side), value, dtype=np.float32) for value in (a, b)]
    c1 = 0.02**2
    assert ssim(*flat) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-6)


def test_a_plane_is_enlarged_to_itself_by_cubic_interpolation_away_from_the_rim() -> None:
    ramp = np.arange(16, dtype=np.float32) / 16
    plane = np.broadcast_to(ramp, (1, 1, 16, 16))
    small = plane.reshape(1, 1, 8, 2, 8, 2).mean(axis=(3, 5))
    repeated = small.repeat(2, axis=2).repeat(2, axis=3)
    assert np.allclose(bicubic(repeated)[..., 4:-4], plane[..., 4:-4], atol=1e-6)
    assert not np.allclose(repeated, plane, atol=1e-3)


def test_labels_are_preserved_by_what_turns_pictures_into_their_images() -> None:
    # Four of five real images have their label in the eyes of this judge.
    assert label_preserved(finished("pix2pix", "invert", -1.0)) == {
        "label_preserved": 0.8,
        "label_preserved_real": 0.8,
        "label_preserved_untouched": pytest.approx(0.2),
    }
    assert label_preserved(finished("pix2pix", "invert", 1.0))["label_preserved"] == pytest.approx(0.2)


def test_the_generator_back_is_judged_by_its_pictures_turned_into_images() -> None:
    found = label_preserved_both_ways(finished("cyclegan", "invert", -1.0, back=-2.0))
    untouched = found.pop("label_preserved_untouched")
    assert untouched == pytest.approx(0.2)
    assert found == {"label_preserved": 0.8, "label_preserved_real": 0.8, "label_preserved_back": 0.8}
    wrong = label_preserved_both_ways(finished("cyclegan", "invert", -1.0, back=2.0))
    assert wrong["label_preserved_back"] == pytest.approx(0.2)
    assert "label_preserved_back" not in label_preserved_both_ways(finished("cyclegan", "edges", -1.0))


def test_enlarging_is_compared_with_interpolation() -> None:
    found = likeness(finished("srgan", "shrink", 1.0))
    assert found["psnr"] == pytest.approx(found["psnr_nearest"])
    assert found["ssim"] == pytest.approx(found["ssim_nearest"])
    assert {"psnr_bicubic", "ssim_bicubic", "label_preserved_bicubic", "label_preserved_nearest"} <= found.keys()
    assert likeness(finished("pix2pix", "invert", -1.0)) == {"psnr": MOST, "ssim": pytest.approx(1.0)}


def test_without_pictures_or_labels_there_is_nothing_to_measure() -> None:
    run = finished("pix2pix", None, 1.0)
    assert label_preserved(run) == likeness(run) == label_preserved_both_ways(run) == {}
