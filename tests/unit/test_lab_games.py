"""The laboratory's games of two numbers and its measures, against what can be worked out by hand."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch

from training.divergences import minimax, wasserstein
from training.game import Game
from training.lab.convergence import clipped
from training.lab.eigenvalues import largest_step, spectrum, turning, update_jacobian
from training.lab.fields import curl, jacobian, step_from, top
from training.lab.figure import Claim, Lab, rounded
from training.lab.games import COUPLING, NOISE, ORIGIN, STEPS, H, away, bilinear, dirac, path, position, saddle
from training.updates import Alternating, Consensus, Simultaneous

GAMMAS = [0.0, 0.5, 1.0, 3.0]


def saddle_eigenvalue(gamma: float) -> float:
    """The larger one of -(M + gamma M'M), M = ((-1, c), (-c, 1)), the field's Jacobian at 0."""
    return -gamma * (1 + COUPLING**2) + math.sqrt(1 - COUPLING**2 + 4 * COUPLING**2 * gamma**2)


def test_the_bilinear_field_is_a_curl_without_divergence() -> None:
    matrix = jacobian(bilinear, Simultaneous())
    assert matrix == pytest.approx(np.array([[0, -1], [1, 0]]), abs=1e-9)
    assert curl(matrix) == pytest.approx(2.0)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_consensus_adds_a_contraction_of_gamma_to_the_bilinear_field(gamma: float) -> None:
    assert jacobian(bilinear, Consensus(gamma)) == pytest.approx(np.array([[-gamma, -1], [1, -gamma]]), abs=1e-8)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_saddles_largest_eigenvalue_is_that_of_the_formula(gamma: float) -> None:
    assert top(jacobian(saddle, Consensus(gamma))) == pytest.approx(saddle_eigenvalue(gamma), abs=1e-7)


def test_the_saddle_begins_to_attract_where_gamma_passes_one_over_the_root_of_one_minus_c_squared() -> None:
    threshold = 1 / math.sqrt(1 - COUPLING**2)
    assert saddle_eigenvalue(threshold) == pytest.approx(0.0, abs=1e-12)
    assert top(jacobian(saddle, Consensus(0.95 * threshold))) > 0 > top(jacobian(saddle, Consensus(1.05 * threshold)))


def test_the_saddles_equilibria_are_where_no_player_would_move() -> None:
    x = math.sqrt(1 - COUPLING**2)
    for place in ((x, COUPLING * x), (-x, -COUPLING * x), (0.0, 0.0)):
        assert step_from(saddle, Simultaneous(), *place) == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_eigenvalues_by_autograd_are_minus_gamma_and_plus_minus_i(gamma: float) -> None:
    assert sorted(spectrum(bilinear(0, 0), ORIGIN, gamma), key=np.imag) == pytest.approx([-gamma - 1j, -gamma + 1j])
    assert sorted(spectrum(dirac(minimax, 0, 0), ORIGIN, gamma), key=np.imag) == pytest.approx(
        [-gamma / 4 - 0.5j, -gamma / 4 + 0.5j]
    )


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_jacobian_by_autograd_is_that_of_the_rules_own_step(gamma: float) -> None:
    place, small = (0.3, -0.7), 1e-5
    columns = [
        (step_from(saddle, Consensus(gamma), place[0] + small * x, place[1] + small * y)
         - step_from(saddle, Consensus(gamma), place[0] - small * x, place[1] - small * y)) / (2 * small)
        for x, y in ((1, 0), (0, 1))
    ]  # fmt: skip
    assert update_jacobian(saddle(*place), ORIGIN, gamma) == pytest.approx(np.stack(columns, axis=1), abs=1e-6)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_largest_step_is_twice_gamma_over_one_plus_its_square(gamma: float) -> None:
    found = largest_step(spectrum(bilinear(0, 0), ORIGIN, gamma))
    assert found == pytest.approx(2 * gamma / (1 + gamma**2), abs=1e-12)


@pytest.mark.parametrize(("share", "converges"), [(0.9, True), (1.1, False)])
def test_steps_below_the_largest_one_converge_and_those_above_do_not(share: float, converges: bool) -> None:
    factor = 1 + share * largest_step(np.array([-1 + 2j, -1 - 2j])) * (-1 + 2j)
    assert (abs(factor) < 1) == converges


def test_turning_is_the_median_of_the_complex_eigenvalues_alone() -> None:
    assert turning(np.array([-1 + 2j, -1 - 2j, -5 + 0j])) == pytest.approx(2.0)
    assert turning(np.array([1j, -1j])) == math.inf
    assert turning(np.array([-3 + 0j])) == 0.0


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rule", [Simultaneous(), Alternating()], ids=["simultaneous", "alternating"])
def test_paths_with_momentum_are_those_of_the_heavy_ball(rule: Simultaneous | Alternating, momentum: float) -> None:
    x, y, u, v = 1.0, 1.0, 0.0, 0.0
    for _ in range(50):
        before = x
        u = momentum * u + y
        x -= H * u
        v = momentum * v - (x if isinstance(rule, Alternating) else before)
        y -= H * v
    assert path(bilinear(1, 1), rule, 50, momentum)[-1] == pytest.approx([x, y], rel=1e-9)


def test_momentum_makes_both_rules_spiral_out_faster() -> None:
    for rule in (Simultaneous(), Alternating()):
        ends = [away(path(bilinear(1, 1), rule, 100, momentum))[-1] for momentum in (0.0, 0.5, 0.9)]
        assert ends[0] < ends[1] < ends[2]


def test_a_path_begins_where_the_game_does_and_simultaneous_steps_spiral_out_of_it() -> None:
    distances = away(path(bilinear(1, 1), Simultaneous()))
    assert distances[0] == pytest.approx(math.sqrt(2))
    assert distances[-1] == pytest.approx(math.sqrt(2) * (1 + H**2) ** (STEPS / 2))


def test_the_noise_is_of_mean_0_and_of_nearly_unit_variance() -> None:
    assert NOISE.mean().item() == pytest.approx(0.0, abs=1e-12)
    assert NOISE.square().mean().item() == pytest.approx(1.0, abs=0.05)


def test_noise_shown_to_the_critic_moves_neither_player_at_the_equilibrium() -> None:
    game = dirac(minimax, 0.0, 0.0, see=lambda samples, _: samples + NOISE)
    assert path(game, Simultaneous(), 3)[-1] == pytest.approx([0, 0], abs=1e-12)


def test_a_clipped_critic_stays_within_the_bound() -> None:
    where = path(clipped(dirac(wasserstein), 1.0), Simultaneous())
    assert np.abs(where[:, 0]).max() == 1.0
    assert np.abs(where[:, 1]).max() > 1.0


def test_steps_from_a_place_leave_it_to_others() -> None:
    places: list[Game] = []
    step_from(lambda x, y: places.append(bilinear(x, y)) or places[-1], Simultaneous(), 0.5, 0.25)
    assert position(places[0]) == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize(
    ("value", "relation", "holds"), [(1.0, "<", True), (3.0, "<", False), (3.0, ">", True), (math.nan, "<", False)]
)
def test_a_claim_holds_on_its_side_of_the_bound_and_never_without_a_number(
    value: float, relation: Literal["<", ">"], holds: bool
) -> None:
    claim = Claim("it is so", "number", value, relation, 2.0)
    assert claim.holds == holds
    assert claim.to_dict()["must be"] == f"{relation} 2"


def test_numbers_are_given_by_three_digits() -> None:
    assert [rounded(value) for value in (17.0160378, 4.0177e-22, 0.0, math.inf)] == [17.0, 4.02e-22, 0.0, None]


def test_quick_figures_play_a_500th_of_the_rounds() -> None:
    assert [Lab(quick=quick).rounds(1500) for quick in (False, True)] == [1500, 3]
    assert Lab(quick=True).rounds(50) == 2


def test_cases_are_done_in_order_and_told_of() -> None:
    told: list[str] = []
    assert Lab(say=told.append).each(lambda lab, case: case * 2, [1, 2]) == [2, 4]
    assert told == ["1 of 2 runs", "2 of 2 runs"]


def test_autograds_eigenvalues_of_a_game_with_minibatches_are_of_the_batch_given() -> None:
    batch = torch.full((4, 1), 2.0, dtype=torch.float64)
    shifted = type(ORIGIN)(batch, batch, batch[:, 0])
    matrix = update_jacobian(dirac(wasserstein, 0.0, 0.0), shifted, 0.0)
    # The real point 2 adds to the critic's loss a term without theta: the field's Jacobian stays a rotation.
    assert matrix == pytest.approx(np.array([[0, -1], [1, 0]]))
