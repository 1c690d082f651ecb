"""The command line, run as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import charwgan

ROOT = Path(charwgan.__file__).parent
SMALL = [
    "--device=cpu",
    "--set=threads=1",
    "--set=model.width=8",
    "--set=model.depth=1",
    "--set=model.latent=8",
    "--set=batch_size=16",
]
Run = Callable[..., tuple[int, str, str]]


def process(*arguments: str | Path, cwd: Path, **options: object) -> subprocess.Popen[str]:
    """A verb as a process of its own, in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARWGAN_CACHE": str(cwd / "cache")}
    command = [sys.executable, "-m", "charwgan", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, stdout=pipe, stderr=pipe, **options)  # type: ignore[call-overload,no-any-return]
