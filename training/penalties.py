"""Constraints on a critic: terms that it minimises, and projections of its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, weight: float = 10.0) -> Tensor:
    """Penalise slopes of the critic that differ from 1 between real and fake samples.

    real, fake: (N, ...), same shape; both are detached, since the penalty binds the critic alone.
    Returns a scalar: weight * mean over N of (||grad||_2 - 1)^2, the norm over all axes but the batch's and one
    interpolation weight per sample, from torch's global generator.
    Raises ValueError if the shapes differ.  Gulrajani et al. 2017, Eq. 3.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake must have one shape, got {tuple(real.shape)} and {tuple(fake.shape)}")
    real = real.detach()
    # Autocast makes the fake in half the precision of the real samples.
    fake = fake.detach().to(real.dtype)
    mix = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device, dtype=real.dtype)
    return weight * (slope(critic, torch.lerp(fake, real, mix)) - 1).square().mean()


def slope(critic: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """||grad D||_2 at each sample, (N,), differentiable in the critic's weights.

    at: (N, ...).  A critic that offers ``slope`` computes it in closed form; any other is differentiated twice.
    A slope of exactly 0 has the subgradient 0 and not NaN.
    """
    if hasattr(critic, "slope"):
        return cast(Tensor, critic.slope(at))
    at = at.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    return cast(Tensor, torch.linalg.vector_norm(gradient.flatten(1), dim=1))


def clip_weights(critic: nn.Module, bound: float = 0.01) -> Callable[[], None]:
    """A projection that clamps every weight to [-bound, bound].  Arjovsky et al. 2017, Algorithm 1."""

    def project() -> None:
        with torch.no_grad():
            for parameter in critic.parameters():
                parameter.clamp_(-bound, bound)

    return project
