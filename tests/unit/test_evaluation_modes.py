"""Modes counted by hand: samples that stand at known modes give known scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.arrays import Modes
from training.data.toys import grid, mixture1d, ring
from training.evaluation import modes as module
from training.evaluation.modes import coverage, density_kl, divergence, point_scores, reached

CORNERS = Modes(np.array([[0, 0], [0, 10], [10, 0], [10, 10]], dtype=np.float32), 0.5)


def at(*counts: int, of: Modes = CORNERS) -> NDArray[np.float32]:
    """So many points exactly at each mode."""
    return np.repeat(of.centres, counts, axis=0)


def test_even_samples_at_every_mode_have_the_scores_of_the_data() -> None:
    assert point_scores(at(3, 3, 3, 3), CORNERS) == {
        "modes": 4, "high_quality": 1, "reverse_kl": 0, "forward_kl": 0,
    }  # fmt: skip


def test_all_samples_at_one_of_k_modes_are_log_k_away() -> None:
    found = point_scores(at(7, 0, 0, 0), CORNERS)
    assert (found["modes"], found["high_quality"]) == (1, 1)
    assert found["reverse_kl"] == pytest.approx(math.log(4))
    assert found["forward_kl"] is None  # infinite


def test_both_divergences_are_those_of_the_shares() -> None:
    found = point_scores(at(4, 2, 1, 1), CORNERS)
    shares = [1 / 2, 1 / 4, 1 / 8, 1 / 8]
    assert found["reverse_kl"] == pytest.approx(sum(q * math.log(q / 0.25) for q in shares))
    assert found["forward_kl"] == pytest.approx(sum(0.25 * math.log(0.25 / q) for q in shares))


def test_one_stray_sample_counts_as_a_mode_and_does_not_fool_the_divergence() -> None:
    collapsed, stray = (point_scores(at(2499, count, 0, 0), CORNERS) for count in (0, 1))
    assert (collapsed["modes"], stray["modes"]) == (1, 2)
    assert stray["reverse_kl"] == pytest.approx(collapsed["reverse_kl"], abs=0.004)


@pytest.mark.parametrize(("deviations", "counts"), [(2.99, True), (3.01, False)])
def test_a_mode_is_reached_within_three_standard_deviations_over_all_dimensions(
    deviations: float, counts: bool
) -> None:
    point = CORNERS.centres[2] + deviations * CORNERS.sd * np.array([0.6, 0.8])
    assert reached(point[np.newaxis].astype(np.float32), CORNERS).tolist() == [0, 0, int(counts), 0]


def test_samples_between_modes_are_of_low_quality_and_have_no_part_in_the_divergences() -> None:
    between = np.full((5, 2), 5, dtype=np.float32)
    found = point_scores(np.concatenate([at(2, 1, 1, 1), between]), CORNERS)
    assert found["high_quality"] == 0.5
    assert found["reverse_kl"] == point_scores(at(2, 1, 1, 1), CORNERS)["reverse_kl"]


def test_samples_that_reach_no_mode_have_no_divergence() -> None:
    found = point_scores(np.full((5, 2), 5, dtype=np.float32), CORNERS)
    assert found == {"modes": 0, "high_quality": 0, "reverse_kl": None, "forward_kl": None}


def test_values_that_are_not_finite_reach_no_mode() -> None:
    points = np.array([[np.nan, 0], [np.inf, 0], [0, 0]], dtype=np.float32)
    assert reached(points, CORNERS).tolist() == [1, 0, 0, 0]


def test_distances_are_in_each_modes_own_deviations() -> None:
    pair = Modes(np.array([[0], [10]], dtype=np.float32), np.array([4.0, 0.1]))
    assert reached(np.array([[9.0], [9.8]], dtype=np.float32), pair).tolist() == [1, 1]


def test_many_points_are_counted_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 3)
    assert reached(at(4, 0, 5, 1), CORNERS).tolist() == [4, 0, 5, 1]


@pytest.mark.parametrize(("mixture", "share"), [(ring(), 1 - math.exp(-4.5)), (grid(), 1 - math.exp(-4.5)),
                                                (mixture1d(), math.erf(3 / math.sqrt(2)))])  # fmt: skip
def test_real_samples_have_the_quality_of_a_gaussian_and_an_even_spread(mixture: Modes, share: float) -> None:
    n = 50_000
    found = point_scores(mixture.draw(n, np.random.default_rng(0))[0], mixture)
    assert found["modes"] == len(mixture)
    assert found["high_quality"] == pytest.approx(share, abs=5 * (share * (1 - share) / n) ** 0.5)
    # 2 n KL is chi-squared of K - 1.
    for key in ("reverse_kl", "forward_kl"):
        assert 2 * n * (found[key] or 0) < len(mixture) - 1 + 6 * (2 * len(mixture)) ** 0.5


def test_counts_of_uneven_data_are_held_against_its_own_shares() -> None:
    shares = np.array([0.5, 0.25, 0.25])
    assert coverage(np.array([20, 10, 10]), shares) == {"modes": 3, "reverse_kl": 0, "forward_kl": 0}
    assert coverage(np.array([1, 0, 0]), shares)["reverse_kl"] == pytest.approx(math.log(2))


def test_a_mode_that_the_data_lacks_makes_the_reverse_divergence_infinite() -> None:
    assert divergence(np.array([1.0, 1.0]), np.array([1.0, 0.0])) == math.inf
    assert coverage(np.array([1, 1]), np.array([1.0, 0.0]))["reverse_kl"] is None


def test_histograms_of_shares_have_their_divergence() -> None:
    data = np.repeat([10.1, 60.1], [50, 50])
    assert density_kl(data, data) == 0
    assert density_kl(np.repeat([10.2, 60.3], [3, 1]), data) == pytest.approx(
        0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    )
    assert density_kl(np.full(9, 10.1), data) == pytest.approx(math.log(2))


def test_a_histogram_leaves_out_bins_without_data_and_what_is_beyond() -> None:
    data = np.repeat([10.1, 60.1], [50, 50])
    strayed = np.concatenate([data, np.full(30, 40.0), [-500.0, 500.0]])
    assert density_kl(strayed, data) == 0
    assert density_kl(np.full(3, 40.0), data) is None
