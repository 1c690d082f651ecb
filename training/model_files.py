"""What the folders of models of all kinds are written from: ONNX graphs that were checked, weights, scores, JSON."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from model.errors import ArtifactError
from training.runs import read_json

OPSET = 20
TOLERANCE = 1e-3  # between torch and ONNX Runtime, in logits and scores of order 1 to 10


def graph_of(module: nn.Module, example: Tensor, source: str, target: str) -> bytes:
    """ONNX of a module of ``source`` (N, ...) to ``target``, for any N, checked against torch."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own future
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[source],
            output_names=[target],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    # The exporter notes stack traces, with paths of this machine, on every node.
    for noted in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        del noted.metadata_props[:]
    graph: bytes = proto.SerializeToString(deterministic=True)
    check_graph(graph, module, example, source)
    return graph


def check_graph(graph: bytes, module: nn.Module, example: Tensor, source: str) -> None:
    """Raises ArtifactError unless the graph computes what the network does, for other N than it was traced with too."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for n in (1, len(example), 2 * len(example) + 1):
        rows = example[torch.arange(n).remainder(len(example))]
        with torch.no_grad():
            expected = module(rows).numpy()
        try:
            (found,) = session.run(None, {source: rows.numpy()})
        except Exception as error:  # onnxruntime raises classes of its own, without a common base
            raise ArtifactError(f"the exported graph cannot be run for N = {n}: {error}") from error
        if found.shape != expected.shape:
            raise ArtifactError(f"the exported graph gives {found.shape} for N = {n}, the network {expected.shape}")
        difference = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
        if not difference <= TOLERANCE:
            raise ArtifactError(
                f"the exported graph differs from the network by {difference:.2g} for N = {n}, bound {TOLERANCE}"
            )


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, as safetensors takes them."""
    return {name: tensor.contiguous() for name, tensor in module.state_dict().items()}


def as_json(value: Mapping[str, Any]) -> bytes:
    """A JSON file of a model."""
    return (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def read_metrics(run: Path, number: int) -> dict[str, Any]:
    """The table of scores of a round, empty where the run was not evaluated at that round."""
    path = run / "metrics.json"
    metrics = read_json(path) if path.is_file() else {}
    return metrics if metrics.get("round") == number else {}
