"""MAD-GAN: K generators against a discriminator of K + 1 classes, by hand and at its optimum."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_games import batch_of
from small_runs import begin, configured, data_of
from torch import Tensor, nn

from model.branches import Branched, Heads
from training.data.dataset import Kind
from training.game import Batch, Game
from training.games.mad_gan import LogOdds, mad_gan
from training.penalties import r1, r2

K, N = 3, 8


class Several(Branched):
    """K generators of points on a line: z, times what they share, plus what is each one's own."""

    def __init__(self) -> None:
        super().__init__(latent=1, heads=K)
        self.shared = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.output = Heads(Shift(float(i)) for i in range(K))

    def hidden(self, latent: Tensor) -> Tensor:
        return self.shared * latent


class Shift(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by


class Linear(nn.Linear):
    """Classes of points on a line; notes how many it was shown at once."""

    def __init__(self) -> None:
        super().__init__(1, K + 1, dtype=torch.float64)
        self.shown: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(len(x))
        return super().forward(x)


def game_of(**further: Any) -> tuple[Game, Several, Linear]:
    torch.manual_seed(0)
    generator, discriminator = Several(), Linear()
    return mad_gan(generator, discriminator, **further), generator, discriminator


def a_batch() -> Batch:
    drawn = torch.randn(2, N, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return batch_of(drawn[0], drawn[1])


def cross_entropy(logits: Tensor, maker: int) -> Tensor:
    """Of samples that are all of one class."""
    return -(logits.exp()[:, maker] / logits.exp().sum(dim=1)).log().mean()


def test_the_losses_are_those_of_the_paper_with_every_class_weighing_the_same() -> None:
    game, _, discriminator = game_of()
    batch = a_batch()
    fakes = [2 * batch.latent + i for i in range(K)]
    of_real, of_fakes = discriminator(batch.real), [discriminator(fake) for fake in fakes]
    expected = cross_entropy(of_real, K) + sum(cross_entropy(each, i) for i, each in enumerate(of_fakes))
    torch.testing.assert_close(game.loss("critic", batch)[0], expected)
    expected = torch.stack([cross_entropy(each, K) for each in of_fakes]).sum()
    torch.testing.assert_close(game.loss("generator", batch)[0], expected)


def test_each_generator_is_trained_as_if_alone_and_what_they_share_by_all() -> None:
    game, generator, discriminator = game_of()
    loss, _ = game.loss("generator", a_batch())
    loss.backward()
    batch, shares = a_batch(), list[Tensor]()
    for i in range(K):
        shared = generator.shared.detach().clone().requires_grad_()
        own = torch.tensor(float(i), dtype=torch.float64, requires_grad=True)
        mine = torch.autograd.grad(cross_entropy(discriminator(shared * batch.latent + own), K), (shared, own))
        torch.testing.assert_close(generator.output[i].by.grad, mine[1])
        shares.append(mine[0])
    torch.testing.assert_close(generator.shared.grad, torch.stack(shares).sum())


def test_the_generators_are_one_player_that_shares_no_parameter_with_the_other() -> None:
    game, *_ = game_of(n_critic=2)
    assert (set(game.players), game.turns) == ({"critic", "generator"}, ("critic", "critic", "generator"))
    every = [id(parameter) for name in game.players for parameter in game.parameters(name)]
    assert len(every) == len(set(every)) == 2 + 1 + K


@pytest.mark.parametrize(("apart", "shown"), [(False, [(K + 1) * N]), (True, [N] * (K + 1))])
def test_each_class_is_judged_in_a_batch_of_its_own_where_that_matters(apart: bool, shown: list[int]) -> None:
    game, _, discriminator = game_of(apart=apart)
    game.loss("critic", a_batch())
    assert discriminator.shown == shown
    torch.testing.assert_close(game.loss("critic", a_batch())[0], game_of()[0].loss("critic", a_batch())[0])


def test_packs_hold_samples_of_one_generator() -> None:
    seen = list[Tensor]()

    def see(samples: Tensor, batch: Batch) -> Tensor:
        seen.append(samples.unflatten(0, (-1, 2)).mean(dim=1))
        return seen[-1]

    game, *_ = game_of(see=see)
    loss, _ = game.loss("critic", a_batch())
    pairs = (2 * a_batch().latent).unflatten(0, (-1, 2)).mean(dim=1)
    torch.testing.assert_close(seen[1].view(K, N // 2, 1), torch.stack([pairs + i for i in range(K)]))
    assert loss.isfinite()


def test_smoothing_takes_from_the_datas_class_and_gives_to_all_others() -> None:
    alpha, batch = 0.9, a_batch()
    game, _, discriminator = game_of(label_smoothing=alpha)
    plain = game_of()[0].loss("critic", batch)[0]
    smooth = -discriminator(batch.real).log_softmax(dim=1)
    target = torch.tensor([(1 - alpha) / K] * K + [alpha], dtype=torch.float64)
    expected = plain - smooth[:, -1].mean() + (smooth * target).sum(dim=1).mean()
    loss, terms = game.loss("critic", batch)
    torch.testing.assert_close(loss, expected)
    assert set(terms) == {"softmax", "label_smoothing"}


@pytest.mark.parametrize("term", [r1, r2])
def test_terms_on_slopes_are_of_the_log_odds_that_a_sample_is_real(term: Any) -> None:
    game, generator, discriminator = game_of(critic_terms={"slope": lambda *given: term(*given, weight=2.0)})
    batch = a_batch()
    at = batch.real if term is r1 else generator.of_each(batch.latent).flatten(0, 1)
    at = at.detach().requires_grad_()
    odds = (discriminator(at).softmax(dim=1)[:, -1] / discriminator(at).softmax(dim=1)[:, :-1].sum(dim=1)).log()
    (slope,) = torch.autograd.grad(odds.sum(), at)
    torch.testing.assert_close(game.loss("critic", batch)[1]["slope"], slope.square().sum(dim=1).mean())
    torch.testing.assert_close(LogOdds(discriminator)(at), odds)


@pytest.mark.parametrize("kind", ["text", "points", "image"])
def test_the_configured_number_of_generators_plays(kind: Kind) -> None:
    for variant, outputs in (("mad-gan", 6), ("mad-gan-sim", 0)):
        game = begin(configured(variant, generators=5), data_of(kind)).game
        assert game.players["generator"].branches == 5
        assert game.players["critic"].outputs == outputs
