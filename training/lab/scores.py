"""How good generated digits are in the eyes of a classifier that was trained on real ones.

What the Inception score is of photographs (Salimans et al. 2016), and never to be compared with it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from training.data import Images
from training.evaluation.classifier import Classifier, train_classifier
from training.evaluation.likeness import classifier_score
from training.lab.runs import CPU, opened
from training.observer import generate

SAMPLES = 1000


@cache
def judge(source: str) -> Classifier:
    """A classifier of built-in images, trained once."""
    images = opened(source)
    assert isinstance(images, Images)
    return train_classifier(images, CPU)


def score(source: str, images: NDArray[np.float32]) -> float:
    """The classifier score of images (N, C, S, S) in the eyes of that classifier."""
    looker = judge(source)
    return classifier_score(looker.probabilities(looker.features(images)))


def real_score(source: str) -> float:
    """The score of as many real images: what there is to reach."""
    images = opened(source)
    assert isinstance(images, Images)
    return score(source, images.train[:SAMPLES])


def score_of(generator: torch.nn.Module, latent: int, source: str) -> float:
    """The classifier score of a generator's first SAMPLES; NaN if they are not finite."""
    images = generate(generator, SAMPLES, latent)
    return score(source, images) if np.isfinite(images).all() else float("nan")
