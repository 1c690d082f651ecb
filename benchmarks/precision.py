"""What bf16 does to the quality of text, at equal rounds: an emulation that runs on any processor.

    python benchmarks/precision.py names.txt --rounds 1500 --seeds 0 1 2

Both sides play the same rounds from the same weights on the same batches, one in fp32 and one in the arithmetic of
bf16 autocast: what enters and leaves every convolution, linear layer and product is bf16, forward and backward, and so
is what lies between them; sums inside them are fp32.  Weights, their moving average and Adam are fp32 on both.  It says
nothing of speed.  Prints the scores of strings of the moving average, those of real text beside them, and the mean
difference between the sides with its standard error over the seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from training.data import Corpus, open_dataset
from training.evaluation.table import ScoreTable
from training.layering import resolve
from training.loop import Draws, play
from training.observer import SAMPLE_SEED, generate_ids
from training.preparation import start
from training.scoring import score_samples

COLUMNS = ("js4_padded", "js4_bare", "js4_classic", "unique", "copied")
CPU = torch.device("cpu")
# What autocast computes in bf16, of what a text game calls.
LOWERED = {torch.conv1d, torch.conv_transpose1d, linear, torch.matmul, Tensor.matmul, Tensor.__matmul__}


class EmulatedBf16(TorchFunctionMode):
    """bf16 autocast, on processors that have no such instructions."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function not in LOWERED:
            return function(*args, **kwargs)
        lowered = {name: rounded(value) for name, value in kwargs.items()}
        return function(*map(rounded, args), **lowered).bfloat16()


def rounded(value: Any) -> Any:
    """A tensor rounded to bf16, and so is its gradient; what is no tensor of numbers is as it was."""
    return value.bfloat16().float() if isinstance(value, Tensor) and value.is_floating_point() else value


def scores(corpus: Corpus, keys: Mapping[str, Any], preset: str, rounds: int, n: int, *, bf16: bool) -> ScoreTable:
    """The table of scores after some rounds."""
    config, _ = resolve({"flag": dict(keys)}, preset)
    training, rule = start(config, corpus, CPU)
    draws = Draws(corpus, config.batch_size, config.model.latent, config.seed, CPU)
    with EmulatedBf16() if bf16 else nullcontext():
        for terms in islice(play(training, rule, draws), rounds):
            if not all(torch.isfinite(value) for value in terms.values()):
                raise ArithmeticError(f"not finite: {terms}")
    ids = generate_ids(training.average.module, n, config.model.latent, corpus.alphabet)
    samples = corpus.alphabet.encode(corpus.alphabet.decode(ids))
    return score_samples(corpus, samples, n=n, seed=SAMPLE_SEED)


def line(name: str, values: Mapping[str, Any], number: str = "8.4f") -> str:
    """A row of the table that is printed."""
    return f"{name:24}" + "".join(f"{format(values[column], number):>{len(column) + 3}}" for column in COLUMNS)


def main() -> None:
    """Read the options, play both sides for every seed, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a file of lines")
    parser.add_argument("--preset", default="tiny", help="default: tiny")
    parser.add_argument("--rounds", type=int, default=1500, help="default: 1500")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--samples", type=int, default=3000, help="strings that are scored (default: 3000)")
    parser.add_argument("--length", type=int, default=16, help="T, where lines are cut (default: 16)")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[bool, list[Mapping[str, Any]]] = {False: [], True: []}
    print(f"{'':24}" + "".join(f"{column:>{len(column) + 3}}" for column in COLUMNS), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        keys = {"data.sources": (str(options.data.resolve()),), "data.max_length": options.length, "device": "cpu"}
        config, _ = resolve({"flag": keys}, options.preset)
        corpus = open_dataset(config.data, Path(folder))
        assert isinstance(corpus, Corpus)
        for seed in options.seeds:
            for bf16 in found:
                table = scores(
                    corpus, keys | {"seed": seed}, options.preset, options.rounds, options.samples, bf16=bf16
                )
                if not found[False]:
                    print(line("real text", table["real"]))
                found[bf16].append(table["model"])
                print(line(f"{'emulated bf16' if bf16 else 'fp32'}, seed {seed}", table["model"]), flush=True)
    apart = [
        {column: b[column] - a[column] for column in COLUMNS} for a, b in zip(found[False], found[True], strict=True)
    ]
    print(line("bf16 - fp32, mean", {c: mean(d[c] for d in apart) for c in COLUMNS}, "+8.4f"))
    if len(apart) > 1:
        spread = {c: stdev(d[c] for d in apart) / len(apart) ** 0.5 for c in COLUMNS}
        print(line("its standard error", spread))


if __name__ == "__main__":
    main()
