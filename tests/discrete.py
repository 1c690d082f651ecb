"""Two laws on a few points, and critics that are free at each of them: what a loss has at its optimum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

COUNTS_P = torch.tensor([8, 4, 1, 5, 2])  # of 20
COUNTS_Q = torch.tensor([1, 4, 8, 5, 2])
P, Q = COUNTS_P.double() / 20, COUNTS_Q.double() / 20
REAL, FAKE = (torch.arange(5).repeat_interleave(counts) for counts in (COUNTS_P, COUNTS_Q))
"""The point of each of 20 samples."""


def minimised(loss: Callable[[Tensor], Tensor], *shape: int) -> tuple[Tensor, float]:
    """The scores of that shape, from 0, at which a loss of them is least, and the loss there."""
    scores = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [scores], max_iter=300, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def value() -> Tensor:
        optimizer.zero_grad()
        result = loss(scores)
        result.backward()
        return result

    optimizer.step(value)
    return scores.detach(), float(value().detach())
