"""What the machine gives at most: operations a second of matrix products and of the critic's own convolutions.

F, one forward of the text critic, is N (2 T V C + 100 T C^2 + 2 T C) operations at depth 5 and kernel 5.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch
from torch import nn

SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices
FORWARDS = 10  # a critic step needs at least so many times the operations of one forward
REPEATS = 5


def forward_operations(batch: int, length: int, symbols: int, width: int, depth: int = 5, kernel: int = 5) -> int:
    """F."""
    convolutions = depth * 2 * 2 * kernel * length * width * width
    return batch * (2 * length * symbols * width + convolutions + 2 * length * width)


def gemm_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of the product of two large square matrices."""
    side = SIDE[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / best(lambda: torch.mm(a, b), device)


def convolution_per_s(device: torch.device, dtype: torch.dtype, batch: int, length: int, width: int) -> float:
    """Operations a second of one of the critic's convolutions, forward, at its very shape."""
    layer = nn.Conv1d(width, width, 5, padding=2, device=device, dtype=dtype)
    x = torch.randn(batch, width, length, device=device).to(dtype)
    with torch.no_grad():
        return 2 * 5 * batch * length * width * width / best(lambda: layer(x), device)


def best(call: Callable[[], object], device: torch.device) -> float:
    """The least seconds of a few calls; many quick ones are timed together."""
    call()
    number = max(1, int(0.02 / seconds(call, device)))
    return min(seconds(lambda: [call() for _ in range(number)], device) / number for _ in range(REPEATS))


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """How long a call takes, until the device is done."""
    started = perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - started
