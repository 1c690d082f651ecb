"""Labelled images of one grey each, in memory."""

from __future__ import annotations

import numpy as np

from training.configuration import DataConfig
from training.data.arrays import Images, Labelled, split_samples


def plain(shares: tuple[int, ...] = (1, 1, 1), side: int = 8, channels: int = 1) -> Images:
    """Images of one grey each, by which labels are told, with noise; classes as frequent as the shares say."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(shares)), 60 * np.array(shares)).astype(np.uint16)
    random.shuffle(labels)
    samples = (labels[:, None, None, None] - 1.0) / 2 + random.normal(0, 0.02, (len(labels), channels, side, side))
    data = Labelled("made", samples.astype(np.float32), labels, tuple("abcdefgh"[: len(shares)]))
    return Images(**split_samples(data, DataConfig()))
