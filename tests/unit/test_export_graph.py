"""A graph is exported only if it computes what the network does, for any number of samples."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from model.errors import ArtifactError
from training.model_files import OPSET, check_graph

EXAMPLE = torch.arange(12.0).view(3, 4)  # the three samples that a graph is traced with


class Plain(nn.Module):
    """Samples (N, 4) as they are, and ten times as much of the first of many."""

    def __init__(self, *, many: int = 10**9) -> None:
        super().__init__()
        self.many = many

    def forward(self, x: Tensor) -> Tensor:
        return x if len(x) < self.many else 10 * x


def graph(*nodes: onnx.NodeProto, **constants: np.ndarray) -> bytes:
    """ONNX of x (N, 4) to y."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    made = helper.make_graph(list(nodes), "graph", [x], [y], held)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10).SerializeToString()


def test_a_graph_that_computes_the_network_passes() -> None:
    check_graph(graph(helper.make_node("Identity", ["x"], ["y"])), Plain(), EXAMPLE, "x")


def test_a_graph_that_holds_the_number_it_was_traced_with_is_refused() -> None:
    reshape = helper.make_node("Reshape", ["x", "shape"], ["y"])
    with pytest.raises(ArtifactError, match="cannot be run for N = 1"):
        check_graph(graph(reshape, shape=np.array([3, 4])), Plain(), EXAMPLE, "x")


def test_a_graph_whose_result_would_only_fit_by_broadcasting_is_refused() -> None:
    add = helper.make_node("Add", ["x", "zeros"], ["y"])
    with pytest.raises(ArtifactError, match=r"gives \(3, 4\) for N = 1, the network \(1, 4\)"):
        check_graph(graph(add, zeros=np.zeros((3, 4), dtype=np.float32)), Plain(), EXAMPLE, "x")


@pytest.mark.parametrize(("many", "told"), [(1, "N = 1"), (4, "N = 7")])
def test_a_difference_for_any_number_of_samples_is_refused(many: int, told: str) -> None:
    identity = graph(helper.make_node("Identity", ["x"], ["y"]))
    with pytest.raises(ArtifactError, match=f"differs from the network by .* for {told}, bound"):
        check_graph(identity, Plain(many=many), EXAMPLE, "x")
