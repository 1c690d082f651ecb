"""How well samples have the labels that they were asked to be of, and how well codes that nobody named are labels."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.arrays import Images, scaled
from training.evaluation.copies import subsample
from training.evaluation.judges import ImagesJudge
from training.layers import Recogniser
from training.measures import Finished
from training.observer import SAMPLE_SEED, branches_of, generate

SAMPLES = 2000
SLICE = 512


def label_accuracy(run: Finished) -> dict[str, float]:
    """Of images, the share that a classifier of the data gives the label that they were asked to be of."""
    if not isinstance(run.judge, ImagesJudge) or not run.data.labels:
        return {}
    labels = run.data.labels
    samples = generate(run.generator, SAMPLES, run.config.model.latent, labels=labels)
    asked = labels.of_strings(SAMPLE_SEED, 0, SAMPLES)
    return {"label_accuracy": float(np.mean(run.judge.seen(samples) == asked))}


def cluster_accuracy(run: Finished) -> dict[str, float]:
    """Of held-out images, the share of those whose label is that of the code which the critic reads off them.

    A code's label is the one of the assignment, of a label to a code, by which most training images are right.  Of
    generated images also, ``codes_seen``: the share whose code's label is the one that a classifier of the data gives.
    """
    critic, data, codes = run.players["critic"], run.data, branches_of(run.generator)
    if not (isinstance(run.judge, ImagesJudge) and isinstance(critic, Recogniser) and isinstance(data, Images)):
        return {}
    if data.base or data.train_labels is None or data.held_out_labels is None:
        return {}
    k, names = len(codes), len(data.label_names)
    rows = subsample(len(data), SAMPLES, 0)  # and not the first, which may all be of a few labels
    read = codes_read(critic, scaled(data.train[rows]), k)
    named = named_codes(counted(read, data.train_labels[rows], k, names))
    samples = generate(run.generator, SAMPLES, run.config.model.latent)
    made = codes.of_strings(SAMPLE_SEED, 0, SAMPLES)
    return {
        "cluster_accuracy": float(np.mean(named[codes_read(critic, data.held_out, k)] == data.held_out_labels)),
        "codes_seen": float(np.mean(named[made] == run.judge.seen(samples))),
    }


@torch.no_grad()
def codes_read(critic: Recogniser, images: NDArray[np.float32], codes: int) -> NDArray[np.int64]:
    """The likeliest of K codes of each image (N, C, S, S), (N,), by a critic that is left as it is."""
    device, training = next(critic.parameters()).device, critic.training
    critic.eval()
    parts = (torch.from_numpy(images[i : i + SLICE]).to(device) for i in range(0, len(images), SLICE))
    read = torch.cat([critic.recognise(critic.features(part))[:, :codes].argmax(dim=1) for part in parts])
    critic.train(training)
    return cast("NDArray[np.int64]", read.cpu().numpy())


def counted(codes: NDArray[np.int64], labels: NDArray[np.uint16], k: int, names: int) -> NDArray[np.int64]:
    """How many samples are of each code and label, (K, L)."""
    return np.bincount(codes * names + labels, minlength=k * names).reshape(k, names)


def named_codes(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The label of each code, (K,), of counts (K, L): each label is that of one code; -1 for a code that gets none.

    By the assignment that makes most samples right.  Kuhn 1955.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(counts, maximize=True)
    named = np.full(len(counts), -1)
    named[rows] = columns
    return named
