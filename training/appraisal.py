"""A model or a run held against real text: the table of scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from model.alphabet import Alphabet
from model.artifact import MANIFEST, Artifact
from model.errors import ArtifactError, ConfigurationError, RunError
from model.sampler import Sampler
from training.checkpoint import load_checkpoint
from training.configuration import Config, DataConfig
from training.data import open_dataset
from training.data.arrays import Images, Points
from training.data.corpus import Corpus
from training.data.sources import split_name
from training.evaluation.table import ScoreTable
from training.export import load_networks, read_labels
from training.observer import generate_texts
from training.preparation import kept_data
from training.runs import read_config, read_json
from training.scoring import score_samples


@dataclass(frozen=True)
class Subject:
    """What is appraised.  path: of the model or run.  trained: its configuration.  digest: of its data."""

    path: Path
    trained: Config
    alphabet: Alphabet
    digest: str
    texts: list[str]


def appraise(subject: Path, sources: tuple[str, ...], *, n: int, seed: int) -> tuple[ScoreTable, str | None]:
    """Score n strings of a seed from a model or a run against data, split as the training split it.

    sources: the data; empty for the data that the subject was trained on.
    Returns the table, and a warning if the data is not that of the training, so that "copied" means little.
    Raises RunError, ArtifactError, ConfigurationError or DataError.
    """
    found = (_of_model if (subject / MANIFEST).is_file() else _of_run)(subject, n, seed)
    corpus = _data(found, sources)
    if not isinstance(corpus, Corpus):
        raise ConfigurationError(f"--data must be text, got {corpus.kind}")
    warning = None
    if corpus.digest != found.digest:
        warning = "this is not the data of the training: copied and nearest are against its own training part"
    samples = corpus.alphabet.encode(found.texts)
    return score_samples(corpus, samples, n=n, seed=seed, name=subject.resolve().name), warning


def _of_model(path: Path, n: int, seed: int) -> Subject:
    artifact = Artifact.load(path)
    try:
        trained = Config.model_validate(artifact.config["training"])
        digest = str(artifact.config["data"]["digest"])
    except (ValidationError, KeyError, TypeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"no {error}"
        raise ArtifactError(
            f"{path / 'config.json'} does not say how the model was trained in the way of this version ({reason}): "
            "export the run again"
        ) from error
    texts = [text for part in Sampler(artifact).stream(seed, 0, n) for text in part]
    return Subject(path, trained, artifact.alphabet, digest, texts)


def _of_run(path: Path, n: int, seed: int) -> Subject:
    trained = read_config(path)
    if not (path / "tokenizer.json").is_file():
        raise RunError(f"{path} is not a run on text: there are only scores for text")
    alphabet = Alphabet.load(path / "tokenizer.json")
    state = load_checkpoint(path / "checkpoints", torch.device("cpu"))
    if state is None:
        raise RunError(f"{path} has no checkpoint yet: continue it with --resume")
    labels = read_labels(path)
    generator, _ = load_networks(trained, alphabet, state, labels)
    texts = generate_texts(generator, n, trained.model.latent, alphabet, seed, labels)
    return Subject(path, trained, alphabet, str(read_json(path / "data.json").get("digest")), texts)


def _data(subject: Subject, sources: tuple[str, ...]) -> Corpus | Images | Points:
    """The data to appraise by, in strings of the subject's own length."""
    trained, length = subject.trained.data, subject.alphabet.length
    if sources:
        return open_dataset(_read_alike(trained, sources, length))
    if kept := kept_data(trained, subject.path):
        return kept
    if "-" in trained.sources:
        raise ConfigurationError(f"{subject.path} was trained on standard input, which is gone: name text with --data")
    corpus = open_dataset(trained)
    if isinstance(corpus, Corpus) and corpus.alphabet.length != length:  # it has changed since
        corpus = open_dataset(trained.model_copy(update={"max_length": length}))
    return corpus


def _read_alike(trained: DataConfig, sources: tuple[str, ...], length: int) -> DataConfig:
    """How the training read its data, applied to other sources; their columns are their own in another format.

    length: T, which an unset length would choose anew for other lines.
    """
    config = trained.model_copy(update={"sources": sources, "max_length": length})
    if {_told_format(source) for source in sources} <= {_told_format(source) for source in trained.sources}:
        return config
    return config.model_copy(update={"format": "auto", "column": None, "label": None})


def _told_format(source: str) -> str:
    """What the name of a source says about how it is read: builtin, hf, or a format of files."""
    kind, colon, _ = source.partition(":")
    return kind if colon and kind in ("builtin", "hf") else split_name(source)[0]
