"""A model or a run held against real data: the table of scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from model.alphabet import Alphabet
from model.artifact import MANIFEST, Artifact
from model.errors import ArtifactError, ConfigurationError, RunError
from model.sampler import Sampler, Scorer
from training.checkpoint import load_checkpoint
from training.configuration import Config, DataConfig
from training.data import open_dataset
from training.data.arrays import Images, Points, scaled
from training.data.corpus import Corpus
from training.data.sources import split_name
from training.evaluation.judges import judge_of
from training.evaluation.mode_table import ModeTable, mode_table
from training.evaluation.ngrams import IdMatrix
from training.evaluation.table import ScoreTable
from training.export import load_networks, named_labels, read_labels
from training.loop import choose_device
from training.metrics import EVALUATED
from training.observer import generate_texts, generated
from training.preparation import kept_data, start
from training.runs import read_config, read_json
from training.scoring import Positions, critic_scores, membership, score_samples


@dataclass(frozen=True)
class Subject:
    """Text that is appraised.  path: of the model or run.  trained: its configuration.  digest: of its data.

    scores: a critic's scores of ids and labels; None without a critic of strings.
    """

    path: Path
    trained: Config
    alphabet: Alphabet
    digest: str
    texts: list[str]
    scores: Callable[[IdMatrix, Positions | None], NDArray[Any]] | None = None


def appraise(
    subject: Path, sources: tuple[str, ...], *, n: int | None = None, seed: int = 0
) -> tuple[ScoreTable | ModeTable, str | None]:
    """Score n samples of a seed from a model or a run against data, split as the training split it.

    sources: the data; empty for the data that the subject was trained on.  n: None for as many as a finished run has
    in its table.
    Returns the table, and a warning if the data is not that of the training, so that "copied" means little.
    Raises RunError, ArtifactError, ConfigurationError or DataError.
    """
    if (subject / MANIFEST).is_file():
        return _appraise_text(_of_model(subject, n or EVALUATED, seed), sources, n or EVALUATED, seed)
    config = read_config(subject)
    if (subject / "tokenizer.json").is_file():
        return _appraise_text(_of_run(subject, config, n or EVALUATED, seed), sources, n or EVALUATED, seed)
    return _appraise_samples(subject, config, sources, n, seed)


def _appraise_samples(
    run: Path, config: Config, sources: tuple[str, ...], n: int | None, seed: int
) -> tuple[ModeTable, str | None]:
    """Points or images of a run."""
    dataset = open_dataset(config.data.model_copy(update={"sources": sources}) if sources else config.data)
    if isinstance(dataset, Corpus):
        raise ConfigurationError(f"--data must be points or images, as those that {run} was trained on, got text")
    device, latent = choose_device("auto"), config.model.latent
    other = dataset.digest != read_json(run / "data.json").get("digest")
    judge = judge_of(dataset, device, None if other else run)
    if judge is None:
        raise ConfigurationError(
            f"{run} has nothing to be scored by: points are by the modes of builtin:ring, grid and mixture1d, images "
            "by their labels, of which this data has none"
        )
    generator, n = trained_generator(run, config, dataset, device), n or judge.n
    samples = generated(generator, n, latent, seed, dataset.asked)
    table = mode_table(judge, samples, n, seed=seed, name=_name(run))
    return table, "this is not the data of the training" if other else None


def real_and_generated(run: Path, n: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of a run on points or images, n training samples at most and n generated ones, (M, ...) and (n, ...).

    As the networks see them, images in [-1, 1]; for scores of one's own.  Raises RunError, ConfigurationError or
    DataError.
    """
    config, device = read_config(run), choose_device("auto")
    dataset = open_dataset(config.data)
    if isinstance(dataset, Corpus):
        raise ConfigurationError(f"{run} must be a run on points or images, and is one on text: charwgan generate")
    generator = trained_generator(run, config, dataset, device)
    real = np.random.default_rng(seed).permutation(len(dataset))[:n]
    made = generated(generator, n, config.model.latent, seed, dataset.asked)
    return scaled(dataset.train[real]), np.concatenate(list(made))


def trained_generator(run: Path, config: Config, dataset: Points | Images, device: torch.device) -> nn.Module:
    """The average of a run's generator as its newest checkpoint has it.  Raises RunError if that does not fit."""
    training, _ = start(config, dataset, device)
    try:
        training.load_state_dict(_state(run, device))
    except (RuntimeError, KeyError, ValueError) as error:
        raise RunError(f"the checkpoint in {run} does not fit the networks for this data: {error}") from error
    return training.average.module


def _state(run: Path, device: torch.device) -> dict[str, Any]:
    state = load_checkpoint(run / "checkpoints", device)
    if state is None:
        raise RunError(f"{run} has no checkpoint yet: continue it with --resume")
    return state


def _name(path: Path) -> str:
    """What the row of a run or a model is called."""
    return path.resolve().name


def _appraise_text(found: Subject, sources: tuple[str, ...], n: int, seed: int) -> tuple[ScoreTable, str | None]:
    corpus = _data(found, sources)
    if not isinstance(corpus, Corpus):
        raise ConfigurationError(f"--data must be text, got {corpus.kind}")
    warning = None
    if corpus.digest != found.digest:
        warning = "this is not the data of the training: copied and nearest are against its own training part"
    samples = corpus.alphabet.encode(found.texts)
    table = score_samples(corpus, samples, n=n, seed=seed, name=_name(found.path))
    if found.scores is not None and warning is None:
        table = replace(table, membership=membership(corpus, found.scores, n))
    return table, warning


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
    scores = partial(_scores_of_model, Scorer(artifact)) if artifact.judges else None
    return Subject(path, trained, artifact.alphabet, digest, texts, scores)


def _scores_of_model(scorer: Scorer, ids: IdMatrix, positions: Positions | None) -> NDArray[Any]:
    """Of ids (N, T), and their labels where the critic takes any, (N,)."""
    rows = ids.astype(np.int64)
    if scorer.artifact.labels.channels and positions is not None:
        rows = np.column_stack([rows, positions])
    return scorer.workers.spread(scorer.score, rows)


def _of_run(path: Path, trained: Config, n: int, seed: int) -> Subject:
    alphabet = Alphabet.load(path / "tokenizer.json")
    state = _state(path, torch.device("cpu"))
    labels = read_labels(path)
    generator, critic = load_networks(trained, alphabet, state, labels, named_labels(path))
    texts = generate_texts(generator, n, trained.model.latent, alphabet, seed, labels)
    scores = critic and partial(critic_scores, critic, symbols=alphabet.size, labels=len(labels))
    return Subject(path, trained, alphabet, str(read_json(path / "data.json").get("digest")), texts, scores)


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
