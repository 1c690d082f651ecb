"""Characters to ids and back, for whole corpora at once.

A character is a Unicode code point after NFC normalisation.  Id 0 is padding and id 1 the unknown character;
neither is a character of any text, so no string can collide with them.  T is the fixed length of an
encoded string and V the size of the alphabet, both reserved symbols included.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.errors import ArtifactError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING = 0
UNKNOWN = 1
RESERVED = ("[PAD]", "[UNK]")
CODE_POINTS = 0x110000

Ids = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Alphabet:
    """The characters that a model knows, and the length T of its strings.

    characters: distinct code points, in the order of their ids (the first has id 2).
    """

    characters: str
    length: int

    def __post_init__(self) -> None:
        if len(set(self.characters)) != len(self.characters):
            raise ValueError("characters must be distinct")
        if "\0" in self.characters:
            raise ValueError("NUL cannot be a character: it marks the end of a string")
        if self.length < 1:
            raise ValueError(f"length must be at least 1, got {self.length}")

    @property
    def size(self) -> int:
        """V: the number of symbols, padding and unknown included."""
        return len(self.characters) + len(RESERVED)

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """The smallest unsigned type that holds every id."""
        return np.dtype(np.uint8) if self.size <= 256 else np.dtype(np.uint16)

    @cached_property
    def _id_of(self) -> Ids:
        # Entry 0 stays PADDING: numpy fills short strings of a fixed-width array with NUL.
        table = np.full(CODE_POINTS, UNKNOWN, dtype=self.dtype)
        table[0] = PADDING
        points = np.frombuffer(self.characters.encode("utf-32-le"), dtype="<u4")
        table[points] = np.arange(len(RESERVED), self.size, dtype=self.dtype)
        return table

    @cached_property
    def _code_point_of(self) -> NDArray[np.uint32]:
        points = np.frombuffer(self.characters.encode("utf-32-le"), dtype="<u4")
        return np.concatenate([np.array([0, 0xFFFD], dtype=np.uint32), points])

    def encode(self, texts: Sequence[str]) -> Ids:
        """Ids of each text, (N, T), padded with PADDING and cut at T; texts are expected in NFC.

        numpy's fixed-width strings are UTF-32, so one look-up in a table encodes a whole corpus.
        """
        fixed = np.array(texts, dtype=f"<U{self.length}")
        points = fixed.view(np.uint32).reshape(len(texts), self.length)
        return self._id_of[points]

    def decode(self, ids: NDArray[np.integer]) -> list[str]:
        """The text of each row of ids (N, T); a string ends at its first padding."""
        ended = np.logical_or.accumulate(ids == PADDING, axis=1)
        points = np.where(ended, np.uint32(0), self._code_point_of[ids])
        fixed = np.ascontiguousarray(points, dtype="<u4").view(f"<U{ids.shape[1]}")
        texts: list[str] = fixed[:, 0].tolist()
        return texts

    def tokenizer(self) -> Tokenizer:
        """The same mapping as a Hugging Face tokenizer, which is how it is saved."""
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

        symbols = (*RESERVED, *self.characters)
        # The reserved symbols are plain vocabulary and not "special tokens": the text "[PAD]" stays five characters.
        tokenizer = Tokenizer(
            models.WordLevel({symbol: i for i, symbol in enumerate(symbols)}, unk_token=RESERVED[UNKNOWN])
        )
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
        tokenizer.enable_truncation(self.length)
        tokenizer.enable_padding(pad_id=PADDING, pad_token=RESERVED[PADDING], length=self.length)
        return tokenizer

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json``, whole or not at all.  Raises OSError if the disk refuses."""
        partial = path.with_name(f"{path.name}.partial")
        try:
            partial.write_text(self.tokenizer().to_str(pretty=True), encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Alphabet:
        """Read ``tokenizer.json``.  Raises ArtifactError if it is not a character-level tokenizer of ours.

        Its JSON says all that is needed: the library itself would take 5 MB of a process that only serves.
        """
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            vocabulary, length = saved["model"]["vocab"], saved["padding"]["strategy"]["Fixed"]
            symbols = sorted(vocabulary, key=vocabulary.__getitem__)
            if sorted(vocabulary.values()) != list(range(len(symbols))) or tuple(symbols[:2]) != RESERVED:
                raise ValueError("ids must count up from [PAD] and [UNK]")
            if any(len(symbol) != 1 for symbol in symbols[2:]):
                raise ValueError("every symbol must be one character")
            return cls("".join(symbols[2:]), length)
        except OSError as error:
            raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path} is not a character-level tokenizer: {error}") from error


def normalize(text: str) -> str:
    """NFC, the form in which every text is learned, compared and served."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
