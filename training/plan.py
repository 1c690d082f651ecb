"""From what a person asked for to a configuration: the defaults of a variant and of the data come in here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.errors import ConfigurationError
from training.catalogue import check_obeyed, find_variant
from training.configuration import Config
from training.layering import resolve

POINTS = {"batch_size": 256, "penalty": 0.1, "model.width": 128, "model.depth": 3, "model.latent": 2}
SOURCE_DEFAULTS: dict[str, dict[str, Any]] = {
    "builtin:docs": {"data.on_long": "window", "data.max_length": 32},
    "builtin:ring": POINTS,
    "builtin:grid": POINTS,
    "builtin:mixture1d": POINTS,
    "builtin:swissroll": POINTS,
}
PEOPLE = ("file", "environment", "flag")  # origins that a person speaks by

Layers = Mapping[str, Mapping[str, Any]]


def plan(layers: Layers) -> tuple[Config, dict[str, str]]:
    """The configuration of a run and the origin of each key.

    layers: as for ``resolve``.  Defaults that suit the data and the variant stand between the preset and the layers.
    Raises ConfigurationError if there is no data, or as ``resolve`` does.
    """
    layers = {origin: _with_source_lists(values) for origin, values in layers.items()}
    asked: dict[str, Any] = {}
    for values in layers.values():
        asked |= values
    sources = asked.get("data.sources", ())
    if not isinstance(sources, list | tuple) or not all(isinstance(source, str) for source in sources):
        raise ConfigurationError(f"data.sources must be a list of files, got {sources!r}")
    if not sources:
        raise ConfigurationError("no data: name a file of lines, or builtin:names to try without one")
    defaults: dict[str, Mapping[str, Any]] = {}
    for source in sources:
        kind = source.partition("?")[0]
        if kind in SOURCE_DEFAULTS:
            defaults[f"data {kind}"] = SOURCE_DEFAULTS[kind]
    entry = find_variant(str(asked.get("variant", "wgan-gp")))
    if entry.defaults:
        defaults[f"variant {entry.name}"] = entry.defaults
    for origin in PEOPLE:
        check_obeyed(entry, layers.get(origin, {}))
    return resolve({**defaults, **layers})


def default_run(sources: Sequence[str], variant: str) -> Path:
    """``runs/names`` for ``data/names.txt``, ``runs/digits-dcgan`` for another variant than the usual one."""
    stem = re.split(r"[?]", sources[0].removeprefix("builtin:").removeprefix("hf:"))[0]
    name = re.sub(r"[^\w-]+", "-", Path(stem).name.partition(".")[0]).strip("-") or "standard-input"
    return Path("runs") / (name if variant == "wgan-gp" else f"{name}-{variant}")


def _with_source_lists(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same layer with one source written as a list of one, so that ``sources = "names.txt"`` will do."""
    value = values.get("data.sources")
    return {**values, "data.sources": [value]} if isinstance(value, str) else dict(values)
