"""The hashes of a corpus that a model will carry, written without holding them all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from model.alphabet import Alphabet, Ids
from model.novelty import HASH_BYTES, KEY_BYTES, Novelty
from training.data.ordering import ascending, slices
from training.runs import writing_whole

SLICE = 1 << 16  # training strings that are text at the same time
HEAD = 256  # bytes before the hashes, with room for any number of them


def write_novelty(rows: Ids, alphabet: Alphabet, digest: str, path: Path) -> None:
    """Write the file of ``Novelty.of`` training rows (N, T), which may be a memory map, whole or not at all.

    Raises RunError if the disk refuses.
    """
    keyed, count = Novelty.keyed(digest), 0
    with writing_whole(path) as file:
        file.seek(HEAD)
        hashes = (keyed.hash_rows(part, alphabet) for part in slices(rows, SLICE))
        for part in ascending(hashes, path.parent):
            distinct = np.unique(part)
            file.write(distinct.data)
            count += len(distinct)
        file.write(keyed.key)
        file.seek(0)
        file.write(_head(count))


def _head(count: int) -> bytes:
    """What safetensors has before the data: the length of a JSON object, and the object, filled up with spaces."""
    end = count * HASH_BYTES
    told = {
        "hashes": {"dtype": "U64", "shape": [count], "data_offsets": [0, end]},
        "key": {"dtype": "U8", "shape": [KEY_BYTES], "data_offsets": [end, end + KEY_BYTES]},
    }
    text = json.dumps(told).encode().ljust(HEAD - 8)
    return len(text).to_bytes(8, "little") + text
