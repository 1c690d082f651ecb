"""Numbers in ascending order, more of them than fit in memory; and rows of a large file, some at a time."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]

ROOM = 1 << 22  # numbers that lie in memory at a time, 32 MB
BUCKETS = 256  # files that more are sorted into, by their highest eight bits


def slices(rows: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    """Rows (N, ...) in order, at most ``size`` at a time.

    Of a memory map each part is a copy, and the pages that it was read from no longer count as this process's memory.
    """
    for start in range(0, len(rows), size):
        yield np.array(rows[start : start + size])
        if isinstance(mapped := getattr(rows, "_mmap", None), mmap.mmap):
            mapped.madvise(mmap.MADV_DONTNEED)


def ascending(numbers: Iterable[Numbers], folder: Path, room: int = ROOM) -> Iterator[Numbers]:
    """All the numbers in ascending order, in parts; equal ones are in one part.

    folder: where they lie meanwhile if there are more than ``room``, which then should be spread evenly, as hashes are.
    Raises OSError if it cannot be written.
    """
    rest, held, count = iter(numbers), list[Numbers](), 0
    for part in rest:
        held.append(part)
        count += len(part)
        if count > room:
            break
    else:
        if held:
            yield np.sort(np.concatenate(held))
        return
    with tempfile.TemporaryDirectory(dir=folder) as name:
        paths = [Path(name) / str(bucket) for bucket in range(BUCKETS)]
        with ExitStack() as files:
            buckets = [files.enter_context(path.open("wb")) for path in paths]
            for part in chain(held, rest):
                ordered = np.sort(part)
                ends = np.searchsorted(ordered >> np.uint64(56), np.arange(BUCKETS, dtype=np.uint64), side="right")
                for bucket, chosen in zip(buckets, np.split(ordered, ends[:-1]), strict=True):
                    bucket.write(chosen.data)
        for path in paths:
            yield np.sort(np.fromfile(path, dtype=np.uint64))
            path.unlink()
