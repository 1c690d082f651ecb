"""How well samples have the labels that they were asked to be of."""

from __future__ import annotations

import numpy as np

from training.evaluation.judges import ImagesJudge
from training.measures import Finished
from training.observer import SAMPLE_SEED, generate

SAMPLES = 2000


def label_accuracy(run: Finished) -> dict[str, float]:
    """Of images, the share that a classifier of the data gives the label that they were asked to be of."""
    if not isinstance(run.judge, ImagesJudge) or not run.data.labels:
        return {}
    labels = run.data.labels
    samples = generate(run.generator, SAMPLES, run.config.model.latent, labels=labels)
    asked = labels.of_strings(SAMPLE_SEED, 0, SAMPLES)
    return {"label_accuracy": float(np.mean(run.judge.seen(samples) == asked))}
