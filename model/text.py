"""The text networks of Gulrajani et al. 2017 (language model): residual 1-D convolutions.

N batch, T length, V alphabet, C width, Z latent, K labels.  Text is (N, T, V): one-hot rows for real strings, the
softmax's probabilities for generated ones.

The networks of a conditional model take the one-hot row of a string's label too (Mirza and Osindero 2014): the
generator after the latent, the critic after the channels of the text at every position.  K = 0 is the paper's network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from model.blocks import NORMS, RESIDUAL, Rectified, ResidualBlock, block_of, initialize, norm, transposed
from model.branches import Branched, Further, Heads

Step = tuple[Tensor, Rectified]
"""What enters a block, (N, C, T), and what its ReLUs give."""


def labelled(text: Tensor, labels: Tensor) -> Tensor:
    """What a conditional critic takes, (N, T, V + K), of text (N, T, V) and the one-hot rows of its labels (N, K)."""
    return torch.cat([text, labels.unsqueeze(1).expand(-1, text.shape[1], -1)], dim=2)


class Generator(Branched):
    """Latents (N, Z + K) to probabilities (N, T, V): linear, residual blocks, width-1 convolution, softmax.

    With labels, to what a critic takes, (N, T, V + K): the text and, after it, the label that it was asked to be of.
    Several generators share all but the last block and the last convolution.
    """

    def __init__(
        self,
        *,
        length: int,
        size: int,
        width: int,
        depth: int,
        kernel: int,
        latent: int,
        **further: Unpack[Further],
    ) -> None:
        """further: as for ``Branched``."""
        super().__init__(latent=latent, **further)
        self.width, self.length = width, length
        heads, block = self.heads, block_of(width, kernel, self.norm(None))
        last = partial(nn.Conv1d, width, size, 1)
        self.expand = nn.Linear(self.inputs, width * length)
        self.blocks = nn.Sequential(*(block() for _ in range(depth - bool(heads))))
        own = (nn.Sequential(OrderedDict(block=block(), output=last())) for _ in range(heads))
        self.output = Heads(own) if heads else last()
        self.apply(initialize)
        with torch.no_grad():
            # The one coordinate that is not 0 says as much as the Z of the latent together: labels are obeyed earlier.
            self.expand.weight[:, latent:] *= latent**0.5

    def hidden(self, latent: Tensor) -> Tensor:
        """What the shared blocks give, (N, C, T)."""
        return cast(Tensor, self.blocks(self.expand(latent).view(-1, self.width, self.length)))

    def logits(self, latent: Tensor) -> Tensor:
        """Unnormalised log probabilities, (N, T, V); their argmax is the string that is served."""
        return self.chosen(self.outputs(latent), latent).transpose(1, 2)

    def of_each(self, latent: Tensor) -> Tensor:
        """The probabilities that each of several generators gives of the same latents, (K, N, T, V)."""
        return self.outputs(latent).transpose(2, 3).softmax(dim=3)

    def forward(self, latent: Tensor) -> Tensor:
        text = self.logits(latent).softmax(dim=2)
        return labelled(text, latent[:, self.latent :]) if self.labels else text


class ResidualCritic(nn.Module):
    """Text (N, T, V + K) to a score (N,): the generator mirrored.  High for text that looks real; not a probability.

    With labels, high for text that looks like real text of its label.  A critic that tells several classes gives logits
    (N, outputs) instead, the data's class last.  Differentiated twice under a penalty on its slopes.
    """

    def __init__(
        self,
        norm: str = "none",
        /,
        *,
        length: int,
        size: int,
        width: int,
        depth: int,
        kernel: int,
        labels: int = 0,
        outputs: int = 0,
        anchored: bool = False,
    ) -> None:
        """norm: one of NORMS, before each ReLU, or "none".  outputs: classes, 0 for a score.

        anchored: whether these are all of real text, and that of generated text is one more, whose logit is 0.
        Raises ValueError if depth is less than 1.
        """
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.sizes = {"length": length, "width": width, "depth": depth, "kernel": kernel}
        self.size, self.width, self.labels, self.outputs, self.norm = size, width, labels, outputs, norm
        self.anchored = anchored
        block = block_of(width, kernel, NORMS.get(norm))
        self.input = nn.Conv1d(size + labels, width, 1)
        self.blocks = nn.Sequential(*(block() for _ in range(depth)))
        self.score = nn.Linear(width * length, outputs or 1)
        self.apply(initialize)

    @property
    def form(self) -> dict[str, str | int]:
        """What makes it another than the paper's."""
        told: dict[str, str | int] = {"norm": self.norm if self.norm in NORMS else "", "outputs": self.outputs}
        told["anchored"] = self.anchored
        return {name: value for name, value in told.items() if value}

    def features(self, text: Tensor) -> Tensor:
        """The last hidden layer, flat, (N, C T)."""
        return cast(Tensor, self.blocks(self.input(text.transpose(1, 2)))).flatten(1)

    def read(self, features: Tensor) -> Tensor:
        """The score (N,), or the logits (N, outputs), of ``features``."""
        return self._squeezed(self.score(features))

    def forward(self, text: Tensor) -> Tensor:
        return self.read(self.features(text))

    def scores(self, text: Tensor) -> Tensor:
        """One number a text, (N,): the score, or the log odds that its class is the data's, or one of them."""
        judged: Tensor = self(text)
        if self.anchored:
            return judged.logsumexp(dim=1)
        return log_odds(judged) if self.outputs else judged

    def _squeezed(self, judged: Tensor) -> Tensor:
        return judged if self.outputs else judged.squeeze(1)


class Critic(ResidualCritic):
    """A critic without norms, the paper's: piecewise linear, which gives its slope in closed form.

    The last convolution and the linear layer after it are one linear map of what the last ReLU gives.  Its weights,
    the same for all samples, are the gradient at that ReLU: with them the score costs one convolution less.
    Weights may be normalised, since they stay weights.
    """

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
        """The gradient of each output at the last block's output and at its second ReLU, (1 or outputs, C, T)."""
        output = self.score.weight.view(self.outputs or 1, self.width, -1)
        return output, self._blocks()[-1].branch_gradient(output)

    def _score(self, last: Step, readout: tuple[Tensor, Tensor]) -> Tensor:
        (hidden, (_, inner)), (output, branch) = last, readout
        bias = cast(nn.Conv1d, self._blocks()[-1].branch[3]).bias
        constant = self.score.bias + RESIDUAL * output.sum(dim=2) @ cast(Tensor, bias)
        skipped = linear(hidden.flatten(1), output.flatten(1))
        return self._squeezed(skipped + linear(inner.flatten(1), branch.flatten(1), constant))

    def _gradient(self, rectified: Sequence[Rectified], readout: tuple[Tensor, Tensor]) -> Tensor:
        """The gradient of the score in the text, (N, V, T).  Raises ValueError if there are classes and no score."""
        if self.outputs:
            raise ValueError(f"a slope is that of a score, and this critic gives {self.outputs} logits")
        *others, last = zip(self._blocks(), rectified, strict=True)
        gradient = last[0].adjoint(*readout, last[1])
        for block, passing in reversed(others):
            gradient = block.adjoint(gradient, block.branch_gradient(gradient), passing)
        return transposed(gradient, self.input)[:, : self.size]

    def _blocks(self) -> list[ResidualBlock]:
        return cast("list[ResidualBlock]", list(self.blocks))


def critic_of(norm: str, *, anchored: bool = False, **sizes: int) -> ResidualCritic:
    """The text critic of that norm, one of NORMS, or the one without."""
    if norm in NORMS:
        return ResidualCritic(norm, **sizes, anchored=anchored)
    return Critic(**sizes, anchored=anchored)


def log_odds(logits: Tensor) -> Tensor:
    """Log D/(1 - D), (N,), D the probability of the last class, the data's, of logits (N, K + 1)."""
    return logits[:, -1] - logits[:, :-1].logsumexp(dim=1)
