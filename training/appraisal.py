"""A model or a run held against real text: the table of scores."""

from __future__ import annotations

from pathlib import Path

import torch

from model.alphabet import Alphabet
from model.artifact import MANIFEST, Artifact
from model.errors import ConfigurationError, RunError
from model.sampler import Sampler
from training.checkpoint import load_checkpoint
from training.configuration import Config, DataConfig
from training.data import open_dataset
from training.data.corpus import Corpus
from training.evaluation.table import ScoreTable, score_table
from training.export import load_networks
from training.observer import generate_texts
from training.runs import read_config, read_json


def appraise(subject: Path, sources: tuple[str, ...], *, n: int, seed: int) -> tuple[ScoreTable, str | None]:
    """Score n strings of a seed from a model or a run against data, split as the training split it.

    sources: the data; empty for the data that the subject was trained on.
    Returns the table, and a warning if the data is not that of the training, so that "copied" means little.
    Raises RunError, ArtifactError, ConfigurationError or DataError.
    """
    if (subject / MANIFEST).is_file():
        artifact = Artifact.load(subject)
        texts = [text for part in Sampler(artifact).stream(seed, 0, n) for text in part]
        trained, alphabet = Config.model_validate(artifact.config["training"]), artifact.alphabet
        digest = artifact.config["data"]["digest"]
    else:
        trained = read_config(subject)
        if not (subject / "tokenizer.json").is_file():
            raise RunError(f"{subject} is not a run on text: there are only scores for text")
        alphabet = Alphabet.load(subject / "tokenizer.json")
        texts = _of_run(subject, trained, alphabet, n, seed)
        digest = read_json(subject / "data.json")["digest"]
    corpus = open_dataset(_data_config(trained.data, sources, alphabet))
    if not isinstance(corpus, Corpus):
        raise ConfigurationError(f"--data must be text, got {corpus.kind}")
    warning = None
    if corpus.digest != digest:
        warning = "this is not the data of the training: copied and nearest are against its own training part"
    table = score_table(
        train=corpus.train,
        held_out=corpus.held_out,
        samples=corpus.alphabet.encode(texts),
        alphabet=corpus.alphabet,
        n=n,
        seed=seed,
        name=subject.resolve().name,
    )
    return table, warning


def _of_run(run: Path, config: Config, alphabet: Alphabet, n: int, seed: int) -> list[str]:
    state = load_checkpoint(run / "checkpoints", torch.device("cpu"))
    if state is None:
        raise RunError(f"{run} has no checkpoint yet: continue it with --resume")
    generator, _ = load_networks(config, alphabet, state)
    return generate_texts(generator, n, config.model.latent, alphabet, seed)


def _data_config(trained: DataConfig, sources: tuple[str, ...], alphabet: Alphabet) -> DataConfig:
    """How the training read its data, applied to other sources."""
    if not sources:
        return trained
    return trained.model_copy(update={"sources": sources})
