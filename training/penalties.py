"""Constraints on a critic: terms that it minimises, and projections of its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from model.text import norm


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor, *, weight: float = 10.0
) -> Tensor:
    """Penalise slopes of the critic that differ from 1 between real and fake samples.

    real, fake: (N, ...), same shape; both are detached, since the penalty binds the critic alone.
    mix: (N,), the share of the real sample in each point at which the slope is taken; uniform on (0, 1).
    Returns a scalar: weight * mean over N of (||grad||_2 - 1)^2, the norm over all axes but the batch's.
    Raises ValueError if the shapes do not fit.  Gulrajani et al. 2017, Eq. 3.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake must have one shape, got {tuple(real.shape)} and {tuple(fake.shape)}")
    # One weight a sample: any other shape would be broadcast over the axes of the data, in silence.
    if mix.shape != real.shape[:1]:
        raise ValueError(f"mix must have one weight a sample, ({len(real)},), got {tuple(mix.shape)}")
    real = real.detach()
    # Autocast makes the fake in half the precision of the real samples.
    fake = fake.detach().to(real.dtype)
    mix = mix.to(real.dtype).view(-1, *[1] * (real.dim() - 1))
    return weight * (slope(critic, torch.lerp(fake, real, mix)) - 1).square().mean()


def slope(critic: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """||grad D||_2 at each sample, (N,), differentiable in the critic's weights.

    at: (N, ...).  A critic that offers ``slope`` computes it in closed form; any other is differentiated twice.
    A slope of exactly 0 has derivatives of 0 and not NaN.
    """
    if hasattr(critic, "slope"):
        return cast(Tensor, critic.slope(at))
    return slope_by_autograd(critic, at)


def slope_by_autograd(critic: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """As ``slope``, whatever the critic offers: its derivatives differentiate autograd's own gradient."""
    at = at.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    return norm(gradient[..., : gradient.shape[-1] - getattr(critic, "labels", 0)])


def clip_weights(critic: nn.Module, bound: float = 0.01) -> Callable[[], None]:
    """A projection that clamps every weight to [-bound, bound].  Arjovsky et al. 2017, Algorithm 1."""

    def project() -> None:
        with torch.no_grad():
            for parameter in critic.parameters():
                parameter.clamp_(-bound, bound)

    return project
