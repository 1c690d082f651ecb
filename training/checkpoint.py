"""Checkpoints of a run: written whole or not at all, the newest two kept.

A file is written under a temporary name, forced to the disk, then renamed; whatever a kill leaves behind is either
an older checkpoint, untouched, or a temporary file, which the next process to train here sweeps (``runs.sweep``).
Reading changes nothing, so that a run may be evaluated and exported while it goes on.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from model.artifact import sync_folder, write_durably
from model.errors import RunError

KEPT = 2
PATTERN = "round-*.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> Path:
    """Write the state of a training and drop all but the newest two; state["round"] names the file.

    Raises RunError if the disk refuses, in which case the checkpoints that were there stay as they were.
    """
    path = folder / f"round-{state['round']:010d}.pt"
    data = to_bytes(state)
    partial = path.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(partial, data)
        partial.replace(path)
        sync_folder(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        earlier = "earlier checkpoints are intact" if any(folder.glob(PATTERN)) else "there is no earlier one"
        raise RunError(
            f"cannot write the checkpoint {path}: {error.strerror or error}; {earlier}: "
            "make room and continue with --resume"
        ) from error
    for old in sorted(folder.glob(PATTERN))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def to_bytes(state: dict[str, Any]) -> bytes:
    """A state as a file has it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes, device: torch.device) -> dict[str, Any]:
    """The state of ``to_bytes``, on a device."""
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    return state


def load_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The newest readable state, or None where there is no checkpoint.

    Raises RunError if there are checkpoints and none of them can be read.
    """
    seen: list[Path] = []
    # A process that trains here may have replaced those listed by the time they are opened: then there are others.
    while (paths := sorted(folder.glob(PATTERN), reverse=True)) != seen:
        for path in paths:
            state = _read(path, device)
            if state is not None:
                return state
        seen = paths
    if paths:
        raise RunError(f"none of the {len(paths)} checkpoints in {folder} can be read: start again in another folder")
    return None


def _read(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state in a file, or None if it is damaged; torch itself does not check the sums that its zip files hold."""
    try:
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:
                return None
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception:  # a damaged file makes zipfile and torch.load raise nearly anything
        return None
    return state
