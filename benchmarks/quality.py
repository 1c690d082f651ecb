"""Text quality at equal processor time: a preset beside the paper's settings, on a file of lines.

    python benchmarks/quality.py names.txt --seconds 300 --seeds 0 1 2

Each side is trained by the command line on one thread for the same processor seconds, on the same split, and scored
by the same table: JS-4 to held-out strings (padded, 3000 strings), share unique, share copied.  Real text and Markov
chains stand beside them.  The paper's side has the paper's objective, step sizes, critic steps and no average, at a
width of its own, --paper-width, since its width of 512 would not play a hundred rounds in that time; that width is
not the preset's.  Prints one row for each run, the means, and the ratio of the excess over real text, preset to paper.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

COLUMNS = ("js4_padded", "js4_bare", "js4_classic", "unique", "copied", "reverse_bits")


def train_and_score(
    data: Path, preset: str, seed: int, seconds: float, folder: Path, sets: list[str]
) -> dict[str, Any]:
    """Train one side; returns the rows of its table by name, and the rounds it played."""
    run = folder / f"{preset}-{seed}"
    command = [sys.executable, "-m", "charwgan", "train", str(data), "--run", str(run), "--preset", preset]
    command += ["--seed", str(seed), "--device", "cpu"]
    for assignment in ["threads=1", f"max_cpu_seconds={seconds}", f"max_seconds={seconds * 20}", *sets]:
        command += ["--set", assignment]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent.parent)
    table = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return {"rows": {row["name"]: row["scores"] for row in table["rows"]}, "round": result["round"]}


def line(name: str, scores: dict[str, float], rounds: int | None = None) -> str:
    """A row of the table that is printed."""
    values = "  ".join(f"{scores[column]:{len(column)}.3f}" for column in COLUMNS)
    return f"{name:16}  {values}  {'' if rounds is None else rounds}"


def main() -> None:
    """Read the options, run both sides, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a file of lines")
    parser.add_argument("--preset", default="tiny", help="the preset beside the paper's settings (default: tiny)")
    parser.add_argument("--seconds", type=float, default=300, help="processor seconds of a run (default: 300)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--length", type=int, default=16, help="T, where lines are cut (default: 16)")
    parser.add_argument("--paper-width", type=int, default=32, help="width of the paper's side (default: 32)")
    options = parser.parse_args()
    data = options.data.resolve()
    cut = f"data.max_length={options.length}"
    sides = {options.preset: [cut], "paper": [cut, f"model.width={options.paper_width}"]}
    found: dict[str, list[dict[str, float]]] = {}
    print(f"{'':16}  {'  '.join(COLUMNS)}  rounds", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            for preset, sets in sides.items():
                outcome = train_and_score(data, preset, seed, options.seconds, Path(folder), sets)
                rows = outcome["rows"]
                if not found:
                    for name in list(rows)[:-1]:
                        print(line(name, rows[name]))
                found.setdefault(preset, []).append(rows["model"])
                print(line(f"{preset}, seed {seed}", rows["model"], outcome["round"]), flush=True)
    means = {
        side: {column: mean(scores[column] for scores in runs) for column in COLUMNS} for side, runs in found.items()
    }
    for side, scores in means.items():
        print(line(f"{side}, mean", scores))
    floor = rows["real"]["js4_padded"]
    ratio = (means[options.preset]["js4_padded"] - floor) / (means["paper"]["js4_padded"] - floor)
    print(f"excess of JS-4 over real text, {options.preset} / paper: {ratio:.2f}")


if __name__ == "__main__":
    main()
