"""MAD-GAN-Sim: each generator's advantage over the others, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_runs import begin, configured, data_of, rounds
from torch import Tensor
from torch.nn.functional import cosine_similarity, softplus

from training.data.dataset import Kind
from training.games.mad_gan import advantage
from training.loop import Draws

K = 3


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_advantage_is_the_score_less_the_others_and_how_alike_they_are() -> None:
    scores, features = drawn(K, 4).sigmoid(), drawn(K, 4, 6, seed=1)
    found = advantage(scores, features)
    for i in range(K):
        for m in range(4):
            others = [
                scores[j, m] + features[i, m] @ features[j, m] / (features[i, m].norm() * features[j, m].norm())
                for j in range(K)
                if j != i
            ]
            torch.testing.assert_close(found[i, m], scores[i, m] - torch.stack(others).mean())


def test_the_cosine_is_of_the_features_of_one_sample_and_not_of_the_batch() -> None:
    scores, features = torch.zeros(2, 5, dtype=torch.float64), drawn(2, 5, 7)
    found = advantage(scores, features)[0]
    torch.testing.assert_close(found, -cosine_similarity(features[0], features[1], dim=1))
    over_the_batch = -cosine_similarity(features[0], features[1], dim=0)
    assert over_the_batch.shape != found.shape
    # What is scaled in one sample changes none of them; over the batch it would change all.
    scaled = features.clone()
    scaled[0, 0] *= 100
    torch.testing.assert_close(advantage(scores, scaled)[0], found)
    assert not torch.allclose(-cosine_similarity(scaled[0], scaled[1], dim=0), over_the_batch)


def test_an_advantage_is_its_own_generators_alone() -> None:
    scores, features = drawn(K, 1).requires_grad_(), drawn(K, 1, 6, seed=1).requires_grad_()
    of_scores, of_features = torch.autograd.grad(advantage(scores, features)[1].sum(), (scores, features))
    assert of_scores[:, 0].tolist() == [0, 1, 0]
    assert (of_features[1] != 0).any()
    assert (of_features[[0, 2]] == 0).all()


def test_features_of_zero_have_no_direction_and_finite_derivatives() -> None:
    features = torch.zeros(K, 2, 4, dtype=torch.float64, requires_grad=True)
    u = advantage(torch.zeros(K, 2, dtype=torch.float64), features)
    (gradient,) = torch.autograd.grad(u.sum(), features, create_graph=True)
    (curvature,) = torch.autograd.grad(gradient.square().sum(), features)
    assert (u == 0).all()
    assert gradient.isfinite().all()
    assert curvature.isfinite().all()


@pytest.mark.parametrize("kind", ["text", "points", "image"])
def test_where_the_advantage_is_negative_it_counts_and_else_the_plain_loss_alone(kind: Kind) -> None:
    config = configured("mad-gan-sim", generators=K, similarity=0.7)
    training = begin(config, data_of(kind))
    game, batch = training.game, Draws.of(training, data_of(kind), config, torch.device("cpu")).batch(0, 0)
    generator, critic = (game.players[name].eval() for name in ("generator", "critic"))
    samples = generator.of_each(batch.latent)
    scores = torch.stack([critic(each) for each in samples])
    u = advantage(scores.sigmoid(), torch.stack([critic.features(each) for each in samples]))
    _, terms = game.loss("generator", batch)
    torch.testing.assert_close(terms["non_saturating"], softplus(-scores).mean(dim=1).sum())
    torch.testing.assert_close(terms["similarity"], 0.7 * (-u).clamp(min=0).mean(dim=1).sum())
    assert (u < 0).any()


def test_its_critic_is_that_of_a_gan_against_all_generators_together() -> None:
    config, data = configured("mad-gan-sim", generators=K), data_of("points")
    training = begin(config, data)
    batch = Draws.of(training, data, config, torch.device("cpu")).batch(0, 0)
    generator, critic = (training.game.players[name] for name in ("generator", "critic"))
    owner = batch.latent[:, -K:].argmax(dim=1)
    fake = generator.of_each(batch.latent)[owner, torch.arange(len(owner))]
    expected = softplus(-critic(batch.real)).mean() + softplus(critic(fake)).mean()
    torch.testing.assert_close(training.game.loss("critic", batch)[0], expected)


@pytest.mark.parametrize("changed", [{"critic.norm": "batch"}, {"critic.minibatch_discrimination": True}], ids=str)
@pytest.mark.parametrize("variant", ["mad-gan", "mad-gan-sim"])
def test_critics_that_compare_samples_judge_generators_apart(variant: str, changed: dict[str, Any]) -> None:
    config, data = configured(variant, generators=K, **changed), data_of("points")
    terms = rounds(begin(config, data), config, data, 2)
    assert all(value.isfinite() for each in terms for value in each.values())
