"""The scores of a finished run, as its ``metrics.json`` holds them and as its ``result.json`` does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from model.labels import UNCONDITIONAL
from training.conditions import Asked
from training.data.corpus import Corpus
from training.evaluation.copies import subsample
from training.evaluation.judges import Judge
from training.evaluation.mode_table import mode_table
from training.layers import judges_strings
from training.loop import Training
from training.observer import SAMPLE_SEED, generate_ids, generated
from training.scoring import critic_scores, membership, score_quantiles, score_samples

EVALUATED = 3000  # strings in every row of the table of scores

Metrics = tuple[dict[str, Any], dict[str, float]]
"""The table, with what else there is to tell, and the scores of the model that are defined."""


def text_metrics(training: Training, corpus: Corpus, latent: int) -> Metrics:
    """Of strings; latent: Z."""
    labels = corpus.labels
    ids = generate_ids(training.average.module, EVALUATED, latent, corpus.alphabet, labels=labels)
    samples = corpus.alphabet.encode(corpus.alphabet.decode(ids))
    table = score_samples(corpus, samples, n=EVALUATED, seed=SAMPLE_SEED)
    chosen = subsample(len(corpus.held_out), EVALUATED, 0)
    critic = training.game.players["critic"]
    if not judges_strings(critic, len(labels)):
        return table.to_dict(), _defined(table["model"])
    scored = partial(critic_scores, critic, symbols=corpus.alphabet.size, labels=len(labels))
    marks = None if corpus.held_out_labels is None else corpus.held_out_labels[chosen]
    drawn = labels.of_strings(SAMPLE_SEED, 0, EVALUATED) if labels else None
    scores = {"real": scored(corpus.held_out[chosen], marks), "generated": scored(samples, drawn)}
    table = replace(table, membership=membership(corpus, scored, EVALUATED))
    quantiles = {name: score_quantiles(found) for name, found in scores.items()}
    return {**table.to_dict(), "critic_scores": quantiles}, _defined(table["model"])


def sample_metrics(training: Training, judge: Judge, latent: int, labels: Asked = UNCONDITIONAL) -> Metrics:
    """Of points or images; latent: Z.  labels: or captions, that they are learned under."""
    samples = generated(training.average.module, judge.n, latent, labels=labels)
    table = mode_table(judge, samples, judge.n, seed=SAMPLE_SEED)
    return table.to_dict(), _defined(table["model"])


def _defined(scores: Any) -> dict[str, float]:
    return {name: value for name, value in scores.items() if value is not None}
