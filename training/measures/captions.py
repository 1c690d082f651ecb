"""How well images are what their captions say, and lie in their boxes.

N images, C channels, S side.  What an image shows is told by classifiers that learn it of real images on the spot: the
judge, which knows colour and shape, and another for size and place.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.arrays import Captions, Images
from training.data.shapes import ASPECTS, DIMMEST, OUTSIDE, Positions, said
from training.evaluation.classifier import Classifier, train_classifier
from training.evaluation.judges import ImagesJudge
from training.measures import Finished
from training.observer import SAMPLE_SEED, generate

SAMPLES = 2000
SEEN = DIMMEST - 1  # brightness, in [-1, 1], of a pixel of which the dimmest of shapes covers a half

Shown = dict[str, Positions]
"""What images show, or captions say, of each aspect: positions in ASPECTS, (N,)."""


def caption_accuracy(run: Finished) -> dict[str, float]:
    """Of generated images, the shares whose size, colour, shape and place are what their caption says, and all of it.

    Beside each that of held-out images, ``..._real``, and by chance, which is under another's caption.
    """
    captions, data = _captions(run), run.data
    if captions is None or not isinstance(data, Images) or not isinstance(run.judge, ImagesJudge):
        return {}
    words = len(captions.given.words)
    told = said(captions.held_out[:, :words], captions.given.words)
    asked = {name: positions[captions.chosen(SAMPLE_SEED, 0, SAMPLES)] for name, positions in told.items()}
    layout = _layout_classifier(data, captions) if "place" in told else None
    made = shown(_samples(run, captions), run.judge, layout)
    others = {name: np.roll(positions, 1) for name, positions in asked.items()}
    return {
        **agreement(made, asked),
        **{f"{name}_real": value for name, value in agreement(shown(data.held_out, run.judge, layout), told).items()},
        **{f"{name}_chance": value for name, value in agreement(made, others).items()},
    }


def agreement(shown: Shown, said: Shown) -> dict[str, float]:
    """The share of images that show what is said of each aspect, and of those that show all that is said."""
    right = {name: shown[name] == said[name] for name in said}
    shares = {f"caption_{name}": float(np.mean(each)) for name, each in right.items()}
    return {"caption_accuracy": float(np.mean(np.logical_and.reduce(list(right.values())))), **shares}


def shown(images: NDArray[np.float32], judge: ImagesJudge, layout: Classifier | None) -> Shown:
    """What images (N, 3, S, S) show in the eyes of the judge, and of a classifier of size and place if there is one."""
    found = dict(zip(("colour", "shape"), np.divmod(judge.seen(images), len(OUTSIDE)), strict=True))
    if layout is None:
        return found
    places = len(ASPECTS["place"])
    return found | dict(zip(("size", "place"), np.divmod(layout.labels(images), places), strict=True))


def _layout_classifier(data: Images, captions: Captions) -> Classifier:
    """A classifier of size and place together."""
    parts = (
        said(rows[:, : len(captions.given.words)], captions.given.words) for rows in (captions.train, captions.held_out)
    )
    labels = [(part["size"] * len(ASPECTS["place"]) + part["place"]).astype(np.uint16) for part in parts]
    names = tuple(f"{size} {place}" for size in ASPECTS["size"] for place in ASPECTS["place"])
    of_layout = replace(
        data, conditioned=False, train_labels=labels[0], held_out_labels=labels[1], label_names=names, captions=None
    )
    return train_classifier(of_layout, torch.device("cpu"))


def box_overlap(run: Finished) -> dict[str, float]:
    """The mean overlap of the box that an image was asked to fill and the one that it fills, area of both by of either.

    Beside it that of held-out images, whose shapes end within pixels, ``..._real``, and by chance, which is with the
    box of another.
    """
    captions, data = _captions(run), run.data
    if captions is None or not captions.given.box or not isinstance(data, Images):
        return {}
    boxes = captions.held_out[:, len(captions.given.words) :]
    asked, found = boxes[captions.chosen(SAMPLE_SEED, 0, SAMPLES)], filled(_samples(run, captions))
    return {
        "box_overlap": float(overlaps(asked, found).mean()),
        "box_overlap_real": float(overlaps(boxes, filled(data.held_out)).mean()),
        "box_overlap_chance": float(overlaps(np.roll(asked, 1, axis=0), found).mean()),
    }


def filled(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """The smallest box of all pixels that are bright in some channel, (N, 4); an empty one where none is."""
    bright = images.max(axis=1) > SEEN
    side, none = images.shape[-1], ~bright.any(axis=(1, 2))
    rows, columns = bright.any(axis=2), bright.any(axis=1)
    low = [each.argmax(axis=1) for each in (columns, rows)]
    high = [side - each[:, ::-1].argmax(axis=1) for each in (columns, rows)]
    boxes: NDArray[np.float64] = np.stack([*low, *high], axis=1) / side
    boxes[none] = 0.0
    return boxes


def overlaps(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Area of both by area of either, of boxes (N, 4) each: (N,)."""
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    both = sides.clip(min=0).prod(axis=1)
    either = sum((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (one, other)) - both
    return np.asarray(both / either, dtype=np.float64)


def _captions(run: Finished) -> Captions | None:
    """Those that the data of a run is learned under."""
    return run.data.captions if isinstance(run.data, Images) and run.data.conditioned else None


def _samples(run: Finished, captions: Captions) -> NDArray[np.float32]:
    return generate(run.generator, SAMPLES, run.config.model.latent, labels=captions)
