"""A corpus larger than memory: what looks at it while training, and the table at the end, reads few of its rows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from model.alphabet import Alphabet
from training.configuration import DataConfig
from training.data import Corpus, open_dataset
from training.data.repeats import hash_rows, sorted_hashes, write_sorted_hashes
from training.evaluation import copies, table
from training.evaluation.copies import Originals, subsample
from training.evaluation.table import score_table
from training.evaluation.watch import Watch

ROWS, T = 400_000, 32
ALPHABET = Alphabet("abcdefgh", T)


@contextmanager
def allocating(most: float) -> Iterator[None]:
    """Claims that what is allocated within never exceeds so many bytes; memory maps are not counted."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.memmap, np.memmap]:
    """Random rows (N, T) and their sorted hashes, both memory maps: 13 and 3 MB stand for as many GB."""
    folder = tmp_path_factory.mktemp("large")
    rows = np.random.default_rng(0).integers(2, 10, (ROWS, T)).astype(np.uint8)
    np.save(folder / "train.npy", rows)
    train = np.load(folder / "train.npy", mmap_mode="r")
    write_sorted_hashes(train, folder / "hashes.npy")
    return train, np.load(folder / "hashes.npy", mmap_mode="r")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds so low that these rows are very many."""
    monkeypatch.setattr(copies, "SHUFFLED", 1000)
    monkeypatch.setattr(table, "FIT_POSITIONS", 10_000)


@pytest.mark.usefixtures("few")
def test_watching_a_large_corpus_holds_a_fraction_of_it(large: tuple[np.memmap, np.memmap]) -> None:
    train, hashes = large
    with allocating(train.nbytes / 4):
        watch = Watch(train, train[:2000], ALPHABET, hashes=hashes, n=200)
        scores = watch.scores(np.asarray(train[-300:]))
    assert scores["copied"] == 1


@pytest.mark.usefixtures("few")
def test_the_table_of_a_large_corpus_reads_a_fraction_of_it(
    large: tuple[np.memmap, np.memmap], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, hashes = large
    samples = np.random.default_rng(1).integers(2, 10, (200, T)).astype(np.uint8)
    samples[:50] = train[:50]
    sets = {"held_out": train[:300], "samples": samples, "alphabet": ALPHABET, "n": 200, "hashes": hashes}
    monkeypatch.setitem(Originals.of.__func__.__kwdefaults__, "limit", 500)
    with allocating(train.nbytes / 2):
        found = score_table(train=train, **sets)
    assert (found["model"]["copied"], found.nearest_training, found.fitted) == (0.25, 500, 10_000 // T)
    assert f"{ROWS} for training (bits, chains and JS-4 640 from {10_000 // T} of them)" in found.notes()[0]


def test_hashes_written_in_slices_are_those_of_all_rows(large: tuple[np.memmap, np.memmap]) -> None:
    train, hashes = large
    assert np.array_equal(hashes, np.sort(hash_rows(np.asarray(train))))
    assert np.array_equal(sorted_hashes(train), hashes)


def test_a_corpus_brings_the_hashes_that_its_watch_would_make(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("".join(f"{i % 70}\n" for i in range(300)))
    corpus = open_dataset(DataConfig(sources=(str(path),)), tmp_path / "cache")
    assert isinstance(corpus, Corpus)
    assert isinstance(corpus.train_hashes, np.memmap)
    assert np.array_equal(corpus.train_hashes, sorted_hashes(corpus.train))
    watches = [
        Watch(corpus.train, corpus.held_out, corpus.alphabet, hashes=hashes) for hashes in (None, corpus.train_hashes)
    ]
    ids = corpus.alphabet.encode(["1", "69", "70", "7", ""])
    assert watches[0].scores(ids) == watches[1].scores(ids)
    assert watches[1].scores(ids)["copied"] == 3 / 5


@pytest.mark.parametrize("seed", [0, (3, 1)])
def test_rows_drawn_of_very_many_are_different_and_repeat(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(copies, "SHUFFLED", 100)
    rows = subsample(10_000, 500, seed)
    assert len(set(rows.tolist())) == 500
    assert rows.max() > 9000
    assert np.array_equal(rows, subsample(10_000, 500, seed))
    assert sorted(subsample(101, 200, seed).tolist()) == list(range(101))
