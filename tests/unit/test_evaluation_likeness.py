"""Scores of likeness on features of which the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from grey_images import plain
from numpy.typing import NDArray

from training.configuration import DataConfig
from training.data import Points, open_dataset
from training.data.arrays import Images
from training.data.stacks import stacked
from training.evaluation import likeness as module
from training.evaluation.classifier import Classifier, train_classifier
from training.evaluation.judges import ImagesJudge, PointsJudge
from training.evaluation.likeness import (
    Likeness,
    classifier_score,
    disjoint,
    frechet_distance,
    precision_recall,
    scores_in,
)
from training.evaluation.mode_table import mode_table

CPU = torch.device("cpu")


def normal(n: int, f: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, f))


def exactly(mean: list[float], covariance: list[list[float]], n: int = 20, seed: int = 0) -> NDArray[np.float64]:
    """Features whose own mean and covariance are these, and not those of a law that they were drawn from."""
    x = normal(n, len(mean), seed)
    x -= x.mean(axis=0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T).reshape(len(mean), -1))).T
    return np.array(mean) + white @ np.linalg.cholesky(np.array(covariance)).T


@pytest.mark.parametrize(("labels", "score"), [([0, 1, 2, 3], 4.0), ([2, 2, 2, 2], 1.0), ([0, 0, 1, 1], 2.0)])
def test_the_classifier_score_is_the_number_of_labels_that_are_surely_there(labels: list[int], score: float) -> None:
    assert classifier_score(np.eye(4)[labels]) == pytest.approx(score, rel=1e-12)


def test_images_of_no_label_in_particular_score_1() -> None:
    assert classifier_score(np.full((3, 4), 0.25)) == pytest.approx(1.0, rel=1e-12)


def test_the_classifier_score_is_exp_of_the_mutual_information_of_sample_and_label() -> None:
    sure = 0.9
    found = classifier_score(np.array([[sure, 1 - sure], [1 - sure, sure]]))
    assert found == pytest.approx(2 * math.exp(sure * math.log(sure) + (1 - sure) * math.log(1 - sure)), rel=1e-12)


def test_the_frechet_distance_of_equal_spreads_is_that_of_the_means() -> None:
    one = exactly([0, 0], [[2, 1], [1, 3]])
    assert frechet_distance(one, exactly([3, 4], [[2, 1], [1, 3]], n=30, seed=1)) == pytest.approx(25, rel=1e-9)


def test_along_the_axes_it_is_that_of_the_standard_deviations_too() -> None:
    one, other = exactly([1, 0], [[4, 0], [0, 9]]), exactly([0, 0], [[1, 0], [0, 25]], n=11, seed=1)
    assert frechet_distance(one, other) == pytest.approx(1 + (2 - 1) ** 2 + (3 - 5) ** 2, rel=1e-9)


def test_it_takes_covariances_that_do_not_commute() -> None:
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[4.0, -1.0], [-1.0, 0.5]])
    assert not np.allclose(a @ b, b @ a)
    # Of a matrix of 2 x 2 with eigenvalues x, y: (x^(1/2) + y^(1/2))^2 = x + y + 2 (x y)^(1/2).
    root = math.sqrt(np.trace(a @ b) + 2 * math.sqrt(np.linalg.det(a @ b)))
    found = frechet_distance(exactly([0, 0], a.tolist()), exactly([0, 0], b.tolist(), n=50, seed=1))
    assert found == pytest.approx(np.trace(a) + np.trace(b) - 2 * root, rel=1e-9)


@pytest.mark.parametrize("n", [2, 5, 200])
def test_a_set_is_at_no_distance_from_itself_where_samples_are_fewer_than_features_too(n: int) -> None:
    x = 100 * normal(n, 40)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12 * np.square(x).sum())


def test_features_that_never_differ_are_a_gaussian_of_no_spread() -> None:
    one, other = exactly([0, 0], [[4, 0], [0, 9]]), np.zeros((7, 2))
    assert frechet_distance(one, other) == pytest.approx(13, rel=1e-9)


def test_the_distance_of_samples_of_one_law_falls_as_they_become_more() -> None:
    found = [frechet_distance(normal(n, 10, 0), normal(n, 10, 1)) for n in (50, 500, 5000)]
    assert found[0] > 3 * found[1] > 9 * found[2] > 0


def test_a_covariance_needs_two_samples() -> None:
    with pytest.raises(ValueError, match="a covariance needs at least 2 samples, got 1 and 3"):
        frechet_distance(normal(1, 2), normal(3, 2))


def test_a_set_is_precise_and_complete_for_itself() -> None:
    x = normal(50, 5)
    assert precision_recall(x, x) == (1.0, 1.0)
    assert precision_recall(np.ones((6, 3)) / 3, np.ones((9, 3)) / 3) == (1.0, 1.0)


def test_sets_that_are_far_apart_have_nothing_in_common() -> None:
    assert precision_recall(normal(50, 5), normal(50, 5, 1) + 100) == (0.0, 0.0)


def test_one_good_sample_again_and_again_is_precise_and_recalls_that_one_alone() -> None:
    real = normal(50, 5)
    assert precision_recall(real, np.repeat(real[:1], 20, axis=0)) == (1.0, 1 / 50)


def test_samples_of_half_the_modes_are_precise_and_recall_half_and_stray_ones_cost_precision() -> None:
    real, half = np.concatenate([normal(40, 2), normal(40, 2, 1) + 100]), normal(40, 2)
    assert precision_recall(real, half) == (1.0, 0.5)
    assert precision_recall(half, real) == (0.5, 1.0)


def test_the_reach_is_the_distance_to_the_third_neighbour_and_it_is_enough_to_be_at_its_end() -> None:
    line = np.array([[0.0], [1.0], [2.0], [4.0], [50.0]])
    # The reaches are 4, 3, 2, 4 and 49: what lies among them is between -4 and 99.
    for place, among in ((-4.0, 1.0), (-4.1, 0.0), (99.0, 1.0), (99.1, 0.0)):
        assert precision_recall(line, np.array([[place]] * 4))[0] == among


def test_blocks_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = normal(70, 3), normal(50, 3, 1) + 1.5
    apart = np.linalg.norm(real[:, None] - generated, axis=2)

    def reach(samples: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sort(np.linalg.norm(samples[:, None] - samples, axis=2), axis=1)[:, 3]

    expected = (
        float((apart <= reach(real)[:, None]).any(axis=0).mean()),
        float((apart <= reach(generated)).any(axis=1).mean()),
    )
    assert 0 < min(expected) < max(expected) < 1
    monkeypatch.setattr(module, "SLICE", 16)
    assert precision_recall(real, generated) == expected


def test_a_third_neighbour_needs_four_samples() -> None:
    with pytest.raises(ValueError, match="the neighbour of number 3 needs more samples, got 9 and 3"):
        precision_recall(normal(9, 2), normal(3, 2))


def test_samples_are_compared_in_features_of_ones_own() -> None:
    real = exactly([0, 0, 0], np.eye(3).tolist(), n=40).astype(np.float32)
    parts: list[int] = []

    def first_two(samples: torch.Tensor) -> torch.Tensor:
        parts.append(len(samples))
        return 2 * samples[:, :2]

    found = scores_in(first_two, real, real + np.array([3, 0, 50], dtype=np.float32), slice_size=30)
    assert found["frechet"] == pytest.approx(36, rel=1e-4)
    assert parts == [30, 10, 30, 10]
    assert (found["precision"], found["recall"]) == precision_recall(real[:, :2], real[:, :2] + np.array([3, 0]))


def test_the_two_real_sets_have_nothing_in_common() -> None:
    one, other = disjoint(11, 100, np.random.default_rng(0))
    assert len({*one, *other}) == len(one) + len(other) == 10
    assert [len(rows) for rows in disjoint(11, 3, np.random.default_rng(0))] == [3, 3]


@pytest.mark.parametrize("features", [normal(3, 2), np.array([[np.nan, 0]] * 9)], ids=["few", "not finite"])
def test_what_is_not_defined_is_none(features: NDArray[np.float64]) -> None:
    like = Likeness(normal(20, 2), normal(20, 2, 1), lambda x: x)
    assert like.scores(features) == {"precision": None, "recall": None}


@pytest.fixture(scope="module")
def judged() -> tuple[Images, Classifier]:
    images = plain((2, 2, 2))
    return images, train_classifier(images, CPU)


def test_images_in_a_table_are_held_against_training_ones_and_so_are_others_of_these(
    judged: tuple[Images, Classifier],
) -> None:
    images, classifier = judged
    half = len(images) // 2
    table = mode_table(ImagesJudge(images, classifier), [images.train[:100], images.train[100:]], len(images), seed=0)
    real, model = table["real"], table["model"]
    for row in (real, model):
        assert 2.5 < (row["classifier_score"] or 0) <= 3
        assert 0.7 < (row["precision"] or 0) <= 1
        assert 0.7 < (row["recall"] or 0) <= 1
    assert f"of {half} samples against {half} training ones" in table.plain(300)
    assert set(table.columns) == set(table.definitions)


def test_images_of_one_label_score_1_and_recall_no_other(judged: tuple[Images, Classifier]) -> None:
    images, classifier = judged
    assert images.train_labels is not None
    one = images.train[np.flatnonzero(images.train_labels == 1)]
    table = mode_table(ImagesJudge(images, classifier), [one], len(one), seed=0)
    real, model = table["real"], table["model"]
    assert model["classifier_score"] == pytest.approx(1, abs=0.05)
    assert (model["recall"] or 0) < 0.5 < (model["precision"] or 0)
    assert (model["classifier_frechet"] or 0) > 20 * (real["classifier_frechet"] or 0) > 0


def test_points_are_held_against_training_ones_as_they_are() -> None:
    ring = open_dataset(DataConfig(sources=("builtin:ring",)))
    assert isinstance(ring, Points)
    assert ring.modes is not None
    judge = PointsJudge(ring, ring.modes)
    centre = mode_table(judge, [np.zeros((50, 2), dtype=np.float32)], 50, seed=0)
    assert (centre["model"]["precision"], centre["model"]["recall"]) == (0, 0)
    assert (centre["real"]["precision"] or 0) > 0.6
    assert "classifier_score" not in centre.columns


def test_stacks_are_there_to_count_modes_alone(judged: tuple[Images, Classifier]) -> None:
    assert ImagesJudge(stacked(judged[0], DataConfig()), judged[1]).likeness is None
