"""The check before the first round: penalties of which the gradient is wrong are noticed, and put right."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from small_runs import CPU, SIZE, Memory, begin, configured, data_of, rounds, weights
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from model.text import Critic
from training.catalogue import CATALOGUE
from training.data.dataset import Kind
from training.divergences import wasserstein
from training.game import Batch, Game
from training.games.two_player import two_player
from training.loop import Draws, Training
from training.penalties import gradient_penalty, slope_by_autograd
from training.reference import SAMPLES, check_slopes, slope_along_gradient

PENALTY = {"gradient_penalty": gradient_penalty}
TEXT = {"length": 5, "size": 6, "width": 4, "depth": 2, "kernel": 3}


def few(data: Any) -> Batch:
    return Draws(data, SAMPLES, SIZE["model.latent"], 0, CPU).batch(0, 0)


def checked(game: Game, batch: Batch) -> list[str]:
    said: list[str] = []
    check_slopes(game, batch, said.append)
    return said


def game_of(critic: nn.Module, data: Memory) -> Game:
    """WGAN-GP with this critic, against a generator of one layer."""
    generator = nn.Sequential(nn.Linear(3, data.samples[0].numel()), nn.Unflatten(1, data.shape))
    return two_player(generator, critic, wasserstein, critic_terms=PENALTY)


def gradients(game: Game, batch: Batch) -> list[Tensor]:
    loss, _ = game.loss("critic", batch)
    return list(torch.autograd.grad(loss, game.parameters("critic")))


@pytest.mark.parametrize(("variant", "kind"), [(v, k) for v, entry in CATALOGUE.items() for k in entry.kinds])
def test_what_is_right_is_left_as_it_is(variant: str, kind: Kind) -> None:
    config, data = configured(variant), data_of(kind, variant)
    training, undisturbed = begin(config, data), begin(config, data)
    state, buffers = torch.get_rng_state(), [b.clone() for p in training.game.players.values() for b in p.buffers()]
    batch = Draws.of(training, data, config, CPU).batch(0, 0).rows(slice(0, SAMPLES))
    assert checked(training.game, batch) == []
    assert torch.equal(torch.get_rng_state(), state)
    after = [b for p in training.game.players.values() for b in p.buffers()]
    assert all(torch.equal(one, other) for one, other in zip(after, buffers, strict=True))
    assert not any("slope" in vars(player) for player in training.game.players.values())
    rounds(training, config, data, 2)
    rounds(undisturbed, config, data, 2)
    for name, expected in weights(undisturbed).items():
        assert all(torch.equal(one, other) for one, other in zip(weights(training)[name], expected, strict=True))
    # The average follows the memory that the weights lay in when it was made.
    followed, expected = (each.average.module.state_dict() for each in (training, undisturbed))
    assert all(torch.equal(followed[key], value) for key, value in expected.items())


class Doubled(Critic):
    """Its slope is twice what it should be, consistently."""

    def slope(self, at: Tensor) -> Tensor:
        return 2 * super().slope(at)


class Detached(Critic):
    """The value of its slope is right, and has no derivatives."""

    def slope(self, at: Tensor) -> Tensor:
        return super().slope(at).detach()


class Infinite(Critic):
    """Its slope is not a number."""

    def slope(self, at: Tensor) -> Tensor:
        return super().slope(at) * torch.nan


@pytest.mark.parametrize("liar", [Doubled, Detached, Infinite])
def test_a_closed_form_that_lies_gives_way_to_double_backward(liar: type[Critic]) -> None:
    torch.manual_seed(0)
    critic, data = liar(**TEXT), data_of("text")
    game, batch = game_of(critic, data), few(data)
    (said,) = checked(game, batch)
    assert said.startswith(
        "warning: critic: by the closed form of its slope and by double backward, gradients differ by"
    )
    assert said.endswith("the run goes on with double backward")
    honest = Critic(**TEXT)
    honest.load_state_dict(critic.state_dict())
    expected = gradients(two_player(game.players["generator"], honest, wasserstein, critic_terms=PENALTY), batch)
    for found, true in zip(gradients(game, batch), expected, strict=True):
        torch.testing.assert_close(found, true, rtol=1e-4, atol=1e-5)
    # And the run goes on, with the reference.
    training = Training.start(game, configured(), CPU)
    before = weights(training)["critic"]
    last = rounds(training, configured(), data, 2)[-1]
    assert torch.isfinite(last["critic/gradient_penalty"])
    assert any(not torch.equal(one, other) for one, other in zip(weights(training)["critic"], before, strict=True))


class _Dropping(torch.autograd.Function):
    """A softplus whose derivative is taken outside of autograd, as many hand-written kernels do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return nn.functional.softplus(x)

    @staticmethod
    def backward(ctx: Any, y: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return y * torch.sigmoid(x).detach()


class _Refusing(_Dropping):
    """The same, and torch is told that it cannot be differentiated twice."""

    backward = staticmethod(once_differentiable(_Dropping.backward))


class Bent(nn.Module):
    """A critic of points with one bend; which: how the bend is differentiated."""

    def __init__(self, bend: Any) -> None:
        super().__init__()
        self.first, self.bend, self.last = nn.Linear(2, 8), bend, nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.bend(self.first(x))).squeeze(1)


class ClosedBent(Bent):
    """It knows its slope."""

    def slope(self, at: Tensor) -> Tensor:
        inner = torch.sigmoid(self.first(at)) * self.last.weight
        return (inner @ self.first.weight).norm(dim=1)


@pytest.mark.parametrize("bend", [_Dropping.apply, _Refusing.apply], ids=["dropped", "refused"])
def test_second_derivatives_that_are_dropped_are_noticed_and_done_without(bend: Any) -> None:
    torch.manual_seed(0)
    critic, data = Bent(bend), data_of("points")
    game, batch = game_of(critic, data), few(data)
    assert checked(game, batch) == [
        "warning: critic: double backward does not give the gradient of its penalty: "
        "the run goes on with slopes measured along the gradient"
    ]
    right = copy.deepcopy(game.players["generator"]), Bent(nn.functional.softplus)
    right[1].load_state_dict(critic.state_dict())
    expected = gradients(two_player(*right, wasserstein, critic_terms=PENALTY), batch)
    for found, true in zip(gradients(game, batch), expected, strict=True):
        torch.testing.assert_close(found, true, rtol=1e-3, atol=1e-3)
    assert all(
        torch.isfinite(v) for v in rounds(Training.start(game, configured(), CPU), configured(), data, 2)[1].values()
    )


def test_a_closed_form_stays_where_it_is_double_backward_that_lies() -> None:
    torch.manual_seed(0)
    critic, data = ClosedBent(_Dropping.apply), data_of("points")
    assert checked(game_of(critic, data), few(data)) == []
    assert "slope" not in vars(critic)


@pytest.mark.parametrize("labels", [0, 3])
def test_a_slope_along_the_gradient_is_the_slope(labels: int) -> None:
    torch.manual_seed(0)
    critic = Critic(**TEXT, labels=labels).double()
    at = torch.rand(7, 5, 6 + labels, dtype=torch.float64)
    torch.testing.assert_close(slope_by_autograd(critic, at), critic.slope(at))
    torch.testing.assert_close(slope_along_gradient(critic, at), critic.slope(at), rtol=0.1, atol=0)
    nn.init.zeros_(critic.score.weight)
    assert torch.equal(slope_along_gradient(critic, at), torch.zeros_like(at[:, 0, 0]))
