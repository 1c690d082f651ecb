"""The generator in 8-bit integers, for ``charwgan serve --engine onnx-int8``, and what that changes in its strings.

Static quantisation: the ranges of the activations are those of latents that are always the same, so that the same
weights give the same graph.  N batch, T length, V alphabet, Z latent, K labels.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from model.alphabet import Alphabet, Ids
from model.decoding import likeliest
from model.engines import INT8_GRAPH
from model.labels import UNCONDITIONAL, Labels
from model.latents import MAX_SEED
from model.sampler import SLICE
from training.evaluation.ngrams import js_divergence

SAMPLES = 5000  # strings that the two graphs are compared by, unless told otherwise
SEED = 0  # of those strings
CALIBRATION_SEED = MAX_SEED  # no seed that the command line or the service takes
CALIBRATION_SAMPLES = 512
CALIBRATION_BATCH = 64


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """The latents by which the ranges of activations are found, a batch at a time, each with the label that it draws.

    size: Z.
    """

    def __init__(self, size: int, labels: Labels) -> None:
        starts = range(0, CALIBRATION_SAMPLES, CALIBRATION_BATCH)
        self._batches = iter([labels.rows(CALIBRATION_SEED, start, CALIBRATION_BATCH, size) for start in starts])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The input of the next run, or None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"latent": batch}


def samples_of(folder: Path) -> int | None:
    """How many strings the 8-bit graph of a model folder was compared by; None if it has no such graph."""
    if not (folder / INT8_GRAPH).is_file():
        return None
    try:
        measured = json.loads((folder / "config.json").read_bytes())["int8"]["samples"]
    except (OSError, ValueError, LookupError, TypeError):  # what is to be replaced may be damaged
        return SAMPLES
    return measured if isinstance(measured, int) and measured > 0 else SAMPLES


def quantize(graph: bytes, size: int, labels: Labels = UNCONDITIONAL) -> bytes:
    """The generator's graph with its residual blocks in 8-bit integers; ``latent`` and ``logits`` as before.

    size: Z.  The first layer and the last stay fp32: they are a small share of the work, and the margins between
    symbols are decided in the last.  So does the sum that runs through the blocks.
    """
    model = onnx.load_from_string(graph)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    last = [node.name for node in convolutions if node.input[1].endswith("output.weight")]  # one for each generator
    # Else the root logger is told of a preparation that ONNX Runtime makes anyway when it opens a graph.
    add_pre_process_metadata(model)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        quantize_static(
            model,
            path,
            Calibration(size, labels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu"],
            nodes_to_exclude=last,
            per_channel=True,
            # 7-bit weights: processors without VNNI add two products in 16 bits, which 8-bit ones would overflow, and
            # the strings would not be those of other processors.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantized: bytes = onnx.load(path).SerializeToString(deterministic=True)
    return quantized


def compare(
    graph: bytes,
    quantized: bytes,
    alphabet: Alphabet,
    size: int,
    labels: Labels = UNCONDITIONAL,
    *,
    n: int = SAMPLES,
    seed: int = SEED,
) -> dict[str, Any]:
    """What quantisation changes in n strings of a seed, as it stands in a model's ``config.json`` under "int8".

    size: Z.  labels: each string is of the one that it draws.
    changed: share of strings that are others.  unique: share of distinct strings of either graph.
    js4: JS-4 with padding between the strings of the two, in bits; None if T < 4.
    """
    before, after = (_ids(each, alphabet, size, n, seed, labels) for each in (graph, quantized))
    texts, texts_int8 = alphabet.decode(before), alphabet.decode(after)
    return {
        "samples": n,
        "seed": seed,
        "changed": sum(a != b for a, b in zip(texts, texts_int8, strict=True)) / n,
        "unique": {"fp32": len(set(texts)) / n, "int8": len(set(texts_int8)) / n},
        "js4": js_divergence(after, before, 4, alphabet.size),
    }


def _ids(graph: bytes, alphabet: Alphabet, size: int, n: int, seed: int, labels: Labels = UNCONDITIONAL) -> Ids:
    """The likeliest symbols, (n, T), of strings 0 .. n - 1 of a seed."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    ids = np.empty((n, alphabet.length), dtype=alphabet.dtype)
    for start in range(0, n, SLICE):
        rows = labels.rows(seed, start, min(SLICE, n - start), size)
        ids[start : start + SLICE] = likeliest(session.run(["logits"], {"latent": rows})[0])
    return ids
