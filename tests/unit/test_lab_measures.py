"""What the laboratory measures of networks, on networks and samples of which it is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.divergences import wasserstein
from training.game import Batch
from training.games.two_player import two_player
from training.lab.architectures import STYLES, architecture
from training.lab.denoising import SIGMA, best, curls, distances, explained, jacobians, moved, relative_curl
from training.lab.depth import Constrained, gradient_by_layer
from training.lab.figure import Lab
from training.lab.generators import information
from training.lab.level_sets import HeldRoles, NoisyDraws, held, scaled, told_apart
from training.lab.race import reached
from training.lab.robustness import METHODS
from training.lab.runs import begin, steady


def linear(matrix: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(matrix[0]), len(matrix), bias=False)
    layer.weight.data = torch.tensor(matrix, dtype=torch.float32)
    return layer


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)


def test_the_jacobian_of_a_linear_denoiser_is_its_matrix_less_one() -> None:
    denoise = linear([[1.5, 2.0], [-1.0, 0.5]])
    found = jacobians(denoise, points(5))
    assert found == pytest.approx(np.tile([[0.5, 2.0], [-1.0, -0.5]], (5, 1, 1)))
    assert curls(found) == pytest.approx(np.full(5, -3.0))
    assert moved(denoise, np.ones((1, 2), dtype=np.float32)) == pytest.approx(np.array([[2.5, -1.5]]))


def test_the_relative_curl_is_0_for_a_gradient_and_the_root_of_2_for_a_rotation() -> None:
    gradient, rotation = [[2.0, 1.0], [1.0, -3.0]], [[0.0, -4.0], [4.0, 0.0]]
    assert relative_curl(np.array([gradient, rotation], dtype=np.float32)) == pytest.approx([0.0, math.sqrt(2)])


def test_the_best_denoiser_follows_the_gradient_of_the_blurred_density() -> None:
    places, data = 0.2 * points(4), 0.2 * points(30, seed=1)
    x = torch.from_numpy(places).double().requires_grad_()
    squares = torch.cdist(x, torch.from_numpy(data).double()).square()
    (score,) = torch.autograd.grad((-squares / (2 * SIGMA**2)).logsumexp(dim=1).sum(), x)
    assert best(places, data) - places == pytest.approx(SIGMA**2 * score.numpy(), abs=1e-5)


def test_the_best_denoiser_of_one_point_gives_that_point() -> None:
    assert best(points(3), np.array([[0.5, -0.5]], dtype=np.float32)) == pytest.approx(np.tile([0.5, -0.5], (3, 1)))


def test_what_a_field_explains_is_1_for_itself_and_0_for_nothing() -> None:
    truth = points(6)
    assert explained(truth, truth) == 1.0
    assert explained(np.zeros_like(truth), truth) == 0.0


def test_distances_are_to_the_nearest_point() -> None:
    data = np.array([[0, 0], [3, 4]], dtype=np.float32)
    assert distances(np.array([[0, 1], [3, 3]], dtype=np.float32), data) == pytest.approx([1.0, 1.0])


class Deep(nn.Module):
    """The critic of points whose layers scale by 2, 3 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(linear([[2, 0], [0, 2]]), linear([[3, 0], [0, 3]]), linear([[1, 0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[:, 0]


def test_the_gradient_by_layer_is_the_product_of_the_layers_after_it() -> None:
    game = two_player(linear([[1, 0], [0, 1]]), Deep(), wasserstein)
    batch = Batch(torch.ones(4, 2), torch.zeros(4, 2), torch.full((4,), 0.5))
    # Of 8 scores, each with a weight of +-1/4 in the loss.
    assert gradient_by_layer(game, batch) == pytest.approx(math.sqrt(8) / 4 * np.array([3, 1, 1]))


def test_saturated_weights_are_those_at_the_bound() -> None:
    weights = np.array([0.01, -0.01, 0.0, 0.005])
    assert Constrained(np.ones(2), weights, 0.01).saturated == 0.5
    assert Constrained(np.ones(2), weights, None).saturated == 0.0
    assert Constrained(np.array([2.0, 4.0]), weights, None).ratio == 0.5


def test_pairs_are_in_order_for_a_critic_along_the_shift_whatever_its_scale_and_by_chance_across_it() -> None:
    real = points(400)
    batch = Batch(torch.from_numpy(real), torch.from_numpy(points(400, seed=1) - [10.0, 0.0]).float(), torch.zeros(400))
    for scale in (0.01, 7.0):
        assert told_apart(nn.Sequential(linear([[scale, 0.0]]), nn.Flatten(0)), batch) == 1.0
    assert told_apart(nn.Sequential(linear([[-1.0, 0.0]]), nn.Flatten(0)), batch) == 0.0
    assert told_apart(nn.Sequential(linear([[0.0, 1.0]]), nn.Flatten(0)), batch) == pytest.approx(0.5, abs=0.06)


def test_the_held_generator_stays_at_the_data_with_noise() -> None:
    data = scaled("ring", 2.0)
    keys = {"model.width": 4, "model.depth": 1, "batch_size": 8}
    run = begin(Lab(), "builtin:ring", keys, build=held, roles=HeldRoles, draws=NoisyDraws, data=data)
    terms = run.play(2)
    assert {name.split("/")[0] for name in terms if "gradient_norm" not in name} == {"critic"}
    assert [p.item() for p in run.game.parameters("generator")] == [0.0]
    batch = NoisyDraws(data, 4096, 2, 0, torch.device("cpu")).batch(0, 0)
    # A circle of radius 2 has a mean square of 2 a coordinate, and the noise adds 1.
    assert batch.real.square().mean().item() == pytest.approx(2.0, abs=0.05)
    assert batch.latent.square().mean().item() == pytest.approx(3.0, abs=0.1)


def test_information_is_that_of_a_label_for_copies_and_0_for_independent_ones() -> None:
    one, other = np.repeat(np.arange(3), 4), np.tile(np.arange(4), 3)
    assert information(one, one) == pytest.approx(math.log(3))
    assert information(one, other) == pytest.approx(0.0, abs=1e-12)


def test_a_score_is_reached_at_the_first_look_that_has_it() -> None:
    curve = np.array([[10, 20, 30], [1.0, 2.0, 3.0], [2.0, 5.5, 6.0]])
    assert reached(curve) == 2.0
    assert reached(curve, 7.0) == math.inf


@pytest.mark.parametrize("style", STYLES)
def test_every_style_makes_and_judges_digits(style: str) -> None:
    keys = {**METHODS["WGAN-GP"], "model.width": 4, "model.latent": 3, "batch_size": 2, "n_critic": 1}
    keys.pop("lr")
    run = begin(Lab(), "builtin:digits", keys, build=steady, roles=architecture(STYLES[style]))
    assert all(torch.isfinite(value) for value in run.play(1).values())
    assert run.game.players["generator"](torch.zeros(5, 3)).shape == (5, 1, 8, 8)


def test_the_resnets_have_101_layers() -> None:
    keys = {"variant": "gan", "model.width": 4, "model.latent": 3}
    run = begin(Lab(), "builtin:digits", keys, roles=architecture(STYLES["101-layer ResNets"]))
    for player in run.game.players.values():
        assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in player.modules()) == 101
