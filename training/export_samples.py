"""A run on images or points becomes a model: the average generator as safetensors and as an ONNX graph, with a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from model.artifact import write_artifact
from model.branches import Branched
from model.errors import RunError
from model.given import given_by
from model.labels import Labels
from model.latents import latents
from training.catalogue import make_game
from training.conditions import without
from training.configuration import Config
from training.data.arrays import Units
from training.model_files import OPSET, as_json, graph_of, read_metrics, weights_of
from training.networks.roles import Roles
from training.runs import read_json
from training.sample_card import sample_card


def export_samples(run: Path, config: Config, state: Mapping[str, Any], out: Path, *, replace: bool) -> str:
    """Write a state of a run on images or points as a model folder; returns the model's digest.

    Raises RunError if it was begun by a version that did not write down the shape of its data, or what its samples are
    made of; ArtifactError if the folder cannot be written.
    """
    data = read_json(run / "data.json")
    where = run / "data.json"
    if "shape" not in data:
        raise RunError(f"{where} does not say the shape of a sample: continue the run with --resume first")
    generator = load_generator(config, data, state)
    given = given_by(data.get("given"), where)
    if given is None and generator.labels + generator.branches != len(Labels.from_json(data.get("labels"), where)):
        raise RunError(f"{where} does not say what samples are made of: continue the run with --resume first")
    samples = Samples(generator, Units(**data.get("units", {}))).eval()
    summary = summarize(config, data, generator, state)
    metrics = read_metrics(run, state["round"])
    files = {
        "config.json": as_json(summary),
        "generator.safetensors": save_safetensors(weights_of(generator)),
        "generator.onnx": samples_graph(samples, len(given or ())),
        "metrics.json": as_json(metrics),
        "README.md": sample_card(out.resolve().name, summary, metrics).encode(),
    }
    return write_artifact(out, files, replace=replace)


def load_generator(config: Config, data: Mapping[str, Any], state: Mapping[str, Any]) -> Branched:
    """The average generator of a state, on the CPU.  data: as the run's ``data.json``.

    Raises RunError if the state is that of another network.
    """
    roles = Roles(data["kind"], tuple(data["shape"]), config, data["conditions"])
    generator = cast(Branched, make_game(roles, config).players["generator"])
    try:
        generator.load_state_dict(state["average"])
    except (RuntimeError, KeyError) as error:
        raise RunError(f"the checkpoint does not fit the network of the run's config.json: {error}") from error
    return generator.eval()


class Samples(nn.Module):
    """What is sampled of a generator: (N, ...) of latents (N, Z + K), without conditions, in the data's own units."""

    def __init__(self, generator: Branched, units: Units) -> None:
        super().__init__()
        self.generator, self.units = generator, units

    def forward(self, latent: Tensor) -> Tensor:
        samples = without(self.generator(latent), self.generator.labels)
        if self.units == Units():
            return samples
        return self.units.offset + self.units.scale * samples


def samples_graph(samples: Samples, given: int = 0) -> bytes:
    """ONNX: ``latent`` (N, Z + K) to ``samples`` (N, ...), checked against torch.

    given: K, where samples are made of a caption or a picture; else K is that of labels or branches.
    """
    generator = samples.generator
    generator.settle()
    example = torch.from_numpy(latents(0, 0, 3, generator.latent + (given or generator.labels + generator.branches)))
    return graph_of(samples, example, "latent", "samples")


def summarize(config: Config, data: Mapping[str, Any], generator: Branched, state: Mapping[str, Any]) -> dict[str, Any]:
    """A model's ``config.json``: what it is and how it was made."""
    channels, *places = data["shape"]
    apart = ("labels", "given", "shape", "conditions")
    return {
        **{name: data[name] for name in ("labels", "given") if name in data},
        "kind": data["kind"],
        "variant": config.variant,
        "shape": [channels - data["conditions"], *places],
        "model": {**config.model.model_dump(), **generator.form},
        "data": {name: fact for name, fact in data.items() if name not in apart},
        "training": config.model_dump(mode="json"),
        "rounds": state["round"],
        "opset": OPSET,
    }
