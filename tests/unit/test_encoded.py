"""Games with an encoder: flipped labels, optima in closed form, and who moves whom."""

from __future__ import annotations

from math import log, pi
from typing import Any

import pytest
import torch
from discrete import FAKE, REAL, P, Q, minimised
from small_runs import CPU, LABELS, Memory, begin, configured, data_of
from torch import Tensor, nn

from model.errors import ConfigurationError
from training.catalogue import CATALOGUE
from training.conditions import beside
from training.data.dataset import Kind
from training.divergences import non_saturating
from training.game import Batch, Game
from training.games.encoded import Judging, paired, surprise, variational
from training.loop import Draws
from training.networks.encoders import GaussianEncoder, ImplicitEncoder, drawn
from training.networks.points import Generator as PointsGenerator

PLAYERS = {"critic", "generator", "encoder"}
ENCODERS = ("bigan", "ali", "aae", "avb")
PAIRS = [(variant, kind) for variant in ENCODERS for kind in CATALOGUE[variant].kinds]


def game_and_batch(variant: str, kind: Kind = "points", **changed: Any) -> tuple[Game, Batch]:
    config, data = configured(variant, **changed), data_of(kind, variant)
    training = begin(config, data)
    return training.game, Draws.of(training, data, config, CPU).batch(0, 0)


def seeded_loss(game: Game, player: str, batch: Batch) -> Tensor:
    torch.manual_seed(0)
    return game.loss(player, batch)[0]


class Told(nn.Module):
    """A critic whose scores are given: those of the pairs of a table, by the position that a sample and a latent say.

    scores: (X, Z).  Of pairs (N, 2): a sample, and a latent of one coordinate.
    """

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, pairs: Tensor) -> Tensor:
        x, z = pairs.round().long().unbind(dim=1)
        return self.scores[x, z]


class Shift(PointsGenerator):
    """G(z) = z + by, of one coordinate."""

    def __init__(self, by: float) -> None:
        super().__init__(dimensions=1, width=1, depth=1, latent=1)
        self.by = by

    def forward(self, latent: Tensor) -> Tensor:
        return latent + self.by


class ShiftBack(nn.Module):
    """E(x) = x - by."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, samples: Tensor) -> Tensor:
        return samples - self.by


def column(values: Tensor) -> Tensor:
    return values.double().unsqueeze(1)


@pytest.mark.parametrize("variant", ["bigan", "ali"])
def test_generator_and_encoder_together_minimise_the_critics_loss_with_flipped_labels(variant: str) -> None:
    game, batch = game_and_batch(variant, label_smoothing=1.0)
    critic = game.players["critic"]
    own = seeded_loss(game, "critic", batch)
    others = seeded_loss(game, "generator", batch) + seeded_loss(game, "encoder", batch)
    # Of a critic of minus the scores, labels are flipped.
    with torch.no_grad():
        critic.score.weight.neg_()
        critic.score.bias.neg_()
    torch.testing.assert_close(seeded_loss(game, "critic", batch), others)
    flipped = seeded_loss(game, "generator", batch) + seeded_loss(game, "encoder", batch)
    torch.testing.assert_close(own, flipped)


@pytest.mark.parametrize(("back", "best"), [(1.0, 0.0), (2.0, None)])
def test_the_best_critic_is_at_a_loss_where_the_encoder_is_the_inverse_and_only_there(
    back: float, best: float | None
) -> None:
    # z of Q on 2..6, and x = z + 1 of the same law on 3..7: the marginals agree whatever the encoder does.
    batch = Batch(column(FAKE + 3), column(FAKE + 2), torch.zeros(20))

    def loss_of(table: Tensor) -> Tensor:
        judging = Judging(Told(table), non_saturating)
        return paired(Shift(1.0), ShiftBack(back), judging).loss("critic", batch)[0]

    scores, loss = minimised(loss_of, 9, 9)
    x, z = batch.real.long()[:, 0], (batch.real - back).long()[:, 0]
    if best is not None:
        torch.testing.assert_close(scores[x, z], torch.zeros(20, dtype=torch.float64), atol=1e-5, rtol=0)
        assert loss == pytest.approx(2 * log(2))
    else:
        assert loss < 1e-3, "no pair of one kind is ever one of the other"


def test_the_best_critic_of_avb_is_the_log_ratio_of_the_encoders_law_to_the_prior() -> None:
    # One sample x = 0; the encoder's law of z is P, the prior Q.
    class Drawing(nn.Module):
        def forward(self, samples: Tensor) -> Tensor:
            return column(REAL)

    batch = Batch(column(torch.zeros(20)), column(FAKE), torch.zeros(20))

    def game_of(table: Tensor) -> Game:
        return variational(Shift(0.0), Drawing(), Judging(Told(table), non_saturating), deviation=1.0)

    scores, _ = minimised(lambda table: game_of(table).loss("critic", batch)[0], 1, 5)
    torch.testing.assert_close(scores[0], (P / Q).log(), atol=1e-4, rtol=0)
    _, terms = game_of(scores).loss("encoder", batch)
    assert terms["divergence"].item() == pytest.approx(float((P * (P / Q).log()).sum()), abs=1e-4)


def test_surprise_is_minus_the_log_likelihood() -> None:
    generator, codes = Shift(0.0), torch.tensor([[0.5], [2.0]])
    batch = Batch(torch.tensor([[0.0], [1.0]]), codes, torch.zeros(2))
    density = torch.distributions.Normal(codes, 0.2).log_prob(batch.real).mean()
    constant = 0.5 * log(2 * pi * 0.2**2)
    assert surprise(generator, codes, batch, 0.2).item() == pytest.approx(-density.item() - constant, rel=1e-5)


def test_surprise_of_text_is_the_cross_entropy_of_all_characters() -> None:
    game, batch = game_and_batch("aae", "text")
    generator = game.players["generator"]
    codes = torch.randn(len(batch.real), 3)
    ids = batch.real.argmax(dim=2)
    each = nn.functional.cross_entropy(generator.logits(codes).transpose(1, 2), ids, reduction="none")
    torch.testing.assert_close(surprise(generator, codes, batch, 1.0), each.sum(dim=1).mean())


REACHED = {
    "paired": {"critic": PLAYERS, "generator": {"critic", "generator"}, "encoder": {"critic", "encoder"}},
    "coded": {"critic": {"critic", "encoder"}, "generator": {"generator", "encoder"}, "encoder": PLAYERS},
}
"""Whose weights count in a player's loss."""


@pytest.mark.parametrize(("variant", "kind"), PAIRS)
def test_a_loss_is_of_those_players_whose_work_it_judges_and_always_of_its_own(variant: str, kind: Kind) -> None:
    game, batch = game_and_batch(variant, kind, **{"model.width": 16})
    for player, expected in REACHED["paired" if variant in ("bigan", "ali") else "coded"].items():
        loss = seeded_loss(game, player, batch)
        found = set()
        for name in game.players:
            gradients = torch.autograd.grad(loss, game.parameters(name), allow_unused=True, retain_graph=True)
            if any(each is not None and each.abs().sum() > 0 for each in gradients):
                found.add(name)
        assert found == expected, player


def test_an_encoder_without_noise_gives_the_middle_and_with_it_the_law_that_it_says() -> None:
    rows = torch.tensor([[1.0, -2.0, log(0.5), log(3.0)]]).expand(20_000, -1)
    encoder = GaussianEncoder(nn.Identity(), 2)
    torch.testing.assert_close(encoder(rows[:3]), rows[:3, :2])
    torch.manual_seed(0)
    found = drawn(encoder, rows)
    # Standard errors: 3/sqrt(20000) of the mean, less of the deviation.
    torch.testing.assert_close(found.mean(dim=0), rows[0, :2], atol=0.1, rtol=0)
    torch.testing.assert_close(found.std(dim=0), torch.tensor([0.5, 3.0]), atol=0.1, rtol=0)


def test_an_implicit_encoder_draws_anew_each_time_and_has_one_code_without_noise() -> None:
    torch.manual_seed(0)
    encoder, samples = ImplicitEncoder(nn.Linear(2, 8), 8, 3), torch.randn(4, 2)
    assert not torch.equal(drawn(encoder, samples), drawn(encoder, samples))
    assert torch.equal(encoder(samples), encoder(samples))


@pytest.mark.parametrize("variant", ENCODERS)
def test_they_learn_under_labels_too(variant: str) -> None:
    samples = beside(data_of("points").samples, torch.eye(3)[torch.arange(40) % 3])
    data, config = Memory("points", samples, LABELS), configured(variant)
    training = begin(config, data)
    batch = Draws.of(training, data, config, CPU).batch(0, 0)
    for player in training.game.players:
        assert seeded_loss(training.game, player, batch).isfinite()
    assert training.game.players["encoder"](batch.real[:, :2]).shape == (6, 3)


@pytest.mark.parametrize("variant", ENCODERS)
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"generator.mixture": 2}, r"generator\.mixture = 2 cannot be had with"),
        ({"critic.pack": 2}, r"critic\.pack = 2 cannot be had with .*, whose critic judges latents"),
        ({"feature_matching": True}, r"feature_matching takes the place of the generator's loss"),
    ],
)
def test_what_cannot_be_had_with_an_encoder_is_refused(variant: str, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        begin(configured(variant, **changed), data_of("points"))


def test_neighbours_of_a_batch_are_not_for_a_critic_of_latents() -> None:
    with pytest.raises(ConfigurationError, match="minibatch_discrimination is not for aae"):
        begin(configured("aae", **{"critic.minibatch_discrimination": True}), data_of("points"))


def test_the_latents_of_a_pair_have_no_instance_noise() -> None:
    seen: list[Tensor] = []
    game, batch = game_and_batch("bigan", instance_noise=1.0)
    game.players["critic"].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    game.loss("generator", batch)
    (pairs,) = seen
    assert torch.equal(pairs[:, 2:], batch.latent)
    assert not torch.allclose(pairs[:, :2], game.players["generator"](batch.latent))


@pytest.mark.parametrize("asked", [{"label_smoothing": 0.9}, {"instance_noise": 0.1}, {"penalty": 1.0}, {"r1": 1.0}])
def test_what_would_bend_the_log_ratio_of_avb_is_refused(asked: dict[str, float]) -> None:
    (key,) = asked
    with pytest.raises(ConfigurationError, match=f"{key} = .* cannot be had with avb, whose critic is to be the log"):
        begin(configured("avb", **asked), data_of("points"))
