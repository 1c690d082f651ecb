"""Defects that public implementations of penalties have: each claim holds of ours and fails of one with the defect."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from training.divergences import wasserstein
from training.game import Batch
from training.games.two_player import two_player
from training.penalties import (
    between,
    finite_difference_penalty,
    gradient_penalty,
    one_sided_penalty,
    r1,
    r2,
    zero_centred_penalty,
)
from training.updates import Alternating

Penalty = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, Tensor], Tensor]
Claim = Callable[[Penalty], None]

OURS: dict[str, Penalty] = {
    "two-sided": gradient_penalty,
    "one-sided": one_sided_penalty,
    "zero-centred": zero_centred_penalty,
    "finite-difference": finite_difference_penalty,
    "r1": lambda critic, real, fake, mix: r1(critic, real, fake, mix, weight=10.0),
    "r2": lambda critic, real, fake, mix: r2(critic, real, fake, mix, weight=10.0),
}
SEGMENTS = ("two-sided", "one-sided", "zero-centred", "finite-difference")


def plain(at: Tensor, critic: Callable[[Tensor], Tensor], norm: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """The penalty at points, as everyone writes it."""
    at = at if at.requires_grad else at.requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    slopes = gradient.flatten(1).norm(dim=1) if norm is None else norm(gradient)
    return 10 * (slopes - 1).square().mean()


def weight_per_pixel(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    return plain(torch.lerp(fake.detach(), real, torch.rand_like(real)), critic)


def weight_per_batch(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    return plain(torch.lerp(fake.detach(), real, mix[0]), critic)


def norm_over_one_axis(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    return plain(between(real, fake, mix), critic, lambda gradient: gradient.norm(dim=1))


def fake_with_its_graph(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    return plain(fake + mix.view(-1, *[1] * (real.dim() - 1)) * (real - fake), critic)


def three_channels(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    return plain(between(real, fake, mix).view(len(real), 3, *real.shape[2:]), critic)


def step_of_its_own(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    assert isinstance(critic, nn.Module)
    penalty = plain(between(real, fake, mix), critic)
    Adam(critic.parameters(), 1e-2).zero_grad()
    penalty.backward()
    Adam(critic.parameters(), 1e-2).step()
    return penalty.detach()


def samples(shape: tuple[int, ...], n: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, n, *shape, dtype=torch.float64, generator=generator)
    return real, fake, torch.rand(n, dtype=torch.float64, generator=generator)


def shares_seen(penalty: Penalty) -> list[Tensor]:
    """The share of the real sample in each coordinate of each point that a penalty looks at."""
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.square().flatten(1).sum(dim=1)

    real, fake, mix = samples((2, 4, 4))
    penalty(critic, real, fake, mix)
    return [((at - fake) / (real - fake)).flatten(1) for at in seen]


def every_point_lies_on_a_segment(penalty: Penalty) -> None:
    for shares in shares_seen(penalty):
        torch.testing.assert_close(shares, shares[:, :1].expand_as(shares), rtol=1e-6, atol=1e-6)


def samples_have_shares_of_their_own(penalty: Penalty) -> None:
    for shares in shares_seen(penalty):
        assert len(shares[:, 0].mul(1e6).round().unique()) == len(shares)


def the_norm_is_over_all_axes(penalty: Penalty) -> None:
    """A critic of slope s in 2 x 4 x 4 coordinates has the penalty of one of slope s in one coordinate."""
    for steep in (0.5, 1.0, 3.0):
        of_image = penalty(lambda x: steep / 32**0.5 * x.flatten(1).sum(dim=1), *samples((2, 4, 4)))  # noqa: B023
        of_number = penalty(lambda x: steep * x[:, 0], *samples((1,)))  # noqa: B023
        torch.testing.assert_close(of_image, of_number, rtol=1e-9, atol=1e-9)


def nothing_reaches_the_generator(penalty: Penalty) -> None:
    real, latent, mix = samples((4,))
    generator = nn.Linear(4, 4).double()
    found = penalty(lambda x: x.pow(3).sum(dim=1), real, generator(latent), mix)
    assert not found.requires_grad or torch.autograd.grad(found, generator.weight, allow_unused=True) == (None,)


def any_number_of_channels_will_do(penalty: Penalty) -> None:
    for shape in ((1, 8, 8), (3, 8, 8), (7, 5), (2,)):
        try:
            assert torch.isfinite(penalty(lambda x: x.square().flatten(1).sum(dim=1), *samples(shape)))
        except RuntimeError as error:
            raise AssertionError(f"{shape}: {error}") from error


def a_move_is_one_step_along_the_gradient_of_the_whole_loss(penalty: Penalty) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), nn.Flatten(0)).double()
    game = two_player(nn.Linear(2, 2).double(), critic, wasserstein, critic_terms={"penalty": penalty})
    real, latent, mix = samples((2,))
    batch = Batch(real, latent, mix)
    before = [parameter.detach().clone() for parameter in critic.parameters()]
    penalty(critic, real, latent, mix)
    assert all(torch.equal(parameter, start) for parameter, start in zip(critic.parameters(), before, strict=True))
    pulls = torch.autograd.grad(game.loss("critic", batch)[0], list(critic.parameters()))
    optimizers = {name: SGD(player.parameters(), 0.1) for name, player in game.players.items()}
    Alternating().play_round(game, optimizers, lambda: batch)
    for parameter, start, pull in zip(critic.parameters(), before, pulls, strict=True):
        torch.testing.assert_close(parameter.detach(), start - 0.1 * pull)


CLAIMS: list[tuple[Claim, Penalty, tuple[str, ...]]] = [
    (every_point_lies_on_a_segment, weight_per_pixel, SEGMENTS),
    (samples_have_shares_of_their_own, weight_per_batch, SEGMENTS),
    (the_norm_is_over_all_axes, norm_over_one_axis, ("two-sided", "one-sided", "zero-centred", "r1", "r2")),
    (nothing_reaches_the_generator, fake_with_its_graph, tuple(OURS)),
    (any_number_of_channels_will_do, three_channels, tuple(OURS)),
    (a_move_is_one_step_along_the_gradient_of_the_whole_loss, step_of_its_own, tuple(OURS)),
]


def refuted(claim: Claim, penalty: Penalty) -> str | None:
    """What of a claim does not hold of a penalty; None where all of it does."""
    try:
        claim(penalty)
    except AssertionError as error:
        return str(error) or claim.__name__
    return None


@pytest.mark.parametrize(
    ("claim", "name"),
    [(claim, name) for claim, _, names in CLAIMS for name in names],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_our_penalties_have_no_such_defect(claim: Claim, name: str) -> None:
    assert refuted(claim, OURS[name]) is None


@pytest.mark.parametrize(("claim", "defect"), [(claim, defect) for claim, defect, _ in CLAIMS])
def test_a_penalty_with_the_defect_would_be_found(claim: Claim, defect: Penalty) -> None:
    assert refuted(claim, defect) is not None
