"""Every rule on linear games, where its steps are powers of a matrix: where it converges, and why."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from small_games import STEPS, H, linear, play

from training.updates import Alternating, Consensus, Extragradient, Optimistic, Simultaneous, UpdateRule

ONE = np.eye(2)
CURL = np.array([[0.0, 1.0], [-1.0, 0.0]])  # the field of min over x, max over y of x y
FIELDS = {"curl": CURL, "spiral": np.array([[0.3, 1.2], [-0.8, 0.1]]), "saddle": np.array([[-0.2, 0.5], [-0.5, 0.7]])}


def simultaneous(field: np.ndarray) -> np.ndarray:
    return ONE - H * field


def alternating(field: np.ndarray) -> np.ndarray:
    first, second = field * [[1], [0]], field * [[0], [1]]
    return (ONE - H * second) @ (ONE - H * first)


def consensus(field: np.ndarray) -> np.ndarray:
    return ONE - H * (field + field.T @ field)


def extragradient(field: np.ndarray) -> np.ndarray:
    return ONE - H * field @ (ONE - H * field)


def optimistic(field: np.ndarray, steps: int) -> np.ndarray:
    """Where (1, 1) comes to: a matrix of (w_t, w_(t-1)), after one plain step."""
    step = np.block([[ONE - 2 * H * field, H * field], [ONE, 0 * ONE]])
    start = np.ones(2)
    return (np.linalg.matrix_power(step, steps - 1) @ np.concatenate([simultaneous(field) @ start, start]))[:2]


def end(step: np.ndarray, steps: int) -> np.ndarray:
    return np.linalg.matrix_power(step, steps) @ np.ones(2)


EXPECTED: dict[str, tuple[UpdateRule, Callable[[np.ndarray, int], np.ndarray]]] = {
    "simultaneous": (Simultaneous(), lambda field, n: end(simultaneous(field), n)),
    "alternating": (Alternating(), lambda field, n: end(alternating(field), n)),
    "consensus": (Consensus(1.0), lambda field, n: end(consensus(field), n)),
    "extragradient": (Extragradient(), lambda field, n: end(extragradient(field), n)),
    "optimistic": (Optimistic(), optimistic),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", EXPECTED)
def test_steps_on_a_linear_game_are_powers_of_the_rules_matrix(name: str, field: str) -> None:
    rule, where = EXPECTED[name]
    for steps in (1, 2, 100):
        assert play(linear(FIELDS[field]), rule, steps) == pytest.approx(where(FIELDS[field], steps), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "distance", "factor"),
    [
        ("simultaneous", 17.02, 1 + H**2),
        ("consensus", 4.02e-22, (1 - H) ** 2 + H**2),
        ("extragradient", 0.1176, (1 - H**2) ** 2 + H**2),
    ],
)
def test_the_distance_from_the_bilinear_equilibrium_is_a_power_of_the_eigenvalues_size(
    name: str, distance: float, factor: float
) -> None:
    found = np.linalg.norm(play(linear(CURL), EXPECTED[name][0]))
    assert found == pytest.approx(math.sqrt(2) * factor ** (STEPS / 2), rel=1e-9)
    assert found == pytest.approx(distance, rel=1e-3)


@pytest.mark.parametrize(("name", "distance"), [("alternating", 1.41), ("optimistic", 0.113)])
def test_alternating_steps_orbit_and_optimistic_ones_come_nearer_in_the_bilinear_game(
    name: str, distance: float
) -> None:
    rule, where = EXPECTED[name]
    found = play(linear(CURL), rule)
    assert found == pytest.approx(where(CURL, STEPS), rel=1e-7)
    assert np.linalg.norm(found) == pytest.approx(distance, rel=0.03)


def jacobian(field: np.ndarray, gamma: float) -> np.ndarray:
    """Of the consensus field, (2, 2), from the steps that the rule takes: exact, since the game is linear."""
    origin = [
        play(linear(field, *place), Consensus(gamma, "biased"), steps=1) - place for place in ([1.0, 0.0], [0.0, 1.0])
    ]
    return -np.stack(origin, axis=1) / H


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0, 10.0])
def test_consensus_moves_the_eigenvalues_off_the_imaginary_axis_by_gamma(gamma: float) -> None:
    values = np.linalg.eigvals(jacobian(CURL, gamma))
    assert values.real == pytest.approx([gamma, gamma], abs=1e-9)
    assert sorted(values.imag) == pytest.approx([-1, 1], rel=1e-9)


@pytest.mark.parametrize("gamma", [0.3, 3.0])
def test_the_jacobian_of_consensus_is_that_of_the_field_and_gamma_times_its_square(gamma: float) -> None:
    for field in FIELDS.values():
        assert jacobian(field, gamma) == pytest.approx(field + gamma * field.T @ field, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("c", [0.3, 0.5, 0.8])
def test_a_large_gamma_turns_a_saddle_into_an_attractor(c: float) -> None:
    # x stands on top of its own loss, -x^2/2 + c x y; beyond gamma = 1/sqrt(1 - c^2) all eigenvalues are positive.
    saddle, threshold = np.array([[-1.0, c], [-c, 1.0]]), 1 / math.sqrt(1 - c**2)
    for gamma, attracts in ((0.9 * threshold, False), (1.1 * threshold, True)):
        assert (np.linalg.eigvals(jacobian(saddle, gamma)).real.min() > 0) == attracts
        distance = np.linalg.norm(play(linear(saddle), Consensus(gamma)))
        assert (distance < math.sqrt(2)) == attracts, distance


def test_alternating_steps_stay_on_an_ellipse() -> None:
    # x^2 + y^2 - h x y never changes.
    x, y = play(linear(CURL), Alternating())
    assert x**2 + y**2 - H * x * y == pytest.approx(2 - H, rel=1e-10)
