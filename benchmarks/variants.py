"""One measured figure for each variant of the catalogue, beside a baseline: a short experiment each, on one thread.

    python benchmarks/variants.py
    python benchmarks/variants.py --only lapgan dcgan wgan-gp
    charwgan variants --page docs/variants.md

Every experiment is a run of ``charwgan train SOURCE --config benchmarks/variants.toml --variant NAME --set ...``, and
the figure one of the scores in its ``result.json``.  A baseline is the same run of other keys, another score of the
same run, or a number.  Bars are those that the project set itself before it had measured.  Writes docs/variants.json,
where variants that were not asked for keep what they had, and a sheet of samples each into docs/variants/.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any, Literal

import torch
from PIL import Image

from model.errors import CharwganError
from training.catalogue import CATALOGUE
from training.display import SilentDisplay
from training.job import train
from training.layering import read_job
from training.plan import plan

COMMON = Path(__file__).with_suffix(".toml")
DOCS = Path(__file__).parent.parent / "docs"
SHEET = 256  # pixels along the longer side of a picture of samples

Keys = Mapping[str, Any]


@dataclass(frozen=True)
class Baseline:
    """What a figure is held against: the run of other keys, another score of the same run, or a number."""

    name: str
    keys: Keys | None = None
    score: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Experiment:
    """What a variant is asked to learn, and by which score it is told how well it did.

    score: of ``result.json``.  says: what it is.  keys: on top of the common ones, of the baseline's run too.
    own: of the variant alone.  bar: the least, or most, that is asked of the score; None for none.
    """

    score: str
    says: str
    baseline: Baseline
    better: Literal["lower", "higher"] = "lower"
    source: str = "builtin:digits"
    keys: Keys = field(default_factory=dict)
    own: Keys = field(default_factory=dict)
    bar: float | None = None
    seeds: int = 1


UNTRAINED = Baseline("the same after one round", {"max_rounds": 1})
GAN = Baseline("gan", {"variant": "gan"})
CHANCE = Baseline("chance", value=0.1)
UNTOUCHED = Baseline("the pictures as they are", score="label_preserved_untouched")
WGAN_STEPS = {"lr_generator": 5e-5, "lr_critic": 5e-5}  # RMSProp's, as in the paper
HAVE_LABELS = "share of images that have the label that was asked for"
KEEP_LABELS = "share of held-out images that keep their label when they are made from a picture"
LINE = {"model.width": 64, "model.depth": 3, "model.latent": 8, "batch_size": 256, "max_rounds": 4000}


def likeness(baseline: Baseline = GAN, **own: Any) -> Experiment:
    """How far images are from those of the data, in the features of a classifier of these."""
    return Experiment("classifier_frechet", "classifier Frechet distance", baseline, own=own)


def reconstruction(name: str, rounds: int = 1500) -> Experiment:
    """How far held-out images are from what is made of their codes, beside those of others."""
    told = "squared error of a pixel of held-out images, made again of their codes"
    chance = Baseline("those of others' codes", score="reconstruction_by_chance")
    return Experiment("reconstruction_error", told, chance, own={**as_it_comes(name), "max_rounds": rounds})


def labelled(name: str, bar: float | None = None, rounds: int = 1500) -> Experiment:
    """How many images have the label that was asked for, in the eyes of a classifier."""
    own = {**as_it_comes(name), "max_rounds": rounds}
    return Experiment("label_accuracy", HAVE_LABELS, CHANCE, "higher", own=own, bar=bar)


def captions(name: str, rounds: int = 800) -> Experiment:
    """How many images of captioned shapes are what was said."""
    told = "share of images that show all that their caption says"
    chance = Baseline("another's caption", score="caption_accuracy_chance")
    own = {**as_it_comes(name), "max_rounds": rounds}
    return Experiment("caption_accuracy", told, chance, "higher", "builtin:shapes", own=own)


def as_it_comes(name: str) -> dict[str, Any]:
    """The variant's own defaults for what the job file says otherwise."""
    common = read_job(COMMON)
    return {key: value for key, value in CATALOGUE[name].defaults.items() if key in common and value != common[key]}


def collapse(name: str) -> Experiment:
    """How far points on a line are from the five Gaussians of MAD-GAN's paper."""
    told = "KL of the samples' histogram to the data's, nats"
    return Experiment("density_kl", told, GAN, source="builtin:mixture1d", keys=LINE, own=as_it_comes(name))


EXPERIMENTS: dict[str, Experiment] = {
    "gan": likeness(UNTRAINED),
    "minimax-gan": likeness(),
    "wgan-gp": likeness(),
    "wgan": likeness(n_critic=5, **WGAN_STEPS),
    "lsgan": likeness(),
    "hinge-gan": likeness(),
    "f-gan": likeness(),
    "density-ratio-gan": likeness(),
    "dcgan": likeness(),
    "lapgan": likeness(Baseline("dcgan", {"variant": "dcgan"})),
    "mad-gan": collapse("mad-gan"),
    "mad-gan-sim": collapse("mad-gan-sim"),
    "cgan": labelled("cgan", bar=0.95, rounds=3000),
    "ac-gan": labelled("ac-gan"),
    "infogan": Experiment(
        "cluster_accuracy",
        "share of held-out images whose code is that of their label",
        CHANCE,
        "higher",
        own={"max_rounds": 1500, **as_it_comes("infogan")},
        bar=0.8,
    ),
    "bigan": reconstruction("bigan"),
    "ali": reconstruction("ali"),
    "aae": reconstruction("aae"),
    "avb": reconstruction("avb"),
    "semi-supervised-gan": Experiment(
        "classification_error",
        "share of held-out images named wrongly, of 20 labelled ones",
        Baseline("the same network that learns from those 20 alone", score="supervised_error"),
        own={**as_it_comes("semi-supervised-gan"), "model.width": 64, "max_rounds": 1500},
        bar=0.14,
        seeds=3,
    ),
    "pix2pix": Experiment(
        "label_preserved", KEEP_LABELS, UNTOUCHED, "higher", own={**as_it_comes("pix2pix"), "max_rounds": 500}, bar=0.9
    ),
    "cyclegan": Experiment(
        "label_preserved", KEEP_LABELS, UNTOUCHED, "higher", own={**as_it_comes("cyclegan"), "max_rounds": 800}, bar=0.8
    ),
    "srgan": Experiment(
        "label_preserved",
        KEEP_LABELS,
        Baseline("bicubic enlargement", score="label_preserved_bicubic"),
        "higher",
        own={**as_it_comes("srgan"), "content_rounds": 400},
    ),
    "gan-cls": captions("gan-cls"),
    "gan-int": captions("gan-int"),
    "gan-int-cls": captions("gan-int-cls"),
    "gawwn": Experiment(
        "box_overlap",
        "overlap of the box that was asked for and the one that is filled",
        Baseline("another's box", score="box_overlap_chance"),
        "higher",
        "builtin:shapes",
        own={**as_it_comes("gawwn"), "max_rounds": 500},
    ),
}


def scores_of(source: str, keys: Keys, run: Path) -> dict[str, float]:
    """What one run scores, with its processor seconds in all and its rounds."""
    config, _ = plan({"file": read_job(COMMON), "flag": {**keys, "data.sources": [source]}})
    started = process_time()
    outcome = train(config, run, SilentDisplay())
    return {**outcome.scores, "cpu_seconds": process_time() - started, "rounds": outcome.round}


class Runs:
    """Runs by their keys, each played once however many ask for it; kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._known = folder, dict[str, tuple[Path, dict[str, float]]]()

    def of(self, source: str, keys: Keys) -> tuple[Path, dict[str, float]]:
        """The folder of a run, and what it scores."""
        name = json.dumps([source, keys], sort_keys=True)
        if name not in self._known:
            run = self.folder / str(len(self._known))
            self._known[name] = run, scores_of(source, keys, run)
        return self._known[name]

    def spread(self, source: str, keys: Keys, score: str, seeds: int) -> list[float]:
        """A score by seeds.  Raises KeyError if the run has no such score."""
        return [self.of(source, seeded(keys, seed))[1][score] for seed in range(seeds)]


def seeded(keys: Keys, seed: int) -> dict[str, Any]:
    """The keys of a run of a seed, which also draws what is held out and what of it has its label."""
    return {**keys, "seed": seed, "data.seed": seed}


def measured(name: str, experiment: Experiment, runs: Runs, pictures: Path) -> dict[str, Any]:
    """The entry of a variant in docs/variants.json; its picture is written."""
    keys = {"variant": name, **experiment.keys, **experiment.own}
    values = runs.spread(experiment.source, keys, experiment.score, experiment.seeds)
    run, first = runs.of(experiment.source, seeded(keys, 0))
    cost = sum(runs.of(experiment.source, seeded(keys, i))[1]["cpu_seconds"] for i in range(experiment.seeds))
    return {
        "says": experiment.says,
        "score": experiment.score,
        "better": experiment.better,
        "value": mean(values),
        "error": stdev(values) / len(values) ** 0.5 if len(values) > 1 else None,
        "seeds": experiment.seeds,
        "baseline": {"name": experiment.baseline.name, "value": against(experiment, keys, runs)},
        "real": real_of(run, experiment.score),
        "bar": experiment.bar,
        "source": experiment.source,
        "rounds": first["rounds"],
        "cpu_seconds": round(cost, 1),
        "command": command(experiment.source, keys),
        "samples": sampled(run, pictures / name),
        "machine": {"processor": processor(), "torch": torch.__version__, "threads": 1},
    }


def against(experiment: Experiment, keys: Keys, runs: Runs) -> float:
    """What the baseline scores, the mean over the seeds."""
    baseline = experiment.baseline
    if baseline.value is not None:
        return baseline.value
    changed, score = baseline.keys or {}, baseline.score or experiment.score
    # Another variant obeys none of this one's own keys.
    others = {**(experiment.keys if "variant" in changed else keys), **changed}
    return mean(runs.spread(experiment.source, others, score, experiment.seeds))


def real_of(run: Path, score: str) -> float | None:
    """The score of as many real samples, where the table of the run has it."""
    path = run / "metrics.json"
    rows = json.loads(path.read_text(encoding="utf-8")).get("rows", []) if path.is_file() else []
    found: list[float | None] = [row["scores"].get(score) for row in rows if row["name"] == "real"]
    return found[0] if found else None


def command(source: str, keys: Keys) -> str:
    """What a person types for the run of seed 0."""
    sets = [f"--set {shlex.quote(f'{key}={spelt(value)}')}" for key, value in keys.items() if key != "variant"]
    return " ".join(["charwgan train", source, "--config benchmarks/variants.toml --variant", keys["variant"], *sets])


def spelt(value: Any) -> str:
    """A value as --set takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def sampled(run: Path, place: Path) -> str | None:
    """Keep the samples of the end of a run, small; returns the name of the file, None if there are none."""
    newest = max((run / "samples").glob("*"), default=None)
    if newest is None:
        return None
    if newest.suffix == ".txt":
        lines = newest.read_text(encoding="utf-8").splitlines()[:20]
        place.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        place.with_suffix(".png").write_bytes(small(newest))
    return place.with_suffix(newest.suffix).name


def small(path: Path) -> bytes:
    """A picture, at most SHEET wide and high, PNG."""
    image = Image.open(path)
    image.thumbnail((SHEET, SHEET))
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)  # of all its colours: fewer would be others
    return buffer.getvalue()


def processor() -> str:
    """What this machine calls its processor, and how many there are."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} processors"


def rounded(value: Any) -> Any:
    """Numbers of JSON in four digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return {key: rounded(each) for key, each in value.items()} if isinstance(value, dict) else value


def main() -> None:
    """Read the options, run every experiment, write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(EXPERIMENTS), choices=list(EXPERIMENTS), metavar="VARIANT")
    parser.add_argument("--out", type=Path, default=DOCS, help="where variants.json and variants/ are (default: docs)")
    options = parser.parse_args()
    path, pictures = options.out / "variants.json", options.out / "variants"
    pictures.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    started = process_time()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        for name in (name for name in CATALOGUE if name in options.only):
            try:
                entry = measured(name, EXPERIMENTS[name], runs, pictures)
            except (CharwganError, KeyError) as error:
                print(f"{name:20} failed: {error!r}", flush=True)
                continue
            found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            found = {**found, name: rounded(entry)}
            ordered = {each: found[each] for each in CATALOGUE if each in found}
            path.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            line = f"{entry['value']:.4g} (baseline {entry['baseline']['value']:.4g}, bar {entry['bar']})"
            print(f"{name:20} {entry['score']} {line}  {entry['cpu_seconds']:.0f} CPU s", flush=True)
    print(f"{process_time() - started:.0f} CPU seconds in all", flush=True)


if __name__ == "__main__":
    main()
