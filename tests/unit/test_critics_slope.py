"""The text critic's closed form under normalised weights, packs and classes; and that no other critic offers one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_runs import Memory, configured, data_of
from torch import Tensor, nn

from model.blocks import norm
from model.text import Critic, log_odds
from training.cures import packed
from training.layers import Spectral
from training.networks.roles import Roles

PIECEWISE_LINEAR: list[dict[str, Any]] = [
    {},
    {"critic.norm": "weight"},
    {"critic.norm": "spectral"},
    {"critic.pack": 3},
    {"critic.pack": 2, "critic.norm": "weight"},
]
OTHERS: list[dict[str, Any]] = [
    {"critic.norm": "batch"},
    {"critic.norm": "layer"},
    {"critic.norm": "instance"},
    {"critic.minibatch_discrimination": True},
]
SIZES = [{"model.depth": 1}, {"model.depth": 3, "model.width": 8, "model.kernel": 5}]
# Of the largest of the slopes, and of the derivatives in each parameter.
TOLERANCE = 1e-12


def critic_of(outputs: int = 0, labels: int = 0, **asked: Any) -> nn.Module:
    torch.manual_seed(1)
    roles = Roles("text", (5, 6), configured(**asked), labels)
    critic = roles.critic(outputs)
    for name, parameter in critic.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.3)
    return critic.double()


def texts(asked: dict[str, Any]) -> Tensor:
    """One-hot rows, and mixtures of them."""
    data = data_of("text")
    assert isinstance(data, Memory)
    rows = data.samples[:12].double()
    return packed(torch.cat([rows, torch.lerp(rows, rows.flip(0), 0.3)]), asked.get("critic.pack", 1), "text")


def by_autograd(critic: nn.Module, at: Tensor, labels: int = 0) -> Tensor:
    at = at.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    return norm(gradient[..., : gradient.shape[-1] - labels])


def derivatives(slope: Tensor, critic: nn.Module) -> list[Tensor]:
    penalty = 10 * (slope - 1).square().mean()
    return list(torch.autograd.grad(penalty, list(critic.parameters()), materialize_grads=True))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("asked", PIECEWISE_LINEAR, ids=str)
def test_the_closed_form_is_double_backward_in_the_weights_that_a_normalisation_gives(
    asked: dict[str, Any], size: dict[str, int]
) -> None:
    critic, at = critic_of(**asked, **size), texts(asked)
    assert isinstance(critic, Critic)
    closed, expected = critic.slope(at), by_autograd(critic, at)
    scores, slopes = critic.score_and_slope(at)
    assert torch.equal(scores, critic(at))
    pairs = [(closed, expected), (slopes, expected)]
    pairs += zip(derivatives(closed, critic), derivatives(expected, critic), strict=True)
    for found, reference in pairs:
        assert (found - reference).abs().max() <= TOLERANCE * reference.abs().max()


def test_of_a_conditional_critic_with_normalised_weights_it_is_the_slope_in_the_text() -> None:
    critic, text = critic_of(labels=2, **{"critic.norm": "spectral"}), texts({})
    assert isinstance(critic, Critic)
    torch.testing.assert_close(critic.slope(text), by_autograd(critic, text, labels=2), rtol=1e-12, atol=0)


@pytest.mark.parametrize("asked", OTHERS, ids=str)
def test_a_critic_that_is_not_piecewise_linear_by_itself_offers_none(asked: dict[str, Any]) -> None:
    assert not hasattr(critic_of(**asked), "slope")


def test_the_bound_of_a_spectral_critic_is_the_product_of_those_of_its_layers() -> None:
    critic, at = critic_of(**{"critic.norm": "spectral", "model.depth": 3}), texts({})
    for part in critic.modules():
        if isinstance(part, nn.Conv1d | nn.Linear):
            for _ in range(200):
                spectral = part.parametrizations.weight[0]
                assert isinstance(spectral, Spectral)
                spectral.iterate(part.parametrizations.weight.original)
    # A convolution of kernel 3 meets each position three times: its norm is at most sqrt(3) times that of its matrix.
    bound = (1 + 0.3 * 3) ** 3
    assert (critic.slope(at) <= bound).all()


def test_classes_have_logits_by_the_fast_way_and_no_slope() -> None:
    critic, at = critic_of(outputs=4), texts({})
    assert isinstance(critic, Critic)
    torch.testing.assert_close(critic(at), critic.read(critic.features(at)), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="this critic gives 4 logits"):
        critic.slope(at)
    probabilities = critic(at).softmax(dim=1)[:, -1]
    torch.testing.assert_close(critic.scores(at), (probabilities / (1 - probabilities)).log(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_odds(torch.zeros(2, 4)), torch.full((2,), -torch.log(torch.tensor(3.0))))
