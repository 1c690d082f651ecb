"""What adversarial training is worth to a classifier that is told few labels: each way beside what it is compared with.

    python benchmarks/classifying.py --seeds 0 1 2
    python benchmarks/classifying.py --data train.npz --label y --labelled 100 --rounds 5000

Four ways, each on images that have labels, ``--labelled`` of which are told, as many of each:
semi-supervised: the critic of semi-supervised-gan, beside the same network that learns from the labelled alone;
features: logistic regression of the features of a dcgan's and of a wgan-gp's critic, which learned without labels,
beside the same of the pixels, and of the features of a critic that was never trained;
augmentation: the classifier that scores are counted by, which learns from the labelled and from ``--made`` images of a
cgan that learned from the same labelled ones, beside the same without those.
Errors are of the held-out images, means over the seeds, which choose the split and the labelled as well; with more than
one seed each has its standard error.  It takes about 4 processor minutes a seed with the sizes that stand here.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

import numpy as np
import torch

from training.checkpoint import load_checkpoint
from training.data import Images, open_dataset
from training.data.arrays import scaled
from training.data.few import balanced
from training.display import SilentDisplay
from training.evaluation.classifier import train_classifier
from training.job import train
from training.layering import parse_assignment
from training.measures import Finished
from training.measures.classifying import linear_errors
from training.observer import generate
from training.plan import plan
from training.preparation import start

CPU = torch.device("cpu")
KEYS: dict[str, Any] = {
    "device": "cpu",
    "threads": 1,
    # Nothing is looked at in between.
    "evaluate_seconds": 1e6,
    "checkpoint_seconds": 1e6,
    "max_seconds": None,  # rounds are counted, not time
}
MADE_SEED = 1  # of the images that are made
Row = tuple[str, float, str, float]
"""A way, its error, what it is compared with, and the error of that."""


def semi_supervised(keys: dict[str, Any], labelled: int, folder: Path, **_: Any) -> list[Row]:
    """The game, and the network by itself."""
    config, _origins = plan({"benchmark": {**keys, "variant": "semi-supervised-gan", "labelled": labelled}})
    scores = train(config, folder, SilentDisplay()).scores
    found, compared = scores["classification_error"], scores["supervised_error"]
    return [("semi-supervised-gan", found, "the network alone", compared)]


def features(keys: dict[str, Any], labelled: int, folder: Path, *, variant: str, **_: Any) -> list[Row]:
    """A linear model of features, and of two other things."""
    run = finished({**keys, "variant": variant}, folder)
    found = linear_errors(run, labelled)
    error, untrained = found["linear_error"], found["linear_error_untrained"]
    name = f"linear on features of {variant}"
    return [
        (name, error, "linear on pixels", found["linear_error_of_samples"]),
        (name, error, "linear on untrained features", untrained),
    ]


def augmentation(keys: dict[str, Any], labelled: int, folder: Path, *, made: int) -> list[Row]:
    """A classifier of the labelled images, with and without those that a generator adds which learned from the same."""
    config, _origins = plan({"benchmark": keys})
    images = open_dataset(config.data)
    assert isinstance(images, Images)
    assert images.train_labels is not None
    rows = balanced(images.train_labels, labelled, len(images.label_names), config.data.seed)
    real, marks = scaled(images.train[rows]), images.train_labels[rows]
    folder.mkdir()
    np.savez(folder / "few.npz", samples=real, labels=marks)
    # The least that may be held out, which the generator is not told.
    told = {"data.sources": [str(folder / "few.npz")], "data.label": "labels", "data.held_out": 1 / (2 * labelled)}
    run = finished({**keys, **told, "variant": "cgan"}, folder / "run")
    labels = run.data.labels
    assert len(labels) == len(images.label_names)
    samples = generate(run.generator, made, run.config.model.latent, MADE_SEED, labels=labels)
    asked = labels.of_strings(MADE_SEED, 0, made).astype(np.uint16)
    few = replace(images, train=real, train_labels=marks)
    both = replace(few, train=np.concatenate([real, samples]), train_labels=np.concatenate([marks, asked]))
    with_them, without = (1 - train_classifier(each, CPU).accuracy for each in (both, few))
    return [(f"classifier with {made} images of a cgan", with_them, "classifier without", without)]


def finished(keys: dict[str, Any], folder: Path) -> Finished:
    """A run that is played to its end, and taken up again."""
    config, _origins = plan({"benchmark": keys})
    train(config, folder, SilentDisplay())
    data = open_dataset(config.data)
    training, _rule = start(config, data, CPU)
    state = load_checkpoint(folder / "checkpoints", CPU)
    assert state is not None
    training.load_state_dict(state)
    return Finished(config, training.game.players, training.average.module, data, None, training.round)


WAYS: dict[str, tuple[Callable[..., list[Row]], ...]] = {
    "semi-supervised": (semi_supervised,),
    "features": tuple(partial(features, variant=variant) for variant in ("dcgan", "wgan-gp")),
    "augmentation": (augmentation,),
}


def told(errors: list[float]) -> str:
    """Mean and standard error in per cent."""
    spread = f" ± {100 * stdev(errors) / len(errors) ** 0.5:.1f}" if len(errors) > 1 else ""
    return f"{100 * mean(errors):.1f}{spread}"


def main() -> None:
    """Read the options, go every way with every seed, print its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="builtin:digits", help="images with labels (default: builtin:digits)")
    parser.add_argument("--label", help="the array of the labels, of an .npz")
    parser.add_argument("--labelled", type=int, default=20, help="samples that keep their label (default: 20)")
    parser.add_argument("--made", type=int, default=1000, help="generated images (default: 1000)")
    parser.add_argument("--rounds", type=int, default=1500, help="of every game (default: 1500)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    parser.add_argument("--held-out", type=float, default=0.3, help="share of the images (default: 0.3)")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS), metavar="WAY")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of every game")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keys = {**KEYS, "data.sources": [options.data], "data.held_out": options.held_out, "max_rounds": options.rounds}
    keys |= dict(map(parse_assignment, options.set)) | ({"data.label": options.label} if options.label else {})
    print("| way | labels | error % | beside | error % | CPU s |\n|---|---|---|---|---|---|", flush=True)
    for go in (each for way in options.ways for each in WAYS[way]):
        started, found = process_time(), dict[tuple[str, str], list[tuple[float, float]]]()
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as folder:
                more = {"made": options.made} if go is augmentation else {}
                own = {**keys, "seed": seed, "data.seed": seed}
                for way, error, beside, other in go(own, options.labelled, Path(folder) / "run", **more):
                    found.setdefault((way, beside), []).append((error, other))
        seconds = (process_time() - started) / len(options.seeds)
        for (way, beside), errors in found.items():
            cells = [told(list(each)) for each in zip(*errors, strict=True)]
            print(f"| {way} | {options.labelled} | {cells[0]} | {beside} | {cells[1]} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
