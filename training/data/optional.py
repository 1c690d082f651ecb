"""Packages that only some data needs, imported when it does."""

from __future__ import annotations

import importlib
from typing import Any

from model.errors import MissingDependencyError, how_to_install

# Package to the extra of charwgan that installs it.
EXTRAS = {
    "datasets": "hf",
    "faker": "train",
    "PIL": "train",
    "pyarrow": "train",
    "sklearn": "train",
    "zstandard": "train",
}


def load_optional(module: str, purpose: str) -> Any:
    """The module, such as ``pyarrow.parquet``.

    purpose: what needs it, for the message.  Raises MissingDependencyError naming the command that installs it.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{purpose} needs the package {package}, which is not installed: {how_to_install(EXTRAS[package])}"
        ) from error
