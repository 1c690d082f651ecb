"""The cures for mode collapse on text at equal processor time: which help strings, and which do not.

    python benchmarks/cures.py names.txt --seconds 100 --seeds 0 1 2

Every side is WGAN-GP in one preset with one option more, or MAD-GAN; each is trained by the command line on one thread
for the same processor seconds and scored by the same table: JS-4 to held-out strings, share unique, share copied.
Prints the means over the seeds with the standard error of JS-4 as rows of Markdown, as docs/laboratory.md has them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean, stdev

from quality import train_and_score

CURES: dict[str, list[str]] = {
    "none": [],
    "minibatch discrimination": ["critic.minibatch_discrimination=true"],
    "packs of 2": ["critic.pack=2"],
    "feature matching": ["feature_matching=true"],
    "historical averaging": ["historical_averaging=1e-4"],
    "instance noise": ["instance_noise=0.1", "instance_noise_rounds=2000"],
    "unrolled, 1 step": ["unrolled=1"],
    "DeLiGAN, 50 Gaussians": ["generator.mixture=50"],
    "virtual batch norm": ["generator.virtual_batch_norm=true"],
    "layer norm": ["critic.norm=layer"],
    "consensus": ["update=consensus", "consensus=0.1"],
    "MAD-GAN, 4 generators": ["variant=mad-gan", "generators=4"],
    "MAD-GAN-Sim, 4 generators": ["variant=mad-gan-sim", "generators=4"],
}
COLUMNS = ("js4_bare", "unique", "copied")


def row(name: str, runs: list[dict[str, float]], rounds: float) -> str:
    """One row of the table."""
    js4 = [run["js4_padded"] for run in runs]
    error = f" ± {stdev(js4) / len(js4) ** 0.5:.3f}" if len(js4) > 1 else ""
    cells = [f"{mean(js4):.3f}{error}", *(f"{mean(run[column] for run in runs):.3f}" for column in COLUMNS)]
    return f"| {name} | {' | '.join(cells)} | {rounds:.0f} |"


def main() -> None:
    """Read the options, train every side, print its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a file of lines")
    parser.add_argument("--preset", default="tiny", help="default: tiny")
    parser.add_argument("--seconds", type=float, default=100, help="processor seconds of a run (default: 100)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--length", type=int, default=16, help="T, where lines are cut (default: 16)")
    parser.add_argument("--cures", nargs="+", default=list(CURES), choices=list(CURES), metavar="CURE")
    options = parser.parse_args()
    print("| | JS-4 padded | JS-4 bare | unique | copied | rounds |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.cures:
            place, sets = Path(folder) / name.replace(" ", "-"), [f"data.max_length={options.length}", *CURES[name]]
            data, preset = options.data.resolve(), options.preset
            found = [train_and_score(data, preset, seed, options.seconds, place, sets) for seed in options.seeds]
            scores = [outcome["rows"]["model"] for outcome in found]
            print(row(name, scores, mean(outcome["round"] for outcome in found)), flush=True)


if __name__ == "__main__":
    main()
