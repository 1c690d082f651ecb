"""The other side: WGAN-GP as it is written down first, in eager torch with nothing done for speed.

The paper's semantics (Gulrajani et al. 2017, Algorithm 1): real, fake and the mix go through the critic one after the
other, the penalty differentiates autograd's own gradient, and torch's default Adam takes the step.  The networks are
the same as ours, their closed-form slope unused.
"""

from __future__ import annotations

import copy

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.text import Critic, Generator


class Plain:
    """A generator, a critic and their optimisers.  ids: the training strings, (M, T)."""

    def __init__(self, generator: Generator, critic: Critic, ids: NDArray, batch_size: int, precision: str) -> None:
        self.generator, self.critic = generator, critic
        self.average = copy.deepcopy(generator)
        self.ids, self.batch_size = torch.from_numpy(ids.astype("int64")), batch_size
        self.symbols = generator.output.out_channels
        self.device = next(critic.parameters()).device
        self.critic_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.5, 0.9))
        self.generator_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.5, 0.9))
        self.bf16 = precision == "bf16"

    def real(self) -> Tensor:
        """A batch of strings, one-hot, (N, T, V)."""
        rows = torch.randint(len(self.ids), (self.batch_size,))
        return nn.functional.one_hot(self.ids[rows], self.symbols).float().to(self.device)

    def latent(self) -> Tensor:
        """A batch of latents, (N, Z)."""
        return torch.randn(self.batch_size, self.generator.latent, device=self.device)

    def critic_step(self, real: Tensor, latent: Tensor) -> None:
        """One move of the critic."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            fake = self.generator(latent).detach().float()
            loss = self.critic(fake).mean() - self.critic(real).mean()
            loss = loss + 10.0 * self.penalty(real, fake)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """Mean of (||grad D|| - 1)^2 between real and fake strings."""
        mix = torch.rand(len(real), 1, 1, device=self.device)
        between = (mix * real + (1 - mix) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()

    def generator_step(self, latent: Tensor) -> None:
        """One move of the generator."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = -self.critic(self.generator(latent)).mean()
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()

    def round(self, n_critic: int) -> None:
        """Critic moves on fresh batches, one move of the generator, and its moving average."""
        for _ in range(n_critic):
            self.critic_step(self.real(), self.latent())
        self.generator_step(self.latent())
        with torch.no_grad():
            for a, w in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                a.mul_(0.999).add_(w, alpha=0.001)
