"""The text networks of Gulrajani et al. 2017 (language model): residual 1-D convolutions.

N batch, T length, V alphabet, C width, Z latent, K labels.  Text is (N, T, V): one-hot rows for real strings, the
softmax's probabilities for generated ones.

The networks of a conditional model take the one-hot row of a string's label too (Mirza and Osindero 2014): the
generator after the latent, the critic after the channels of the text at every position.  K = 0 is the paper's network.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

RESIDUAL = 0.3  # weight of a block's branch, as in the paper's code


def initialize(module: nn.Module) -> None:
    """Uniform weights of variance 4 / (inputs + outputs) in a convolution, half that in a linear layer, no bias.

    So does the paper's code.  Torch's own default is so small that training spends its first thousand rounds growing
    the weights.
    """
    if isinstance(module, nn.Conv1d | nn.Linear):
        nn.init.xavier_uniform_(module.weight, gain=2**0.5 if isinstance(module, nn.Conv1d) else 1.0)
        nn.init.zeros_(cast(Tensor, module.bias))


class ResidualBlock(nn.Module):
    """x + 0.3 * conv(relu(conv(relu(x)))), length kept; x is (N, C, T)."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        # Not in place: the skip path must carry x and not relu(x).
        self.branch = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(width, width, kernel, padding=kernel // 2),
            nn.ReLU(),
            nn.Conv1d(width, width, kernel, padding=kernel // 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * cast(Tensor, self.branch(x))

    def masked(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The block's output, and where its two ReLUs let x pass, as 0 and 1."""
        inner = self.branch[1](torch.relu(x))
        masks = (x > 0).to(x.dtype), (inner > 0).to(x.dtype)
        return x + RESIDUAL * cast(Tensor, self.branch[3](torch.relu(inner))), masks

    def adjoint(self, y: Tensor, masks: tuple[Tensor, Tensor]) -> Tensor:
        """The transpose of the block's derivative, applied to y (N, C, T)."""
        first, second = cast(nn.Conv1d, self.branch[1]), cast(nn.Conv1d, self.branch[3])
        inner = transposed(RESIDUAL * y, second) * masks[1]
        return y + transposed(inner, first) * masks[0]


def transposed(y: Tensor, layer: nn.Conv1d) -> Tensor:
    """The transpose of a length-keeping convolution, without its bias, applied to y (N, C, T)."""
    return torch.nn.functional.conv_transpose1d(y, layer.weight, padding=layer.kernel_size[0] // 2)


def labelled(text: Tensor, labels: Tensor) -> Tensor:
    """What a conditional critic takes, (N, T, V + K), of text (N, T, V) and the one-hot rows of its labels (N, K)."""
    return torch.cat([text, labels.unsqueeze(1).expand(-1, text.shape[1], -1)], dim=2)


class Generator(nn.Module):
    """Latents (N, Z + K) to probabilities (N, T, V): linear, residual blocks, width-1 convolution, softmax.

    With labels, to what a critic takes, (N, T, V + K): the text and, after it, the label that it was asked to be of.
    """

    def __init__(
        self, *, length: int, size: int, width: int, depth: int, kernel: int, latent: int, labels: int = 0
    ) -> None:
        super().__init__()
        self.width, self.length, self.latent, self.labels = width, length, latent, labels
        self.expand = nn.Linear(latent + labels, width * length)
        self.blocks = nn.Sequential(*(ResidualBlock(width, kernel) for _ in range(depth)))
        self.output = nn.Conv1d(width, size, 1)
        self.apply(initialize)

    def logits(self, latent: Tensor) -> Tensor:
        """Unnormalised log probabilities, (N, T, V); their argmax is the string that is served."""
        hidden = self.expand(latent).view(-1, self.width, self.length)
        return cast(Tensor, self.output(self.blocks(hidden))).transpose(1, 2)

    def forward(self, latent: Tensor) -> Tensor:
        text = self.logits(latent).softmax(dim=2)
        return labelled(text, latent[:, self.latent :]) if self.labels else text


class Critic(nn.Module):
    """Text (N, T, V + K) to a score (N,): the generator mirrored.  High for text that looks real; not a probability.

    With labels, high for text that looks like real text of its label.
    """

    def __init__(self, *, length: int, size: int, width: int, depth: int, kernel: int, labels: int = 0) -> None:
        super().__init__()
        self.size, self.labels = size, labels
        self.input = nn.Conv1d(size + labels, width, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(width, kernel) for _ in range(depth)))
        self.score = nn.Linear(width * length, 1)
        self.apply(initialize)

    def forward(self, text: Tensor) -> Tensor:
        hidden = self.blocks(self.input(text.transpose(1, 2)))
        return cast(Tensor, self.score(hidden.flatten(1))).squeeze(1)

    def slope(self, at: Tensor) -> Tensor:
        """||grad D||_2 at each text of ``at`` (N, T, V + K), (N,), differentiable in the weights by one backward pass.

        The gradient is that in the text: a label has no neighbours among which the critic could be steep.

        The critic is piecewise linear: with the ReLUs' masks held, its gradient is a linear network of transposed
        convolutions, an ordinary forward pass.  The masks are constant almost everywhere, so that this equals, and
        is faster than, differentiating autograd's own gradient.
        """
        with torch.no_grad():
            hidden, masks = self.input(at.transpose(1, 2)), []
            for block in self.blocks:
                hidden, mask = cast(ResidualBlock, block).masked(hidden)
                masks.append(mask)
        gradient = self.score.weight.view(1, hidden.shape[1], -1).expand_as(hidden)
        for block, mask in zip(reversed(list(self.blocks)), reversed(masks), strict=True):
            gradient = cast(ResidualBlock, block).adjoint(gradient, mask)
        text = transposed(gradient, self.input)[:, : self.size]
        return cast(Tensor, torch.linalg.vector_norm(text.flatten(1), dim=1))
