"""Whether generated names are of the label that they were asked to be of, in the eyes of an independent classifier.

    python benchmarks/conditional.py --seconds 240 --locales de_DE es_ES tr_TR
    python benchmarks/conditional.py --model models/names

The classifier is a logistic regression on character 1- to 4-grams, fitted on the training names with their labels; it
has seen neither the model nor the held-out names.  Names are asked for by label, as many of each.  Prints, for every
label, the share of real held-out and of generated names that the classifier gives it, the share of the generated ones
that are distinct and that are no training name of that label, the mean over labels, and the ratio of the two means:
1 where generated names show their label as plainly as real ones do.  The mean weighs every label alike.

Without --model a model is trained by the command line, on one thread for --seconds of processor time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from model.artifact import Artifact
from model.sampler import Sampler
from training.configuration import DataConfig
from training.data import open_dataset
from training.data.corpus import Corpus

LOCALES = ("de_DE", "es_ES", "fi_FI", "it_IT", "ru_RU", "tr_TR")
BAR = 0.8

Texts = dict[str, list[str]]
"""The names of each label."""


def command(*words: object) -> None:
    """Call the command line, in silence but for what it says of failure."""
    subprocess.run([sys.executable, "-m", "charwgan", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def trained(folder: Path, locales: Sequence[str], variant: str, seconds: float, seed: int, sets: list[str]) -> Path:
    """The model folder of a fresh run."""
    told = ["threads=1", f"max_cpu_seconds={seconds}", f"max_seconds={seconds * 20}", "data.label=locale", *sets]
    options = [word for assignment in told for word in ("--set", assignment)]
    source = f"builtin:names?locale={','.join(locales)}"
    command("train", source, "--run", folder / "run", "--preset", "tiny", "--variant", variant, "--device", "cpu",
            "--seed", seed, *options)  # fmt: skip
    command("export", folder / "run", "--out", folder / "model")
    return folder / "model"


def real(artifact: Artifact) -> tuple[Texts, Texts]:
    """The training and the held-out names of a model's data, by label."""
    data = open_dataset(DataConfig.model_validate(artifact.config["training"]["data"]))
    if not isinstance(data, Corpus) or data.train_labels is None or data.held_out_labels is None:
        raise SystemExit(f"{artifact.path} was not trained on text with labels: train it with --set data.label=COLUMN")
    parts = ((data.train, data.train_labels), (data.held_out, data.held_out_labels))
    train, held_out = (by_label(data, ids[:], np.asarray(labels[:])) for ids, labels in parts)
    return train, held_out


def by_label(data: Corpus, ids: Any, labels: Any) -> Texts:
    """Names (N, T) with their labels, (N,)."""
    return {name: data.alphabet.decode(ids[labels == k]) for k, name in enumerate(data.labels.names)}


def generated(artifact: Artifact, n: int, seed: int) -> Texts:
    """Names 0 .. n - 1 of a seed, of each label."""
    sampler = Sampler(artifact, 1)
    return {name: sampler.texts(sampler.latents(seed, 0, n, name)) for name in artifact.labels.names}


def fitted(train: Texts) -> Pipeline:
    """The classifier.  Every label weighs the same, however many names it has; a name's ends are characters too."""
    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), lowercase=False, preprocessor=ended, sublinear_tf=True)
    classifier = make_pipeline(grams, LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced"))
    pairs = [(text, label) for label, texts in train.items() for text in texts]
    return classifier.fit(*zip(*pairs, strict=True))


def ended(text: str) -> str:
    """A name with marks at its ends."""
    return f"\x02{text}\x03"


def own(classifier: Pipeline, texts: Mapping[str, list[str]]) -> dict[str, float]:
    """Of the names of each label, the share that the classifier gives it; labels without names are left out."""
    return {label: float(np.mean(classifier.predict(of) == label)) for label, of in texts.items() if of}


def rows(artifact: Artifact, n: int, seed: int) -> Iterator[str]:
    """The table, line by line; the last says the ratio."""
    train, held_out = real(artifact)
    classifier, made = fitted(train), generated(artifact, n, seed)
    of_real, of_made = own(classifier, held_out), own(classifier, made)
    width = max(map(len, (*made, "label")))
    yield f"{'label':{width}}  training  held out  real   generated  distinct  new"
    for label, texts in made.items():
        distinct, new = len(set(texts)) / n, float(np.mean([text not in set(train[label]) for text in texts]))
        told = f"{of_real[label]:5.1%}" if label in of_real else "    -"
        yield (
            f"{label:{width}}  {len(train[label]):8}  {len(held_out[label]):8}  {told}  {of_made[label]:9.1%}  "
            f"{distinct:8.1%}  {new:5.1%}"
        )
    both = mean(of_real.values()), mean(of_made[label] for label in of_real)
    yield f"mean over labels: real {both[0]:.1%}, generated {both[1]:.1%}, by chance {1 / len(made):.1%}"
    ratio = both[1] / both[0]
    yield f"generated / real: {ratio:.3f}, which is {'at least' if ratio >= BAR else 'below'} {BAR}"


def main() -> None:
    """Read the options, train a model if none is named, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model folder of a conditional text model; else one is trained")
    parser.add_argument("--locales", nargs="+", default=LOCALES, help=f"locales (default: {' '.join(LOCALES)})")
    parser.add_argument("--variant", default="wgan-gp", help="what is trained (default: wgan-gp)")
    parser.add_argument("--seconds", type=float, default=240, help="processor seconds of training (default: 240)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training, and of the names (default: 0)")
    parser.add_argument("--set", action="append", default=[], help="a key of the training, key=value")
    parser.add_argument("-n", type=int, default=1000, help="names of each label (default: 1000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or trained(
            Path(folder), options.locales, options.variant, options.seconds, options.seed, options.set
        )
        for line in rows(Artifact.load(model), options.n, options.seed):
            print(line, flush=True)


if __name__ == "__main__":
    main()
