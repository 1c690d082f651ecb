r"""Mode collapse on mixtures of Gaussians: games and cures, on the ring of 8 and the grid of 25, by seeds.

    python -m benchmarks.modes --rounds 2000 --set batch_size=64
    python -m benchmarks.modes --methods best
    python -m benchmarks.modes --data mnist.npz --methods dcgan "best of images" --rounds 3000 --seeds 1 \
        --set data.column=x_train --set data.label=y_train --set data.stack=true --set data.image_size=16

Every method has the same networks, batch, rounds and moving average, and is trained as ``charwgan train`` would, on one
thread.  Scored as Lin et al. 2018 ("PacGAN", Tables 1 and 2) did: 2500 samples; a mode is reached by a sample within 3
standard deviations; the share of such samples is that of high quality; KL of their distribution over modes to the true
one.  Of stacked digits, three in the channels of one image, there are 1000 modes, which a classifier of the digits
counts in 26,000 samples (Table 3).  Prints means and standard errors over the seeds as rows of Markdown, as
docs/laboratory.md has them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

from training.display import SilentDisplay
from training.job import train
from training.layering import parse_assignment
from training.plan import plan

SETTINGS: dict[str, Any] = {
    "model.width": 128,
    "model.depth": 3,
    "model.latent": 2,
    "batch_size": 256,
    "n_critic": 1,
    "lr_generator": 1e-3,
    "lr_critic": 1e-3,
    "beta1": 0.5,
    "beta2": 0.999,
    "ema": 0.999,
    "threads": 1,
    "device": "cpu",
    # Nothing is looked at in between.
    "evaluate_seconds": 1e6,
    "checkpoint_seconds": 1e6,
}
OF_IMAGES = {"model.width": 32, "model.latent": 100, "batch_size": 64}
METHODS: dict[str, dict[str, Any]] = {
    "gan": {"variant": "gan"},
    "wgan": {"variant": "wgan", "n_critic": 5, "lr_generator": 5e-4, "lr_critic": 5e-4},
    "wgan-gp": {"variant": "wgan-gp", "n_critic": 5},
    "consensus": {"variant": "gan", "update": "consensus"},
    "minibatch discrimination": {"variant": "gan", "critic.minibatch_discrimination": True},
    "feature matching": {"variant": "gan", "feature_matching": True},
    "deligan": {"variant": "gan", "generator.mixture": 50},
    "mad-gan": {"variant": "mad-gan", "generators": 8},
    "mad-gan-sim": {"variant": "mad-gan-sim", "generators": 8},
    "pacgan4": {"variant": "gan", "critic.pack": 4},
    "unrolled": {"variant": "gan", "unrolled": 5},
    "dcgan": {"variant": "dcgan", **OF_IMAGES, "lr_generator": 2e-4, "lr_critic": 2e-4},
    "best of images": {
        "variant": "gan",
        **OF_IMAGES,
        "r1": 1.0,
        "beta1": 0.0,
        "beta2": 0.99,
        "lr_generator": 5e-4,
        "lr_critic": 5e-4,
        "decay": "linear",
    },
    "best": {"variant": "gan", "r1": 0.1, "beta1": 0.0, "lr_generator": 2e-3, "lr_critic": 4e-3, "decay": "linear"},
}
OF_POINTS = [name for name, keys in METHODS.items() if "model.latent" not in keys]
COLUMNS = ("modes", "high_quality", "reverse_kl")


def scores_of(data: str, keys: Mapping[str, Any], rounds: int, seed: int) -> dict[str, float]:
    """What one run scores, with its processor seconds."""
    config, _ = plan({"benchmark": {**SETTINGS, **keys, "data.sources": [data], "max_rounds": rounds, "seed": seed}})
    started = process_time()
    with tempfile.TemporaryDirectory() as folder:
        scores = train(config, Path(folder) / "run", SilentDisplay(), report=False).scores
    return {**scores, "seconds": process_time() - started}


def spread(values: list[float | None]) -> str:
    """Mean and standard error; none for one value."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "-"
    error = f" ± {stdev(known) / len(known) ** 0.5:.3f}" if len(known) > 1 else ""
    return f"{mean(known):.3f}{error}"


def main() -> None:
    """Read the options, run every method, print its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["ring", "grid"], help="built-in mixtures or other sources")
    parser.add_argument("--methods", nargs="+", default=OF_POINTS, choices=list(METHODS), metavar="METHOD")
    parser.add_argument("--rounds", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--seeds", type=int, default=10, help="how many (default: 10)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of every method")
    options = parser.parse_args()
    changed = dict(map(parse_assignment, options.set))
    for data in options.data:
        source = f"builtin:{data}" if data in ("ring", "grid") else data
        print(f"| {data} | modes | high quality | reverse KL | CPU s |\n|---|---|---|---|---|", flush=True)
        for name in options.methods:
            runs = [scores_of(source, {**METHODS[name], **changed}, options.rounds, i) for i in range(options.seeds)]
            cells = [spread([run.get(column) for run in runs]) for column in COLUMNS]
            print(f"| {name} | {' | '.join(cells)} | {mean(run['seconds'] for run in runs):.0f} |", flush=True)


if __name__ == "__main__":
    main()
