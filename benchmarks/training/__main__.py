"""How fast training is, beside a plain eager implementation of the same objective.

    python -m benchmarks.training                                # the CPU, one thread and two, fp32 and bf16
    python -m benchmarks.training --device cuda --batches 64 256

For each size: milliseconds of a critic step and of a whole round (critic steps, generator step, drawing data, moving
average) of either side, taken in turn in one process, and the median ratio of neighbours, plain / ours; the share of
the machine's measured ceilings that our critic step reaches, at 10 F operations; the peak memory of either side.
Prints rows of Markdown, as docs/training.md has them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.training.cell import Size

ROOT = Path(__file__).parent.parent.parent
HEAD = (
    "| dim | N | threads | precision | critic step, ms: plain / ours | ratio | round, ms: plain / ours | ratio "
    "| G operations | of convolutions | of matrices | strings/s | peak MiB: plain / ours |"
)


def found_by(size: Size) -> dict[str, Any]:
    """What a process of its own finds; a cell that breaks ends the benchmark, its error above."""
    command = [sys.executable, "-m", "benchmarks.training.cell", json.dumps(dataclasses.asdict(size))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(size: Size) -> str:
    """One row of the table."""
    found = found_by(size)
    plain, ours = (found_by(dataclasses.replace(size, side=side))["peak_mib"] for side in ("plain", "ours"))
    step, whole = found["critic_step"], found["round"]
    cells = [
        str(size.width),
        str(size.batch),
        str(size.threads),
        size.precision,
        f"{step['plain_ms']:.2f} / {step['ours_ms']:.2f}",
        f"**{step['ratio']:.2f}**",
        f"{whole['plain_ms']:.1f} / {whole['ours_ms']:.1f}",
        f"**{whole['ratio']:.2f}**",
        f"{found['operations'] / 1e9:.2f}",
        f"{found['per_s'] / found['convolution_per_s']:.2f}",
        f"{found['per_s'] / found['gemm_per_s']:.2f}",
        f"{found['strings_per_s']:.0f}",
        f"{plain:.0f} / {ours:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Read the options, run the cells, print the rows as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256, 512], help="dim")
    parser.add_argument("--batches", type=int, nargs="+", default=[64], help="N")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="CPU threads")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--length", type=int, default=32, help="T")
    parser.add_argument("--symbols", type=int, default=100, help="V")
    parser.add_argument("--n-critic", type=int, default=5, help="critic steps in a round")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each comparison")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    print(HEAD)
    print("|---" * (HEAD.count("|") - 1) + "|")
    given = {name: getattr(options, name) for name in ("length", "symbols", "n_critic", "seconds", "device")}
    cells = product(options.precisions, options.threads, options.batches, options.widths)
    for precision, threads, batch, width in cells:
        print(row(Size(width=width, threads=threads, precision=precision, batch=batch, **given)), flush=True)


if __name__ == "__main__":
    main()
