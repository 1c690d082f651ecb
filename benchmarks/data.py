"""Speed of the data's way in processor time: encoding and preparing in lines a second, the table of scores in seconds.

    python benchmarks/data.py --lines 1000000

On one thread and made-up names: the table-driven encoding beside the tokenizer that it must equal, preparing a file
(reading, cleaning, encoding, splitting, writing), opening it again, and the table of 3000 strings.  Prints a row for
each, and the ratio of the two encodings; last, `charwgan --help` in a process of its own.
Bounds: 1,000,000 lines a second encoded, the table in under 10 seconds, the help in under 0.3.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from model.alphabet import Alphabet
from training.configuration import DataConfig
from training.data import Corpus, open_dataset
from training.evaluation.table import score_table

TOKENIZED = 20_000  # lines that the tokenizer encodes: it is slow


def seconds(call: Callable[[], object], repeats: int = 1, clock: Callable[[], float] = time.process_time) -> float:
    """The least time of a few calls, of the processor unless another clock is named."""
    times = []
    for _ in range(repeats):
        started = clock()
        call()
        times.append(clock() - started)
    return min(times)


def names(lines: int) -> list[str]:
    """Made-up names of two to four syllables, by seed."""
    draw = random.Random(0)
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiouy"]
    return ["".join(draw.choices(syllables, k=draw.randint(2, 4))) for _ in range(lines)]


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines of the corpus (default: 1000000)")
    lines = parser.parse_args().lines
    texts = names(lines)
    alphabet = Alphabet("".join(sorted(set("".join(texts)))), 16)
    tokenizer = alphabet.tokenizer()
    fast = lines / seconds(lambda: alphabet.encode(texts), 3)
    few = texts[:TOKENIZED]
    slow = len(few) / seconds(lambda: [tokenizer.encode(text).ids for text in few])
    print(f"{'encoding':20} {fast:12,.0f} lines/s")
    print(f"{'the tokenizer':20} {slow:12,.0f} lines/s")
    print(f"{'ratio':20} {fast / slow:12.1f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "names.txt"
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        config = DataConfig(sources=(str(path),), max_length=16)
        preparing = seconds(lambda: open_dataset(config, Path(folder) / "cache"))
        print(f"{'preparing':20} {lines / preparing:12,.0f} lines/s")
        print(f"{'opening again':20} {seconds(lambda: open_dataset(config, Path(folder) / 'cache')):12.3f} s")
        corpus = open_dataset(config, Path(folder) / "cache")
        assert isinstance(corpus, Corpus)
        sets = {"train": corpus.train, "held_out": corpus.held_out, "hashes": corpus.train_hashes}
        taken = seconds(lambda: score_table(**sets, samples=corpus.held_out[-3000:], alphabet=corpus.alphabet, n=3000))
        print(f"{'table of 3000':20} {taken:12.2f} s")
    command = [sys.executable, "-m", "charwgan", "--help"]
    helping = seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 5, time.perf_counter)
    print(f"{'--help':20} {helping:12.3f} s")


if __name__ == "__main__":
    main()
