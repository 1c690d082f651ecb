"""The text networks of Gulrajani et al. 2017 (language model): residual 1-D convolutions.

N batch, T length, V alphabet, C width, Z latent, K labels.  Text is (N, T, V): one-hot rows for real strings, the
softmax's probabilities for generated ones.

The networks of a conditional model take the one-hot row of a string's label too (Mirza and Osindero 2014): the
generator after the latent, the critic after the channels of the text at every position.  K = 0 is the paper's network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose1d, linear

RESIDUAL = 0.3  # weight of a block's branch, as in the paper's code

Rectified = tuple[Tensor, Tensor]
"""What the two ReLUs of a block give, (N, C, T) each."""

Step = tuple[Tensor, Rectified]
"""What enters a block, (N, C, T), and what its ReLUs give."""


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
        with torch.no_grad():
            # The one coordinate that is not 0 says as much as the Z of the latent together: labels are obeyed earlier.
            self.expand.weight[:, latent:] *= latent**0.5

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

    The last convolution and the linear layer after it are one linear map of what the last ReLU gives.  Its weights,
    the same for all samples, are the gradient at that ReLU: with them the score costs one convolution less.
    """

    def __init__(self, *, length: int, size: int, width: int, depth: int, kernel: int, labels: int = 0) -> None:
        """Raises ValueError if depth is less than 1."""
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.size, self.width, self.labels = size, width, labels
        self.input = nn.Conv1d(size + labels, width, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(width, kernel) for _ in range(depth)))
        self.score = nn.Linear(width * length, 1)
        self.apply(initialize)

    def forward(self, text: Tensor) -> Tensor:
        for last in self._steps(text):  # noqa: B007
            pass  # and keep none of those before
        return self._score(last, self._readout())

    def slope(self, at: Tensor) -> Tensor:
        """||grad D||_2 at each text of ``at`` (N, T, V + K), (N,), differentiable in the weights by one backward pass.

        The gradient is that in the text: a label has no neighbours among which the critic could be steep.

        The critic is piecewise linear: with the ReLUs' masks held, its gradient is a linear network of transposed
        convolutions, an ordinary forward pass.  The masks are constant almost everywhere, so that this equals, and
        is faster than, differentiating autograd's own gradient.
        """
        with torch.no_grad():
            rectified = [each for _, each in self._steps(at)]
        return norm(self._gradient(rectified, self._readout()))

    def score_and_slope(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of texts (N, T, V + K), (N,), and the ``slope`` at each, (N,), by one forward pass."""
        steps, readout = list(self._steps(text)), self._readout()
        rectified = [(outer.detach(), inner.detach()) for _, (outer, inner) in steps]
        return self._score(steps[-1], readout), norm(self._gradient(rectified, readout))

    def _steps(self, text: Tensor) -> Iterator[Step]:
        """Each block in turn; the last one's second convolution is not asked for."""
        *others, last = self._blocks()
        hidden = self.input(text.transpose(1, 2))
        for block in others:
            rectified = block.rectified(hidden)
            yield hidden, rectified
            hidden = block.joined(hidden, rectified[1])
        yield hidden, last.rectified(hidden)

    def _readout(self) -> tuple[Tensor, Tensor]:
        """The gradient of the score at the last block's output and at its second ReLU, (1, C, T) each."""
        output = self.score.weight.view(1, self.width, -1)
        return output, self._blocks()[-1].branch_gradient(output)

    def _score(self, last: Step, readout: tuple[Tensor, Tensor]) -> Tensor:
        (hidden, (_, inner)), (output, branch) = last, readout
        bias = cast(nn.Conv1d, self._blocks()[-1].branch[3]).bias
        constant = self.score.bias + RESIDUAL * output.sum(dim=2) @ cast(Tensor, bias)
        skipped = linear(hidden.flatten(1), output.flatten(1))
        return (skipped + linear(inner.flatten(1), branch.flatten(1), constant)).squeeze(1)

    def _gradient(self, rectified: Sequence[Rectified], readout: tuple[Tensor, Tensor]) -> Tensor:
        """The gradient of the score in the text, (N, V, T)."""
        *others, last = zip(self._blocks(), rectified, strict=True)
        gradient = last[0].adjoint(*readout, last[1])
        for block, passing in reversed(others):
            gradient = block.adjoint(gradient, block.branch_gradient(gradient), passing)
        return transposed(gradient, self.input)[:, : self.size]

    def _blocks(self) -> list[ResidualBlock]:
        return cast("list[ResidualBlock]", list(self.blocks))
