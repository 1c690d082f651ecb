"""Data larger than memory: numbers sorted by way of files, rows read where they lie."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from model.alphabet import Alphabet
from model.errors import DataError, RunError
from model.novelty import HASHES, Novelty
from training.data import novelty, storage
from training.data.novelty import write_novelty
from training.data.ordering import BUCKETS, ascending, slices
from training.data.storage import StoredRows

ALPHABET = Alphabet("abcde", 6)


def drawn(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**64, n, dtype=np.uint64)


@pytest.mark.parametrize("room", [10, 100, 5000, 10_000])
def test_numbers_come_in_order_whether_they_fit_in_memory_or_not(tmp_path: Path, room: int) -> None:
    numbers = np.concatenate([drawn(5000), drawn(100)])
    parts = list(ascending(np.array_split(numbers, 60), tmp_path, room))
    assert np.array_equal(np.concatenate(parts), np.sort(numbers))
    assert len(parts) == (1 if room > len(numbers) else BUCKETS)
    assert list(tmp_path.iterdir()) == []


def test_equal_numbers_are_in_one_part(tmp_path: Path) -> None:
    numbers = np.repeat(drawn(500), 3)
    parts = list(ascending([numbers[::-1], numbers], tmp_path, room=100))
    assert sum(len(np.unique(part)) for part in parts) == 500


def test_the_smallest_and_the_largest_number_find_their_places(tmp_path: Path) -> None:
    numbers = np.array([2**64 - 1, 0, 2**56, 2**56 - 1, 2**63], dtype=np.uint64)
    assert np.concatenate(list(ascending([numbers], tmp_path, room=1))).tolist() == sorted(numbers.tolist())


def test_no_numbers_are_no_parts(tmp_path: Path) -> None:
    assert list(ascending([], tmp_path)) == []


def test_numbers_are_not_all_held_at_the_same_time(tmp_path: Path) -> None:
    n, size = 1_000_000, 10_000
    made = (drawn(size) * np.uint64(2 * i + 1) for i in range(n // size))
    tracemalloc.start()
    try:
        assert sum(len(part) for part in ascending(made, tmp_path, room=2 * size)) == n
        assert tracemalloc.get_traced_memory()[1] < 8 * n / 2
    finally:
        tracemalloc.stop()


def resident_kb(path: Path) -> int:
    """How much of a file's maps counts as this process's memory."""
    maps = Path("/proc/self/smaps").read_text().split(str(path))[1:]
    return sum(int(re.search(r"Rss:\s+(\d+) kB", of_map)[1]) for of_map in maps)  # type: ignore[index]


def test_pages_of_a_memory_map_are_given_back_after_each_slice(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, np.arange(1 << 23).reshape(-1, 8))
    mapped = np.load(path, mmap_mode="r")
    most = 0
    for part in slices(mapped, 4096):
        assert part.base is None
        most = max(most, resident_kb(path))
    assert most < 16_384
    assert mapped.sum() > 0
    assert resident_kb(path) > 65_000


def test_rows_of_a_large_file_are_read_and_those_of_a_small_one_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.npy"
    rows = np.random.default_rng(1).integers(0, 300, (1000, 7)).astype(np.uint16)
    np.save(path, rows)
    mapped, chosen = np.load(path, mmap_mode="r"), np.array([999, 0, 5, 5, 500])
    assert np.array_equal(StoredRows(mapped, path).take(chosen), rows[chosen])
    monkeypatch.setattr(storage, "MAPPED", 0)
    stored = StoredRows(mapped, path)
    assert np.array_equal(stored.take(chosen), rows[chosen])
    assert stored.take(chosen[:0]).shape == (0, 7)
    with path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match="has been cut off"):
        stored.take(chosen)


def strings(n: int) -> np.ndarray:
    draw = np.random.default_rng(2)
    return ALPHABET.encode(["".join(draw.choice(list("abcde?"), size=5)) for _ in range(n)])


def test_hashes_that_are_written_in_slices_are_those_of_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, path = strings(1000), tmp_path / HASHES
    monkeypatch.setattr(novelty, "SLICE", 300)
    write_novelty(rows, ALPHABET, "a digest", path)
    whole, read = Novelty.of(rows, ALPHABET, "a digest"), Novelty.from_bytes(path.read_bytes(), path)
    assert read.key == whole.key
    assert np.array_equal(read.hashes, whole.hashes)
    assert 0 < len(read.hashes) < 1000


def test_a_disk_that_refuses_leaves_no_half_written_hashes(tmp_path: Path) -> None:
    (tmp_path / HASHES).mkdir()
    with pytest.raises(RunError, match=f"cannot write .*{HASHES}"):
        write_novelty(strings(10), ALPHABET, "a digest", tmp_path / HASHES)
    assert [path.name for path in tmp_path.iterdir()] == [HASHES]
