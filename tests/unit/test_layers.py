"""Minibatch discrimination by hand, and weights that are normalised by what that means."""

from __future__ import annotations

import math

import pytest
import torch
from small_runs import CPU, begin, configured, data_of, rounds
from torch import Tensor, nn
from torch.nn.utils import parametrize

from training.game import Batch, Game
from training.layers import (
    COORDINATES,
    KERNELS,
    Layered,
    MinibatchDiscrimination,
    Spectral,
    normalise_weights,
    plain_state,
    power_iterated,
)
from training.penalties import gradient_penalty, slope_by_autograd
from training.reference import check_slopes

KINDS = ("text", "points", "image")
SAMPLES = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)


def discriminating() -> MinibatchDiscrimination:
    """A critic of the plane, its features the coordinates: kernel 0 takes both, kernel 1 takes 3 x, others nothing."""
    critic = MinibatchDiscrimination(Layered(nn.Identity(), nn.Linear(2, 1))).double()
    with torch.no_grad():
        columns = critic.project.weight.zero_().view(KERNELS, COORDINATES, 2)
        columns[0, 0], columns[0, 1] = torch.eye(2)
        columns[1, 2, 0] = 3.0
        critic.score.weight.zero_()[0, :2] = torch.tensor([10.0, 1.0])
        critic.critic.score.weight.copy_(torch.tensor([[1.0, -1.0]]))
        critic.critic.score.bias.fill_(0.5)
    return critic


def test_the_features_of_three_samples_are_those_of_the_formula() -> None:
    found = discriminating().features(SAMPLES)
    # L1 distances under kernel 0: 1 (first, second), 2 (first, third), 3 (second, third); under kernel 1: 3, 0, 3.
    e = math.exp
    closeness = [[e(-1) + e(-2), e(-3) + 1], [e(-1) + e(-3), 2 * e(-3)], [e(-2) + e(-3), 1 + e(-3)]]
    expected = torch.cat([SAMPLES, torch.tensor(closeness).double(), torch.full((3, KERNELS - 2), 2.0)], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)


def test_they_stand_after_the_others_before_the_last_layer() -> None:
    critic = discriminating()
    features = critic.features(SAMPLES)
    expected = features[:, 0] - features[:, 1] + 0.5 + 10 * features[:, 2] + features[:, 3]
    torch.testing.assert_close(critic(SAMPLES), expected, rtol=1e-12, atol=0)
    assert torch.equal(critic.read(features), critic(SAMPLES))


def test_a_sample_by_itself_has_no_neighbours() -> None:
    critic = discriminating()
    assert not critic.features(SAMPLES[:1])[:, 2:].any()
    assert torch.equal(critic(SAMPLES[:1]), critic.critic(SAMPLES[:1]))


def test_samples_that_are_alike_are_each_others_neighbours_in_full() -> None:
    assert torch.equal(discriminating().features(SAMPLES[[1, 1, 1, 1]])[:, 2:], torch.full((4, KERNELS), 3.0).double())


def test_its_slope_is_that_of_all_scores_in_one_sample() -> None:
    critic, step = discriminating(), 1e-6
    # Coordinates that differ everywhere: at a kink there is no derivative to compare with.
    at = SAMPLES + torch.tensor([[0.1, 0.2], [0.3, -0.1], [0.2, 0.4]]).double()
    steps = step * torch.eye(6).double().view(6, 3, 2)
    rises = torch.stack([(critic(at + each) - critic(at - each)).sum() / (2 * step) for each in steps])
    expected = rises.view(3, 2).norm(dim=1)
    torch.testing.assert_close(slope_by_autograd(critic, at), expected, rtol=1e-6, atol=0)


def test_its_penalty_passes_the_check_before_the_first_round() -> None:
    data = data_of("points")
    game = begin(configured(**{"critic.minibatch_discrimination": True}), data).game
    said: list[str] = []
    real = data.draw(torch.arange(4).numpy(), CPU)
    check_slopes(game, Batch(real, torch.randn(4, 3), torch.rand(4)), said.append)
    assert said == []


def test_a_batch_of_1024_goes_through_forwards_and_backwards() -> None:
    critic = MinibatchDiscrimination(Layered(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)))
    loss = critic(torch.randn(1024, 2)).mean()
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(loss, list(critic.parameters())))


def test_in_bf16_neighbours_are_told_apart_in_fp32() -> None:
    critic, features = discriminating().float(), SAMPLES.float() + torch.tensor([1000.0, 0.0])
    with torch.autocast("cpu", torch.bfloat16):
        found = critic.closeness(features)
    torch.testing.assert_close(found, critic.closeness(features), rtol=1e-6, atol=0)


def layer(kind: str) -> nn.Module:
    torch.manual_seed(3)
    made: dict[str, nn.Module] = {
        "linear": nn.Linear(7, 5),
        "text": nn.Conv1d(4, 6, 3),
        "image": nn.Conv2d(3, 6, 4),
        "score": nn.Linear(9, 1),
    }
    return made[kind]


def matrix(module: nn.Module) -> Tensor:
    """Its weights as a matrix of a row for each output."""
    weight: Tensor = module.weight
    return weight.detach().flatten(1)


@pytest.mark.parametrize("kind", ["linear", "text", "image", "score"])
def test_a_spectral_weight_has_largest_singular_value_one_after_enough_steps(kind: str) -> None:
    module = layer(kind).double()
    before = matrix(module)
    normalise_weights(module, "spectral")
    for _ in range(500):
        module.parametrizations.weight[0].iterate(module.parametrizations.weight.original)
    assert torch.linalg.matrix_norm(matrix(module), 2).item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(matrix(module), before / torch.linalg.matrix_norm(before, 2), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_training_keeps_it_there(kind: str) -> None:
    config, data = configured(**{"critic.norm": "spectral", "critic.minibatch_discrimination": True}), data_of(kind)
    training = begin(config, data)
    rounds(training, config, data, 20)
    parts = [part for part in training.game.players["critic"].modules() if parametrize.is_parametrized(part, "weight")]
    linear = (nn.Linear, nn.Conv1d, nn.Conv2d)
    assert len(parts) == sum(isinstance(part, linear) for part in training.game.players["critic"].modules())
    for part in parts:
        assert torch.linalg.matrix_norm(matrix(part), 2).item() == pytest.approx(1, abs=0.1)


def test_sigma_is_differentiated_with_its_vectors_held() -> None:
    module = layer("linear").double()
    normalise_weights(module, "spectral")
    spectral, weight = module.parametrizations.weight[0], module.parametrizations.weight.original
    assert isinstance(spectral, Spectral)
    assert torch.autograd.gradcheck(spectral, (weight,))
    assert not spectral.u.requires_grad


def test_only_a_move_takes_a_step_of_the_power_method() -> None:
    critic = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.Flatten(0))
    normalise_weights(critic, "spectral")
    moves = list[str]()
    game = power_iterated(
        Game(
            {"critic": critic, "generator": nn.Linear(1, 1)},
            dict.fromkeys(("critic", "generator"), lambda batch: {}),
            ("critic", "generator"),
            {"critic": lambda: moves.append("clipped")},
        )
    )
    nn.init.normal_(critic[0].parametrizations.weight.original)  # as if it had been moved far
    before = {name: buffer.clone() for name, buffer in critic.named_buffers()}
    x = torch.randn(4, 2)
    gradient_penalty(critic, x, x + 1, torch.rand(4))
    critic.eval()(x)
    assert all(torch.equal(buffer, before[name]) for name, buffer in critic.named_buffers())
    assert set(game.project) == {"critic"}
    game.project["critic"]()
    assert moves == ["clipped"]
    assert all(not torch.equal(buffer, before[name]) for name, buffer in critic[0].named_buffers(prefix="0"))


def test_a_game_without_such_weights_is_left_as_it_is() -> None:
    game = begin(configured(), data_of("points")).game
    assert power_iterated(game) is game


def test_weight_norm_is_a_length_and_a_direction_and_changes_nothing_at_first() -> None:
    module = layer("text").double()
    before = matrix(module)
    normalise_weights(module, "weight")
    torch.testing.assert_close(matrix(module), before, rtol=1e-12, atol=0)
    g, v = module.parametrizations.weight.original0, module.parametrizations.weight.original1
    with torch.no_grad():
        g.fill_(2.5)
        v.mul_(7)
    torch.testing.assert_close(matrix(module).norm(dim=1), torch.full((6,), 2.5).double())
    torch.testing.assert_close(matrix(module), 2.5 * before / before.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("norm", ["weight", "spectral"])
def test_plain_weights_compute_what_the_normalised_ones_do(norm: str) -> None:
    torch.manual_seed(0)
    normalised, plain = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
    normalise_weights(normalised, norm)
    plain.load_state_dict(plain_state(normalised))
    x = torch.randn(5, 3)
    assert torch.equal(plain(x), normalised(x))
    assert parametrize.is_parametrized(normalised[0], "weight")


@pytest.mark.parametrize("variant", ["dcgan", "srgan"])
def test_batch_norm_divides_by_no_more_than_the_variance(variant: str) -> None:
    """Its second argument is what is added to the variance, and not the momentum, for which 0.8 is often given."""
    players = begin(configured(variant), data_of("image", variant)).game.players
    found = [layer for player in players.values() for layer in player.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert found
    assert {(layer.eps, layer.momentum) for layer in found} == {(1e-5, 0.1)}
