"""What generators of every kind of data may have besides their layers: branches, and virtual batch norm.

N batch, Z latent, L labels, K branches, B reference samples, C channels, P positions of a channel.

A branch is one of several generators that share their first layers, or one of several Gaussians that latents are drawn
from, or a code that enters the first layers beside the latent.  A one-hot row after the latent says which of them makes
a sample: a generator with branches takes (N, Z + K), any other one (N, Z), or (N, Z + L) under labels.
"""

from __future__ import annotations

from typing import TypedDict, TypeVar, cast

import torch
from torch import Tensor, nn

from model.blocks import Norm

Otherwise = TypeVar("Otherwise", bound=Norm | None)

REFERENCE = 64  # B
EPSILON = 1e-5  # beside a variance, as in batch norm


class Heads(nn.ModuleList):
    """The last layers of K generators that share all others: of what enters, (N, ...), what each makes, (K, N, ...)."""

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.stack([head(hidden) for head in self])


class Mixture(nn.Module):
    """Latents of K Gaussians that are learned, z = mu_i + sigma_i eps (DeLiGAN).  Gurumurthy et al. 2017, section 4.

    mean, deviation: (K, Z), at first uniform on (-1, 1) and 0.2 everywhere, as in the authors' code.
    """

    def __init__(self, count: int, latent: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.empty(count, latent).uniform_(-1, 1))
        self.deviation = nn.Parameter(torch.full((count, latent), 0.2))

    def forward(self, noise: Tensor, chosen: Tensor) -> Tensor:
        """Latents (N, Z) of noise (N, Z) from N(0, 1) and the one-hot rows of the Gaussians, (N, K)."""
        return chosen @ self.mean + (chosen @ self.deviation) * noise


class VirtualBatchNorm(nn.Module):
    """Normalises each sample by statistics of itself and of B reference samples.  Salimans et al. 2016, section 3.5.

    E x = x/(B + 1) + B/(B + 1) E_reference x, likewise of x^2, x being the mean over a channel's positions.  So no
    sample depends on those beside it.  The reference stands before them, (B + N, C, ...), normalised by itself alone.
    held: (2, C), mean and variance of the reference once it is settled; then it stands there no more.
    """

    held: Tensor | None

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels, 1)), nn.Parameter(torch.zeros(channels, 1))
        self.register_buffer("held", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = by_channel(x)
        own: Tensor | float = 1.0
        if self.held is None:
            own = torch.arange(len(x), device=x.device).ge(REFERENCE).view(-1, 1, 1).to(rows.dtype)
        share = own / (REFERENCE + 1)
        mean, variance = (self.statistics(x) if self.held is None else self.held).unsqueeze(2)
        # About the reference's mean, where second moments lose nothing to cancellation.
        apart = rows - mean
        shift = share * apart.mean(dim=2, keepdim=True)
        square = (1 - share) * variance + share * apart.square().mean(dim=2, keepdim=True)
        normal = (apart - shift) * (square - shift.square() + EPSILON).rsqrt()
        return cast(Tensor, self.weight * normal + self.bias).view_as(x)

    def statistics(self, x: Tensor) -> Tensor:
        """Mean and variance of the reference, (2, C), which are the first B of x."""
        reference = by_channel(x[:REFERENCE]).transpose(1, 2).flatten(0, 1)
        return torch.stack([reference.mean(dim=0), reference.var(dim=0, unbiased=False)])


def by_channel(x: Tensor) -> Tensor:
    """(N, C, ...) as (N, C, P), in fp32 at least."""
    return x.reshape(*x.shape[:2], -1).to(torch.promote_types(x.dtype, torch.float32))


class Further(TypedDict, total=False):
    """What a generator may be told besides the sizes of its layers, as for ``Branched``."""

    labels: int
    heads: int
    mixture: int
    codes: int
    virtual_batch_norm: bool


class Branched(nn.Module):
    """A generator: first layers, ``hidden``, then ``output``, which are ``Heads`` where there are several generators.

    heads: generators, 0 for one.  branches: K, 0 for a generator that has none.  inputs: coordinates that enter the
    first layers.  reference: (B, Z + K), latents of virtual batch norm, None without.
    form: the arguments that make it another than a plain one.
    """

    output: nn.Module
    reference: Tensor | None

    def __init__(
        self,
        *,
        latent: int,
        labels: int = 0,
        heads: int = 0,
        mixture: int = 0,
        codes: int = 0,
        virtual_batch_norm: bool = False,
    ) -> None:
        """heads: generators, 0 for one.  mixture: Gaussians that latents are a mixture of, 0 for N(0, 1).

        codes: that samples are made of besides their latents, 0 for none.
        """
        super().__init__()
        self.latent, self.labels, self.codes, self.branches = latent, labels, codes, heads or mixture or codes
        self.heads, self.inputs = heads, latent + labels + codes
        self.mixture = Mixture(mixture, latent) if mixture else None
        rows = torch.zeros(REFERENCE, latent + labels + self.branches) if virtual_batch_norm else None
        self.register_buffer("reference", rows)
        self.settled = not virtual_batch_norm
        form = {"heads": heads, "mixture": mixture, "codes": codes, "virtual_batch_norm": virtual_batch_norm}
        self.form = {name: value for name, value in form.items() if value}

    def norm(self, otherwise: Otherwise) -> Norm | Otherwise:
        """What normalises its layers: virtual batch norm where that was asked for."""
        return otherwise if self.reference is None else VirtualBatchNorm

    def hidden(self, latent: Tensor) -> Tensor:
        """What the first layers give of latents (N, Z + L), or (N, Z + K) with codes, (N, ...)."""
        raise NotImplementedError

    def entering(self, latent: Tensor) -> Tensor:
        """What enters the first layers, (N, Z + L), or (N, Z + K) with codes, of latents with branches (N, Z + K)."""
        if self.mixture is not None:
            return cast(Tensor, self.mixture(latent[:, : self.latent], latent[:, self.latent :]))
        return latent[:, : self.latent] if self.branches and not self.codes else latent

    def outputs(self, latent: Tensor) -> Tensor:
        """What ``output`` gives of latents (N, Z + K): (N, ...), or (K, N, ...) where there are several generators."""
        if self.settled:
            return cast(Tensor, self.output(self.hidden(self.entering(latent))))
        assert self.reference is not None
        every: Tensor = self.output(self.hidden(self.entering(torch.cat([self.reference, latent]))))
        return every[:, REFERENCE:] if isinstance(self.output, Heads) else every[REFERENCE:]

    def chosen(self, outputs: Tensor, latent: Tensor) -> Tensor:
        """Of these outputs, what each sample's own generator gave, (N, ...)."""
        if not isinstance(self.output, Heads):
            return outputs
        own = latent[:, self.latent :].T[(..., *[None] * (outputs.dim() - 2))]
        return (outputs * own).sum(dim=0)

    def of_each(self, latent: Tensor) -> Tensor:
        """The samples that each of several generators makes of the same latents, (K, N, ...)."""
        return self.outputs(latent)

    def forward(self, latent: Tensor) -> Tensor:
        return self.chosen(self.outputs(latent), latent)

    @torch.no_grad()
    def settle(self) -> None:
        """Hold the reference's statistics under today's weights, for a network that is trained no more."""
        if self.reference is None or self.settled:
            return
        layers = [module for module in self.modules() if isinstance(module, VirtualBatchNorm)]
        hooks = [layer.register_forward_hook(_hold) for layer in layers]
        self.outputs(self.reference[:1])
        for hook in hooks:
            hook.remove()
        self.settled = True


def _hold(layer: nn.Module, given: tuple[Tensor], _: Tensor) -> None:
    assert isinstance(layer, VirtualBatchNorm)
    layer.held = layer.statistics(*given)
