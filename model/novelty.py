"""Which strings are new: a model carries a keyed 64-bit hash of each training string, and not the strings.

    training-hashes.safetensors   key (16,) uint8;  hashes (M,) uint64, ascending, distinct

The hash of a string is BLAKE2b of its NFC form in UTF-8, with the key, little endian.  A string that is new is taken
for a training string with probability M / 2^64.  A string that is not is never missed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from model.alphabet import UNKNOWN, Alphabet, Ids, normalize
from model.errors import ArtifactError

HASHES = "training-hashes.safetensors"
KEY_BYTES = 16
HASH_BYTES = 8

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Novelty:
    """The training strings of a model, known by their hashes alone.

    key: KEY_BYTES bytes.  hashes: (M,) uint64, ascending and distinct.
    """

    key: bytes
    hashes: Hashes

    @classmethod
    def of(cls, rows: Ids, alphabet: Alphabet, digest: str) -> Novelty:
        """The hashes of training rows (N, T), all of them text at the same time.

        digest: of the data; the key is derived from it, so that the same data gives the same file.
        """
        keyed = cls.keyed(digest)
        return cls(keyed.key, np.unique(keyed.hash_rows(rows, alphabet)))

    @classmethod
    def keyed(cls, digest: str) -> Novelty:
        """No training strings yet, with the key of the data of that digest."""
        key = hashlib.blake2b(digest.encode(), digest_size=KEY_BYTES, person=b"charwgan novelty").digest()
        return cls(key, np.empty(0, np.uint64))

    def hash_rows(self, rows: Ids, alphabet: Alphabet) -> Hashes:
        """The keyed hashes of rows (N, T), (M,).

        A row with an unknown character is left out: what it stood for is lost, and the model never writes one.
        """
        return self.hash(alphabet.decode(rows[(rows != UNKNOWN).all(axis=1)]))

    @cached_property
    def _fresh(self) -> hashlib.blake2b:
        return hashlib.blake2b(key=self.key, digest_size=HASH_BYTES)

    def hash(self, texts: Sequence[str]) -> Hashes:
        """The keyed hash of each text, (N,)."""
        fresh, digests = self._fresh, []
        for text in texts:
            state = fresh.copy()  # half the time of another keyed start
            state.update(normalize(text).encode())
            digests.append(state.digest())
        return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64, copy=False)

    def contains(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each text is a training string, (N,)."""
        hashes = self.hash(texts)
        if not len(self.hashes):
            return np.zeros(len(hashes), dtype=np.bool_)
        places = np.minimum(self.hashes.searchsorted(hashes), len(self.hashes) - 1)
        return np.asarray(self.hashes[places] == hashes, dtype=np.bool_)

    def to_bytes(self) -> bytes:
        """The contents of the file."""
        return save({"key": np.frombuffer(self.key, dtype=np.uint8), "hashes": self.hashes})

    @classmethod
    def from_bytes(cls, data: bytes, path: Path) -> Novelty:
        """The contents of a file; path: where they were found.  Raises ArtifactError if they are not such hashes."""
        try:
            tensors = load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise ArtifactError(f"{path} is not a readable safetensors file: {error}") from error
        key, hashes = tensors.get("key"), tensors.get("hashes")
        if key is None or key.dtype != np.uint8 or key.shape != (KEY_BYTES,):
            raise ArtifactError(f"{path} must hold a key of {KEY_BYTES} bytes: export the run again")
        if hashes is None or hashes.dtype != np.uint64 or hashes.ndim != 1 or (hashes[1:] <= hashes[:-1]).any():
            raise ArtifactError(f"{path} must hold hashes as ascending 64-bit numbers: export the run again")
        return cls(key.tobytes(), hashes)
