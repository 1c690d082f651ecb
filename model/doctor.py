"""What this machine has and lacks, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SERVING = ("numpy", "onnxruntime", "tokenizers", "safetensors", "pydantic", "fastapi", "uvicorn")
TRAINING = ("torch", "onnx", "onnxscript", "faker", "pyarrow", "rapidfuzz", "rich", "matplotlib", "zstandard")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.  optional: serving does without it."""

    name: str
    good: bool
    detail: str
    optional: bool = False


def examine() -> list[Finding]:
    """Look at the machine; torch is asked for its version and CUDA without being needed."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()} (3.11 or newer is needed)"),
        Finding("processors", True, f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}"),
        Finding("disk", free > 1, f"{free:.1f} GiB free here (1 is needed)"),
        *_packages(SERVING, "pip install charwgan", optional=False),
        *_packages(TRAINING, "pip install 'charwgan[train]'", optional=True),
        *_cuda(),
    ]


def _packages(names: tuple[str, ...], remedy: str, *, optional: bool) -> Iterator[Finding]:
    for name in names:
        try:
            yield Finding(name, True, importlib.metadata.version(name), optional)
        except importlib.metadata.PackageNotFoundError:
            purpose = "only training needs it: " if optional else ""
            yield Finding(name, False, f"{purpose}{remedy}", optional)


def _cuda() -> Iterator[Finding]:
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        yield Finding("cuda", True, torch.cuda.get_device_name(), optional=True)
    else:
        yield Finding("cuda", False, "no CUDA device: training uses the CPU", optional=True)
