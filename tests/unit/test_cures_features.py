"""Feature matching: its loss by hand, whom its gradient reaches, and which real samples it is of."""

from __future__ import annotations

import pytest
import torch
from small_games import batch_of, bilinear, descent, dirac
from small_runs import configured, data_of
from torch import Tensor, nn

from model.errors import ConfigurationError
from training.cures import cured, match_features, noised, packed, sight
from training.data.dataset import Kind
from training.divergences import minimax
from training.game import Game
from training.games.two_player import two_player
from training.networks.roles import Roles
from training.updates import Alternating, Consensus, Simultaneous, UpdateRule

KINDS: list[Kind] = ["text", "points", "image"]


class Shift(nn.Module):
    """z + theta."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(at, dtype=torch.float64))

    def forward(self, latent: Tensor) -> Tensor:
        return latent + self.at


class Square(nn.Module):
    """Features (x, psi x^2) of numbers (N, 1), and their sum."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(at, dtype=torch.float64))

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.at * x.square()], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).sum(dim=1)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1)


BATCH = batch_of(numbers(1, 3), numbers(0, -2))


def game_of(theta: float = 0.5, psi: float = 2.0) -> Game:
    return match_features(two_player(Shift(theta), Square(psi), minimax))


def test_the_loss_is_the_squared_distance_of_the_mean_features() -> None:
    # E f(x) = (2, 2 * 5), and of the generated 0.5 and -1.5: (-0.5, 2 * 1.25).
    loss, terms = game_of().loss("generator", BATCH)
    assert terms.keys() == {"feature_matching"}
    assert loss.item() == pytest.approx(2.5**2 + 7.5**2, rel=1e-12)


def test_the_gradient_is_that_by_hand_and_the_generators_alone() -> None:
    game = game_of()
    with game.only("generator") as parameters:
        loss, _ = game.loss("generator", BATCH)
        (gradient,) = torch.autograd.grad(loss, parameters)
        assert not game.players["critic"].at.requires_grad
    # The means' derivatives in theta are (1, psi * mean of 2 (z + theta)) = (1, -2).
    assert gradient.item() == pytest.approx(2 * (-2.5 * 1 + -7.5 * -2), rel=1e-12)


def test_a_mean_of_squares_per_sample_would_be_another_loss() -> None:
    apart = game_of().players["critic"].features(BATCH.real - (BATCH.latent + 0.5))
    assert apart.square().sum(dim=1).mean().item() != pytest.approx(2.5**2 + 7.5**2, rel=0.01)


def test_a_generator_whose_features_are_those_of_the_data_is_left_alone() -> None:
    exact = batch_of(numbers(1, 3), numbers(2.5, 0.5))
    assert game_of().loss("generator", exact)[0].item() == 0


def test_the_critic_minimises_what_it_did() -> None:
    plain = two_player(Shift(0.5), Square(2.0), minimax)
    assert game_of().loss("critic", BATCH)[0].item() == plain.loss("critic", BATCH)[0].item()


def test_the_generators_real_batch_is_not_that_of_the_critic() -> None:
    given, seen = [batch_of(numbers(i, i), numbers(0, 0)) for i in range(3)], list[float]()
    game = game_of()
    features = game.players["critic"].features
    game.players["critic"].features = lambda x: seen.append(x.mean().item()) or features(x)
    batches = iter(given)
    Alternating().play_round(
        Game(game.players, game.objective, ("critic", "critic", "generator")), descent(game, 0), lambda: next(batches)
    )
    *of_critic, real, _ = seen
    assert real == 2
    assert of_critic == [(0 + 0.5) / 2, (1 + 0.5) / 2], "real and generated together"


@pytest.mark.parametrize("rule", [Simultaneous(), Consensus(0.1), Consensus(0.1, "biased")], ids=repr)
def test_where_all_move_on_one_batch_the_generator_meets_a_critic_that_has_not_moved_on_it(rule: UpdateRule) -> None:
    game = game_of()
    twice = batch_of(numbers(1, 1, 3, 3), numbers(0, 0, -2, -2))  # so that its halves have the same means
    terms = rule.play_round(game, descent(game), lambda: twice)
    assert terms["generator/feature_matching"].item() == pytest.approx(2.5**2 + 7.5**2, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_on_every_kind_of_data_it_is_of_the_critics_features_of_what_it_is_shown(kind: Kind) -> None:
    torch.manual_seed(0)
    config = configured(**{"feature_matching": True, "critic.pack": 2, "instance_noise": 0.3})
    data = data_of(kind)
    roles = Roles(kind, data.shape, config)
    see = sight(config, kind)
    generator, critic = roles.generator(), roles.critic()
    game = cured(two_player(generator, critic, minimax, see=see), config, see)
    batch = batch_of(data.samples[:4], torch.randn(4, 3))
    torch.manual_seed(5)
    loss, _ = game.loss("generator", batch)
    torch.manual_seed(5)
    deviation = torch.tensor(0.3)
    # In the order in which the noise is drawn: real samples first.
    real, fake = (
        critic.features(packed(noised(samples, deviation), 2, kind)).mean(dim=0)
        for samples in (batch.real, generator(batch.latent))
    )
    assert real.dim() == 1
    torch.testing.assert_close(loss, (real - fake).square().sum())


def test_means_of_half_precision_are_taken_in_single() -> None:
    class Half(Square):
        def features(self, x: Tensor) -> Tensor:
            return super().features(x).bfloat16()

    game = match_features(two_player(Shift(0.5), Half(2.0), minimax))
    _, terms = game.loss("generator", batch_of(BATCH.real.float(), BATCH.latent.float()))
    assert terms["feature_matching"].dtype == torch.float32


def test_games_without_features_or_players_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="feature_matching needs a critic with features"):
        cured(dirac(minimax), configured(feature_matching=True))
    with pytest.raises(ConfigurationError, match="needs the players generator and critic, this game has x, y"):
        cured(bilinear(), configured(feature_matching=True))
