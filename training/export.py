"""A run becomes a model: average generator and critic as safetensors and as ONNX graphs, with scores and a card."""

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
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from model import text
from model.alphabet import Alphabet
from model.artifact import write_artifact
from model.errors import ArtifactError, RunError
from model.latents import latents
from training.card import model_card
from training.checkpoint import load_checkpoint
from training.configuration import Config
from training.runs import read_config, read_json

OPSET = 20
TOLERANCE = 1e-3  # between torch and ONNX Runtime, in logits and scores of order 1 to 10


def export_run(run: Path, out: Path, *, replace: bool = False) -> str:
    """Write the newest checkpoint of a text run as a model folder; returns the model's digest.

    Raises RunError if the run has no checkpoint or is not of text, ArtifactError if the folder cannot be written.
    """
    config = read_config(run)
    if not (run / "tokenizer.json").is_file():
        raise RunError(
            f"{run} is not a run on text, and only text models are exported: its samples are in {run}/samples"
        )
    state = load_checkpoint(run / "checkpoints", torch.device("cpu"))
    if state is None:
        raise RunError(f"{run} has no checkpoint yet: continue it with --resume")
    alphabet = Alphabet.load(run / "tokenizer.json")
    generator, critic = load_networks(config, alphabet, state)
    metrics = read_json(run / "metrics.json") if (run / "metrics.json").is_file() else {}
    summary = summarize(config, alphabet, read_json(run / "data.json"), state["round"], state["seconds"])
    files = model_files(out.resolve().name, alphabet, generator, critic, summary, metrics)
    return write_artifact(out, files, replace=replace)


def summarize(
    config: Config, alphabet: Alphabet, data: Mapping[str, Any], rounds: int, seconds: float
) -> dict[str, Any]:
    """A model's ``config.json``: what it is and how it was made."""
    return {
        "kind": "text",
        "variant": config.variant,
        "length": alphabet.length,
        "symbols": alphabet.size,
        "model": config.model.model_dump(),
        "data": dict(data),
        "training": config.model_dump(mode="json"),
        "rounds": rounds,
        "seconds": round(seconds, 1),
        "opset": OPSET,
    }


def model_files(
    name: str,
    alphabet: Alphabet,
    generator: text.Generator,
    critic: text.Critic,
    summary: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> dict[str, bytes]:
    """The contents of a model folder by file name, all but the manifest."""
    return {
        "config.json": _json(summary),
        "tokenizer.json": alphabet.tokenizer().to_str(pretty=True).encode(),
        "generator.safetensors": save_safetensors(_weights(generator)),
        "critic.safetensors": save_safetensors(_weights(critic)),
        "generator.onnx": generator_graph(generator),
        "critic.onnx": critic_graph(critic, alphabet),
        "metrics.json": _json(metrics),
        "README.md": model_card(name, summary, metrics).encode(),
    }


def load_networks(config: Config, alphabet: Alphabet, state: Mapping[str, Any]) -> tuple[text.Generator, text.Critic]:
    """The average generator and the critic of a state, on the CPU, ready to be evaluated."""
    size = config.model
    shape = {"length": alphabet.length, "size": alphabet.size, "width": size.width}
    inner = {"depth": size.depth, "kernel": size.kernel}
    generator = text.Generator(**shape, **inner, latent=size.latent)
    critic = text.Critic(**shape, **inner)
    generator.load_state_dict(state["average"])
    critic.load_state_dict(state["players"]["critic"])
    return generator.eval(), critic.eval()


class _Logits(nn.Module):
    """What is served of a generator: the softmax changes no argmax and is left out."""

    def __init__(self, generator: text.Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latent: Tensor) -> Tensor:
        return self.generator.logits(latent)


def generator_graph(generator: text.Generator) -> bytes:
    """ONNX: ``latent`` (N, Z) to ``logits`` (N, T, V), checked against torch."""
    example = torch.from_numpy(latents(0, 0, 3, generator.latent))
    return _graph(_Logits(generator), example, "latent", "logits")


def critic_graph(critic: text.Critic, alphabet: Alphabet) -> bytes:
    """ONNX: ``text`` (N, T, V), one-hot or probabilities, to ``score`` (N,), checked against torch."""
    ids = torch.arange(3 * alphabet.length).remainder(alphabet.size).view(3, alphabet.length)
    return _graph(critic, nn.functional.one_hot(ids, alphabet.size).float(), "text", "score")


def _graph(module: nn.Module, example: Tensor, source: str, target: str) -> bytes:
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
    _check_graph(graph, module, example, source)
    return graph


def _check_graph(graph: bytes, module: nn.Module, example: Tensor, source: str) -> None:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {source: example.numpy()})
    with torch.no_grad():
        expected = module(example).numpy()
    difference = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    if not difference <= TOLERANCE:
        raise ArtifactError(f"the exported graph differs from the network by {difference:.2g}, bound {TOLERANCE}")


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in module.state_dict().items()}


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()
