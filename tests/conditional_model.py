"""A conditional model that nobody trained: a label decides of which two letters its strings are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from model.alphabet import Alphabet
from model.artifact import write_artifact
from model.decoding import likeliest
from model.labels import Labels
from model.latents import latents
from model.novelty import HASHES, Novelty
from model.text import Critic, Generator, labelled
from training.export import _Logits
from training.model_files import graph_of

ALPHABET = Alphabet("abcdef", 8)
LETTERS = {"de": "ab", "fr": "cd", "it": "ef"}
LABELS = Labels(tuple(LETTERS), np.array([0.5, 0.3, 0.2]))
LATENT = 16
SHAPE = {"length": 8, "size": ALPHABET.size, "width": 6, "depth": 1, "kernel": 3, "labels": len(LABELS)}


def networks() -> tuple[Generator, Critic]:
    """A generator with a channel for each letter, which its label raises and the latent chooses among; any critic."""
    torch.manual_seed(0)
    generator, critic = Generator(**SHAPE, latent=LATENT).eval(), Critic(**SHAPE).eval()
    with torch.no_grad():
        for parameter in generator.blocks.parameters():
            parameter.mul_(0.01)
        raised = generator.expand.weight.view(6, 8, -1)[:, :, LATENT:].zero_()
        generator.output.weight.zero_()
        for channel, letter in enumerate(ALPHABET.characters):
            raised[channel, :, channel // 2] = 20.0
            generator.output.weight[ALPHABET.encode([letter])[0, 0], channel, 0] = 1.0
        nn.init.normal_(critic.input.weight)
    return generator, critic


def write_conditional(path: Path) -> None:
    """Write it as a model folder; string i of seed 0 and label i is one of its training strings."""
    generator, critic = networks()
    row = torch.from_numpy(LABELS.beside(latents(0, 0, 3, LATENT), np.arange(3)))
    with torch.no_grad():
        known = ALPHABET.encode(ALPHABET.decode(likeliest(generator.logits(row).numpy())))
    text = labelled(nn.functional.one_hot(torch.arange(24).view(3, 8) % 8, 8).float(), torch.eye(3))
    sizes = {key: SHAPE[key] for key in ("width", "depth", "kernel")}
    shares = {"names": list(LABELS.names), "shares": LABELS.shares.tolist()}
    files = {
        "config.json": json.dumps({"model": {"latent": LATENT, **sizes}, "labels": shares}).encode(),
        "tokenizer.json": ALPHABET.tokenizer().to_str().encode(),
        "generator.safetensors": save(generator.state_dict()),
        "critic.safetensors": save(critic.state_dict()),
        "generator.onnx": graph_of(_Logits(generator), row, "latent", "logits"),
        "critic.onnx": graph_of(critic, text, "text", "score"),
        "metrics.json": b"{}",
        "README.md": b"# conditional",
        HASHES: Novelty.of(known, ALPHABET, "0" * 64).to_bytes(),
    }
    write_artifact(path, files)
