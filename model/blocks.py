"""Residual 1-D convolutions, of which the text networks are made.

N batch, T length, C width.  Each block is x + 0.3 of a branch of two convolutions, as in the code of Gulrajani et al.
2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose1d

RESIDUAL = 0.3  # weight of a block's branch, as in the paper's code

Norm = Callable[[int], nn.Module]
"""A layer that normalises the C channels of (N, C, ...), made of C."""

NORMS: Mapping[str, Norm] = {
    "batch": nn.BatchNorm1d,
    # Of a sample's channels and positions together, with a scale and an offset for each channel: as the paper's code.
    "layer": partial(nn.GroupNorm, 1),
    "instance": lambda channels: nn.GroupNorm(channels, channels),
}
"""What a critic's layers may be normalised by.  All but batch norm keep samples apart."""

Rectified = tuple[Tensor, Tensor]
"""What the two ReLUs of a block give, (N, C, T) each."""


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
        return self.joined(x, self.rectified(x)[1])

    def rectified(self, x: Tensor) -> Rectified:
        """relu(x), and relu of the first convolution of that."""
        outer = torch.relu(x)
        return outer, torch.relu(self.branch[1](outer))

    def joined(self, x: Tensor, inner: Tensor) -> Tensor:
        """The block's output, of its input and of what its second ReLU gave for that."""
        return x + RESIDUAL * cast(Tensor, self.branch[3](inner))

    def branch_gradient(self, y: Tensor) -> Tensor:
        """The gradient at the second ReLU's output, of the one at the block's output, y."""
        return transposed(RESIDUAL * y, self.branch[3])

    def adjoint(self, y: Tensor, branch: Tensor, rectified: Rectified) -> Tensor:
        """The gradient at the block's input, (N, C, T), of y at its output and of ``branch_gradient(y)``.

        y, branch: (N, C, T), or (1, C, T) where they are the same for all samples.
        """
        outer, inner = rectified
        return y + passed(transposed(passed(branch, inner), self.branch[1]), outer)


def passed(y: Tensor, rectified: Tensor) -> Tensor:
    """The derivative of a ReLU, as torch has it: y (N or 1, C, T) where it let its input through, 0 where it gave 0."""
    # The kernel of ReLU's own backward: as fast as a product, where making a mask or selecting by one is not.
    return cast(Tensor, torch.ops.aten.threshold_backward(y.expand_as(rectified), rectified, 0))


def transposed(y: Tensor, layer: nn.Module) -> Tensor:
    """The transpose of a length-keeping convolution, without its bias, applied to y (N, C, T)."""
    weight = cast(nn.Conv1d, layer).weight
    return conv_transpose1d(y, weight, padding=weight.shape[2] // 2)


def norm(gradient: Tensor) -> Tensor:
    """||.||_2 of each sample of (N, ...), (N,), in fp32 at least; at 0 its derivatives of every order are 0."""
    square = gradient.flatten(1).to(torch.promote_types(gradient.dtype, torch.float32)).square().sum(dim=1)
    # Not vector_norm: its second derivative at 0, which the consensus rule asks for, is NaN.
    flat = square == 0
    return torch.where(flat, 1, square).sqrt() * ~flat


class NormalisedBlock(nn.Module):
    """x + 0.3 * conv(relu(norm(conv(relu(norm(x)))))), length kept; x is (N, C, T)."""

    def __init__(self, width: int, kernel: int, norm: Norm) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [norm(width), nn.ReLU(), nn.Conv1d(width, width, kernel, padding=kernel // 2)]
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * cast(Tensor, self.branch(x))


def block_of(width: int, kernel: int, norm: Norm | None) -> Callable[[], nn.Module]:
    """Makes residual blocks of that size, with norms or without."""
    return partial(NormalisedBlock, width, kernel, norm) if norm else partial(ResidualBlock, width, kernel)
