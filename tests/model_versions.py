"""Other versions of a model's folder."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import numpy_helper

from model.artifact import MANIFEST, Artifact, write_artifact


def contents_of(model: Path) -> dict[str, bytes]:
    """The files of a model but for the manifest."""
    return {file.name: file.read_bytes() for file in model.iterdir() if file.name != MANIFEST}


def noted(model: Path, note: str) -> dict[str, bytes]:
    """The same model with a note in its configuration: other bytes, the same strings."""
    files = contents_of(model)
    facts = json.loads(files["config.json"]) | {"note": note}
    return files | {"config.json": json.dumps(facts).encode()}


def negated(model: Path) -> dict[str, bytes]:
    """The same model with its largest weight negated, so that it makes other strings."""
    files = contents_of(model)
    network = onnx.load_from_string(files["generator.onnx"])
    weight = max(network.graph.initializer, key=lambda tensor: numpy_helper.to_array(tensor).size)
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    return files | {"generator.onnx": network.SerializeToString()}


def put(target: Path, files: dict[str, bytes]) -> str:
    """Replace a model's folder as ``charwgan export --replace`` does; returns its digest."""
    write_artifact(target, files, replace=True)
    return Artifact.load(target).digest
