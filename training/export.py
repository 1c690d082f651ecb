"""A run becomes a model: average generator and critic as safetensors and as ONNX graphs, with scores and a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from model import text
from model.alphabet import Alphabet
from model.artifact import write_artifact
from model.engines import INT8_GRAPH
from model.errors import RunError
from model.labels import UNCONDITIONAL, Labels
from model.latents import latents
from model.novelty import HASHES, Novelty
from training.card import model_card
from training.catalogue import make_game
from training.checkpoint import load_checkpoint
from training.configuration import Config
from training.export_samples import export_samples
from training.layers import alone, judges_strings
from training.model_files import OPSET, as_json, graph_of, read_metrics, weights_of
from training.networks.roles import Roles
from training.quantize import compare, quantize
from training.runs import read_config, read_json


def export_run(run: Path, out: Path, *, replace: bool = False, int8_samples: int | None = None) -> str:
    """Write the newest checkpoint of a run as a model folder; returns the model's digest.

    int8_samples: strings to measure a graph in 8-bit integers by; None: the model gets no such graph.
    Raises RunError if the run has no checkpoint or cannot be a model, ArtifactError if the folder cannot be written.
    """
    config = read_config(run)
    state = load_checkpoint(run / "checkpoints", torch.device("cpu"))
    if state is None:
        raise RunError(f"{run} has no checkpoint yet: continue it with --resume")
    if not (run / "tokenizer.json").is_file():
        if int8_samples is not None:
            raise RunError(f"{run} is not a run on text, and only text models have a graph in 8-bit integers")
        return export_samples(run, config, state, out, replace=replace)
    alphabet = Alphabet.load(run / "tokenizer.json")
    hashes = _hashes(run)
    labels = read_labels(run)
    generator, critic = load_networks(config, alphabet, state, labels, named_labels(run))
    metrics = read_metrics(run, state["round"])
    summary = summarize(config, alphabet, read_json(run / "data.json"), state["round"])
    files = model_files(out.resolve().name, alphabet, generator, critic, summary, metrics, int8_samples, labels)
    return write_artifact(out, files | hashes, replace=replace)


def read_labels(run: Path) -> Labels:
    """The labels that a run on text learns it under, or the branches of its generator."""
    path = run / "data.json"
    return Labels.from_json(read_json(path).get("labels"), path)


def named_labels(run: Path) -> int:
    """How many labels the critic of a run on text names, where its generator obeys none of them; else 0."""
    return len(read_json(run / "data.json").get("named_labels", ()))


def _hashes(run: Path) -> dict[str, bytes]:
    """The hashes of the training strings by file name; none for a run of a version that wrote none."""
    path = run / HASHES
    if not path.is_file():
        return {}
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    Novelty.from_bytes(data, path)
    return {HASHES: data}


def summarize(config: Config, alphabet: Alphabet, data: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """A model's ``config.json``: what it is and how it was made, but for the time, which is another when made again.

    data: as the run's ``data.json``.
    """
    labels = {"labels": data["labels"]} if "labels" in data else {}
    return labels | {
        "kind": "text",
        "variant": config.variant,
        "length": alphabet.length,
        "symbols": alphabet.size,
        "model": config.model.model_dump(),
        "data": {name: fact for name, fact in data.items() if name != "labels"},
        "training": config.model_dump(mode="json"),
        "rounds": rounds,
        "opset": OPSET,
    }


def model_files(
    name: str,
    alphabet: Alphabet,
    generator: text.Generator,
    critic: text.ResidualCritic | None,
    summary: Mapping[str, Any],
    metrics: Mapping[str, Any],
    int8_samples: int | None = None,
    labels: Labels = UNCONDITIONAL,
) -> dict[str, bytes]:
    """The contents of a model folder by file name, all but the manifest; int8_samples as for ``export_run``.

    critic: None where it judges latents, or strings beside their latents: the model then scores none.
    """
    graph = generator_graph(generator)
    further: dict[str, bytes] = {}
    summary = {**summary, "model": {**summary["model"], **generator.form}}
    if critic is None:
        summary["critic"] = None
    else:
        further |= {"critic.safetensors": save_safetensors(weights_of(critic))}
        further |= {"critic.onnx": critic_graph(critic, alphabet)}
        if critic.form:
            summary["critic"] = critic.form
    if int8_samples is not None:
        further[INT8_GRAPH] = quantize(graph, generator.latent, labels)
        measured = compare(graph, further[INT8_GRAPH], alphabet, generator.latent, labels, n=int8_samples)
        summary = {**summary, "int8": measured}
    return further | {
        "config.json": as_json(summary),
        "tokenizer.json": alphabet.tokenizer().to_str(pretty=True).encode(),
        "generator.safetensors": save_safetensors(weights_of(generator)),
        "generator.onnx": graph,
        "metrics.json": as_json(metrics),
        "README.md": model_card(name, summary, metrics).encode(),
    }


def load_networks(
    config: Config, alphabet: Alphabet, state: Mapping[str, Any], labels: Labels = UNCONDITIONAL, named: int = 0
) -> tuple[text.Generator, text.ResidualCritic | None]:
    """The average generator and the critic of a state, of one string by itself, on the CPU, ready to be evaluated.

    No critic where it is one of latents.
    named: labels of the data that the critic names and the generator does not obey.
    Raises RunError if the state is that of other networks.
    """
    k = named or (len(labels) if labels.judged or config.data.label is not None else 0)
    roles = Roles("text", (alphabet.length, alphabet.size + k), config, k)
    players = make_game(roles, config).players
    generator, critic = cast(text.Generator, players["generator"]), players["critic"]
    if k and not labels.judged and not named:
        # Its strings alone are served, which no critic needs to see beside their labels.
        generator = cast(text.Generator, roles.generator(codes=k, labels=0))
    try:
        generator.load_state_dict(state["average"])
        critic.load_state_dict(state["players"]["critic"])
    except (RuntimeError, KeyError) as error:
        raise RunError(f"the checkpoint does not fit the networks of the run's config.json: {error}") from error
    return generator.eval(), alone(critic, alphabet.size) if judges_strings(critic, k) else None


class _Logits(nn.Module):
    """What is served of a generator: the softmax changes no argmax and is left out."""

    def __init__(self, generator: text.Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latent: Tensor) -> Tensor:
        return self.generator.logits(latent)


class _Scores(nn.Module):
    """What is served of a critic that tells classes apart: the log odds that a string is real."""

    def __init__(self, critic: text.ResidualCritic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, strings: Tensor) -> Tensor:
        return self.critic.scores(strings)


def generator_graph(generator: text.Generator) -> bytes:
    """ONNX: ``latent`` (N, Z + K) to ``logits`` (N, T, V), checked against torch."""
    # Of labels too: the graph is to compute the network for any numbers.
    example = torch.from_numpy(latents(0, 0, 3, generator.latent + generator.labels + generator.branches))
    generator.settle()
    return graph_of(_Logits(generator), example, "latent", "logits")


def critic_graph(critic: text.ResidualCritic, alphabet: Alphabet) -> bytes:
    """ONNX: ``text`` (N, T, V + K), one-hot or probabilities, to ``score`` (N,), checked against torch."""
    channels = alphabet.size + critic.labels
    ids = torch.arange(3 * alphabet.length).remainder(channels).view(3, alphabet.length)
    scoring = _Scores(critic) if critic.outputs else critic
    return graph_of(scoring, nn.functional.one_hot(ids, channels).float(), "text", "score")
