"""Constraints on a critic: terms that it minimises, and projections of its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from model.blocks import norm
from training.conditions import without

Judge = Callable[[Tensor], Tensor]
"""A critic: samples (N, ...) to scores (N,)."""


def gradient_penalty(
    critic: Judge, real: Tensor, fake: Tensor, mix: Tensor, *, weight: float = 10.0, through: bool = False
) -> Tensor:
    """Penalise slopes of the critic that differ from 1 between real and fake samples.

    real, fake: (N, ...), same shape.
    mix: (N,), the share of the real sample in each point at which the slope is taken; uniform on (0, 1).
    through: whether derivatives go through the fake to what made it.  A penalty binds the critic alone, but consensus
    and unrolling ask how the critic's gradient changes with the generator.
    Returns a scalar: weight * mean over N of (||grad||_2 - 1)^2, the norm over all axes but the batch's.
    Raises ValueError if the shapes do not fit.  Gulrajani et al. 2017, Eq. 3.
    """
    return weight * (slope(critic, between(real, fake, mix, through=through)) - 1).square().mean()


def one_sided_penalty(
    critic: Judge, real: Tensor, fake: Tensor, mix: Tensor, *, weight: float = 10.0, through: bool = False
) -> Tensor:
    """Penalise slopes above 1 alone: weight * mean of max(0, ||grad||_2 - 1)^2.  Petzka et al. 2018, section 5.

    Arguments and errors as of ``gradient_penalty``.
    """
    return weight * relu(slope(critic, between(real, fake, mix, through=through)) - 1).square().mean()


def zero_centred_penalty(
    critic: Judge, real: Tensor, fake: Tensor, mix: Tensor, *, weight: float = 10.0, through: bool = False
) -> Tensor:
    """Penalise every slope: weight * mean of ||grad||_2^2.  Thanh-Tung et al. 2019, section 5.

    Arguments and errors as of ``gradient_penalty``.
    """
    return weight * squared_slope(critic, between(real, fake, mix, through=through)).mean()


def finite_difference_penalty(
    critic: Judge,
    real: Tensor,
    fake: Tensor,
    mix: Tensor,
    *,
    weight: float = 10.0,
    through: bool = False,
    nearest: float = 1e-3,
) -> Tensor:
    """Penalise chords whose slope differs from 1: weight * mean of (|D(x1) - D(x2)| / ||x1 - x2||_2 - 1)^2.

    x1, x2: two points on the segment from a fake to a real sample.  An approximation of ``gradient_penalty`` that needs
    first derivatives alone: it binds chords and not slopes, and those along the segments; between the ends of a chord,
    and across, the critic may be far steeper.
    nearest: what shorter distances count as; scores that are rounded say nothing of a slope over less.
    Other arguments and errors as of ``gradient_penalty``.
    """
    one, other = (between(real, fake, share, through=through) for share in two_of(mix))
    distance: Tensor = (one - other).flatten(1).norm(dim=1).clamp(min=nearest)
    # In full precision: the difference of two scores that were rounded to 8 bits is noise.
    with torch.autocast(one.device.type, enabled=False):
        rise = critic(one) - critic(other)
    return weight * (rise.abs() / distance - 1).square().mean()


def r1(critic: Judge, real: Tensor, fake: Tensor, mix: Tensor, *, weight: float) -> Tensor:
    """Penalise slopes at real samples (N, ...): weight/2 * mean of ||grad||_2^2.  Mescheder et al. 2018, Eq. 9."""
    return 0.5 * weight * squared_slope(critic, real.detach()).mean()


def r2(critic: Judge, real: Tensor, fake: Tensor, mix: Tensor, *, weight: float, through: bool = False) -> Tensor:
    """Penalise slopes at fake samples (N, ...): weight/2 * mean of ||grad||_2^2.  Mescheder et al. 2018, Eq. 10.

    through: as of ``gradient_penalty``.
    """
    return 0.5 * weight * squared_slope(critic, (fake if through else fake.detach()).to(real.dtype)).mean()


def between(real: Tensor, fake: Tensor, mix: Tensor, *, through: bool = False) -> Tensor:
    """Points on the segments from fake to real samples, (N, ...); through: as of ``gradient_penalty``.

    real, fake: (N, ...), same shape.  mix: (N,), the share of the real one; one a sample, the same for all its axes.
    Raises ValueError if the shapes do not fit.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake must have one shape, got {tuple(real.shape)} and {tuple(fake.shape)}")
    # One weight a sample: any other shape would be broadcast over the axes of the data, in silence.
    if mix.shape != real.shape[:1]:
        raise ValueError(f"mix must have one weight a sample, ({len(real)},), got {tuple(mix.shape)}")
    real = real.detach()
    # Autocast makes the fake in half the precision of the real samples.
    fake = (fake if through else fake.detach()).to(real.dtype)
    return torch.lerp(fake, real, mix.to(real.dtype).view(-1, *[1] * (real.dim() - 1)))


def two_of(mix: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent numbers, uniform on (0, 1), of each of (N,) that are: the leading 12 bits, and those after them.

    So each sample has its own two, whatever batch it lies in, and torch's generator is not asked.
    """
    scaled = mix * 4096
    leading = scaled.floor()
    return leading / 4096, scaled - leading


def slope(critic: Judge, at: Tensor) -> Tensor:
    """||grad D||_2 at each sample, (N,), differentiable in the critic's weights.

    at: (N, ...).  A critic that offers ``slope`` computes it in closed form; any other is differentiated twice.
    A slope of exactly 0 has derivatives of 0 and not NaN.
    """
    if hasattr(critic, "slope"):
        return cast(Tensor, critic.slope(at))
    return slope_by_autograd(critic, at)


def squared_slope(critic: Judge, at: Tensor) -> Tensor:
    """||grad D||_2^2 at each sample of ``at`` (N, ...), (N,), with its derivatives, at a slope of 0 too.

    Of a critic with a closed form these are the first ones alone where the slope is exactly 0.
    """
    if hasattr(critic, "slope"):
        return slope(critic, at).square()
    return _gradient(critic, at).flatten(1).square().sum(dim=1)


def slope_by_autograd(critic: Judge, at: Tensor) -> Tensor:
    """As ``slope``, whatever the critic offers: its derivatives differentiate autograd's own gradient."""
    return norm(_gradient(critic, at))


def _gradient(critic: Judge, at: Tensor) -> Tensor:
    """Of the score in each sample of ``at``, but not in the labels that stand after it; differentiable again."""
    at = at if at.requires_grad else at.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    own = without(gradient, getattr(critic, "labels", 0))
    return own.to(torch.promote_types(gradient.dtype, torch.float32))


def clip_weights(critic: nn.Module, bound: float = 0.01) -> Callable[[], None]:
    """A projection that clamps every weight to [-bound, bound].  Arjovsky et al. 2017, Algorithm 1."""

    def project() -> None:
        with torch.no_grad():
            for parameter in critic.parameters():
                parameter.clamp_(-bound, bound)

    return project
