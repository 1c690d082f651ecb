"""In which arithmetic this machine is quick, by torch's own word."""

from __future__ import annotations

from collections.abc import Mapping

import torch

# Of x86; where there are none, oneDNN computes bf16 by way of fp32, many times as slow as fp32 itself.
BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")


def bf16_instructions(device: torch.device) -> str | None:
    """What multiplies in bf16 on a device, None if nothing does or this torch cannot say."""
    if device.type == "cuda":
        return "tensor cores" if torch.cuda.is_bf16_supported(including_emulation=False) else None
    able: Mapping[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # not in every torch that training runs with
    return next((name for name in BF16_INSTRUCTIONS if able.get(name)), None)
