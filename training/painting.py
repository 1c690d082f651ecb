"""Images of a finished run that a person asks for in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigurationError
from model.latents import latents
from model.picture import sheet
from training.appraisal import trained_generator
from training.data.arrays import Captions, Images
from training.data.shapes import word_rows
from training.loop import choose_device
from training.observer import generate
from training.preparation import open_data
from training.runs import read_config


@dataclass(frozen=True, eq=False)
class Wish:
    """One row (K,) that all samples are asked to be of."""

    row: NDArray[np.float32]

    def rows(self, seed: int, first: int, n: int, size: int) -> NDArray[np.float32]:
        """What a generator takes for samples first .. first + n - 1 of a seed, (n, Z + K); size: Z."""
        return np.hstack([latents(seed, first, n, size), np.tile(self.row, (n, 1))])


def paint(run: Path, caption: str, *, box: str | None = None, n: int = 8, seed: int = 0) -> bytes:
    """A sheet of images 0 .. n - 1 of a seed that a run makes of a caption, PNG.

    box: "left,top,right,bottom" in shares of the side, for a run on captions with boxes.
    Raises ConfigurationError for a run on no captions, for words that it does not know, and for what is no box.
    """
    config = read_config(run)
    dataset = open_data(config.data, run)
    if not isinstance(dataset, Images) or not dataset.conditioned or dataset.captions is None:
        raise ConfigurationError(f"{run} was not trained on captions: try --variant gan-cls on builtin:shapes")
    wish = Wish(wished(dataset.captions, caption, box))
    generator = trained_generator(run, config, dataset, choose_device("auto"))
    return sheet(generate(generator, n, config.model.latent, seed, wish))


def wished(captions: Captions, caption: str, box: str | None = None) -> NDArray[np.float32]:
    """What a generator takes for a caption, and a box where the captions of the data come with one: (K,).

    Raises ConfigurationError as ``paint`` does.
    """
    (row,) = word_rows([caption], captions.words)
    if not row.any():
        raise ConfigurationError(f"the caption says nothing: the words known are {', '.join(captions.words)}")
    if captions.box != (box is not None):
        why = "needs --box, which says where" if captions.box else "was told of no boxes: leave --box out"
        raise ConfigurationError(f"the run {why}")
    return row if box is None else np.concatenate([row, _box(box)])


def _box(text: str) -> NDArray[np.float32]:
    try:
        box = np.array([float(part) for part in text.split(",")], dtype=np.float32)
    except ValueError:
        box = np.empty(0, dtype=np.float32)
    if box.shape != (4,) or not (box[:2] < box[2:]).all() or not ((box >= 0) & (box <= 1)).all():
        raise ConfigurationError(
            f"--box must be left,top,right,bottom, numbers from 0 to 1 that grow to the right and down, got {text!r}"
        )
    return box
