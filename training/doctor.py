"""What this machine has and lacks, and the command that mends it; runs where nothing but serving is installed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model.errors import how_to_install
from model.threads import usable_processors

DISTRIBUTION = "charwgan"
TRAINING = "train"  # the extra that is looked at beside what is always needed


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.  optional: serving does without it."""

    name: str
    good: bool
    detail: str
    optional: bool = False


def examine() -> list[Finding]:
    """Look at the machine; torch is asked what it can do here without being needed."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()} (3.11 or newer is needed)"),
        Finding("processors", True, f"{usable_processors()} usable of {os.cpu_count()}"),
        Finding("disk", free > 1, f"{free:.1f} GiB free here (1 is needed)"),
        *_packages(),
        *_training(),
    ]


def requirements() -> list[tuple[str, str]]:
    """Every package that the installed distribution names, and the extra that wants it ("" for none).

    Raises PackageNotFoundError where it is not installed.
    """
    found = []
    for line in importlib.metadata.requires(DISTRIBUTION) or ():
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", line)
        if name:
            found.append((name[0], extra[1] if extra else ""))
    return found


def _packages() -> Iterator[Finding]:
    try:
        wanted = requirements()
    except importlib.metadata.PackageNotFoundError:
        yield Finding(DISTRIBUTION, False, "not installed: pip install . in the folder of its source")
        return
    for name, extra in wanted:
        if extra in ("", TRAINING):
            yield _package(name, optional=bool(extra))


def _package(name: str, *, optional: bool) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name), optional)
    except importlib.metadata.PackageNotFoundError:
        remedy = f"only training needs it: {how_to_install(TRAINING)}" if optional else f"pip install {name}"
        return Finding(name, False, remedy, optional)


def _training() -> Iterator[Finding]:
    """Which path training takes: the device, how rounds are played on it, and what bf16 is worth."""
    try:
        import torch
    except ImportError:
        return
    from training.arithmetic import bf16_instructions
    from training.loop import choose_device

    device = choose_device("auto")
    if device.type == "cuda":
        yield Finding("cuda", True, torch.cuda.get_device_name(), optional=True)
        yield Finding("rounds", True, "one CUDA graph each, where that proves to do the same", optional=True)
    else:
        yield Finding("cuda", False, "no CUDA device: training uses the CPU", optional=True)
        threads = torch.get_num_threads()
        yield Finding("rounds", True, f"step by step on {threads} thread{'s' * (threads > 1)}", optional=True)
    if found := bf16_instructions(device):
        yield Finding("bf16", True, f"{found}: --set precision=bf16 is faster than fp32 here", optional=True)
    else:
        yield Finding(
            "bf16", False, "no instructions for it: keep precision = fp32, bf16 is slower here", optional=True
        )
