"""What images are made of besides a latent: a caption, with or without the box that it speaks of, or another picture.

M pictures, C channels, H W pixels, W words.  It is K numbers, which the network takes after the latent, (N, Z + K).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import ArtifactError, ConfigurationError, DataError

ASIDES = ("a", "at", "in", "the")  # words of a sentence that say nothing

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Captions:
    """A sentence of known words: K is W, or W + 4 with a box.

    words: those that are known.  box: whether a sentence comes with left, top, right and bottom, in shares of the side.
    aspects: what may be said of each, in phrases of these words, of which a sentence has one of each aspect at most.
    """

    words: tuple[str, ...]
    box: bool = False
    aspects: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.words) + 4 * self.box

    def row(self, caption: str, box: str | None = None) -> Floats:
        """What the network takes for a caption, and for a box "left,top,right,bottom" where there is one: (1, K).

        Raises ConfigurationError for words that are not known, and for what is no box.
        """
        row = word_rows([caption], self.words)
        if not row.any():
            raise ConfigurationError(f"the caption says nothing: the words known are {', '.join(self.words)}")
        for phrases in self.aspects:
            of_it = {word for phrase in phrases for word in phrase.split()}
            said = {word for word, there in zip(self.words, row[0], strict=True) if there and word in of_it}
            if said and said not in [set(phrase.split()) for phrase in phrases]:
                told = " and ".join(word for word in self.words if word in said)
                raise ConfigurationError(f"the caption says {told}, and may say one of {', '.join(phrases)}")
        if self.box != (box is not None):
            why = "needs --box, which says where" if self.box else "was told of no boxes: leave --box out"
            raise ConfigurationError(f"the model {why}")
        return row if box is None else np.concatenate([row, _box(box)], axis=1)

    def to_json(self) -> dict[str, Any]:
        """As ``given_by`` reads it."""
        return {"words": list(self.words), "box": self.box, "aspects": [list(phrases) for phrases in self.aspects]}

    @property
    def example(self) -> str:
        """A sentence that may be said."""
        return " ".join(["a", *(phrases[0] for phrases in self.aspects)] if self.aspects else self.words[:1])


@dataclass(frozen=True)
class Pictures:
    """Another picture: K is C H W.

    shape: (C, H, W).  pair: what it was in training, by the name that data.pair had.
    """

    shape: tuple[int, ...]
    pair: str

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def rows(self, path: Path) -> Floats:
        """What the network takes for the pictures of a file, (M, K).

        path: .npz, of an array x, or the only one, (M, C, H, W) or (M, H, W) for C = 1: bytes, or floats in [-1, 1].
        Half the sides are enough where half as many is what it was trained to enlarge.
        Raises DataError naming the file for what it is not.
        """
        images = _images(path)
        if images.ndim == 3:
            images = images[:, np.newaxis]
        if self.pair == "shrink" and images.shape[2:] == tuple(side // 2 for side in self.shape[1:]):
            images = images.repeat(2, axis=2).repeat(2, axis=3)
        if images.shape[1:] != self.shape or not len(images):
            told = ", ".join(map(str, self.shape))
            raise DataError(f"{path} must hold pictures of shape ({told}), got an array of shape {images.shape}")
        if images.dtype == np.uint8:
            images = images / np.float32(127.5) - np.float32(1.0)
        if not (np.abs(images) <= 1).all():
            raise DataError(
                f"{path} must hold bytes, or numbers from -1 to 1, got {images.min():g} to {images.max():g}"
            )
        return images.reshape(len(images), -1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """As ``given_by`` reads it."""
        return {"shape": list(self.shape), "pair": self.pair}


def given_by(told: object, where: Path | str) -> Captions | Pictures | None:
    """What a model's configuration says of it; None where nothing is told.  where: it stands, for messages.

    Raises ArtifactError for what it cannot be.
    """
    match told:
        case None:
            return None
        case {"words": [*words], "box": bool(box), "aspects": [*aspects]} if words and all(
            isinstance(word, str) for word in [*words, *chain(*aspects)]
        ):
            return Captions(tuple(words), box, tuple(map(tuple, aspects)))
        case {"shape": [*sizes], "pair": str(pair)} if len(sizes) == 3 and all(type(each) is int for each in sizes):
            return Pictures(tuple(sizes), pair)
    raise ArtifactError(f"{where}: given must have words, box and aspects, or shape and pair: export the run again")


def rows_given(
    needed: Captions | Pictures | None, caption: str | None, box: str | None, pictures: Path | None
) -> Floats | None:
    """What stands on a command line as the network takes it, (M, K); None for a model that is given nothing.

    Raises ConfigurationError for what is missing or not needed, and as the two above do.
    """
    options = {"--caption": caption, "--box": box, "--pictures": pictures}
    takes = {Captions: ("--caption", "--box"), Pictures: ("--pictures",)}.get(type(needed), ())
    if unfit := [name for name, value in options.items() if value is not None and name not in takes]:
        what = {Captions: "captions", Pictures: "pictures"}.get(type(needed), "a latent and a label alone")
        raise ConfigurationError(f"{unfit[0]} is not for this model, which makes its samples of {what}: leave it out")
    if isinstance(needed, Captions):
        if caption is None:
            raise ConfigurationError(f"the model needs --caption, a sentence of {', '.join(needed.words)}")
        return needed.row(caption, box)
    if isinstance(needed, Pictures):
        if pictures is None:
            raise ConfigurationError(f"the model needs --pictures, a .npz of what it shall translate ({needed.pair})")
        return needed.rows(pictures)
    return None


def word_rows(captions: Sequence[str], words: Sequence[str]) -> Floats:
    """Whether each of W words is in a caption, (N, W); ASIDES and marks are passed over.

    Raises ConfigurationError for another word.
    """
    found = np.zeros((len(captions), len(words)), dtype=np.float32)
    for row, caption in zip(found, captions, strict=True):
        for word in caption.lower().replace(",", " ").replace(".", " ").split():
            if word in words:
                row[words.index(word)] = 1.0
            elif word not in ASIDES:
                raise ConfigurationError(f"the caption says {word!r}, and the words known are {', '.join(words)}")
    return found


def _box(text: str) -> Floats:
    """Left, top, right and bottom, (1, 4)."""
    try:
        box = np.array([float(part) for part in text.split(",")], dtype=np.float32)
    except ValueError:
        box = np.empty(0, dtype=np.float32)
    if box.shape != (4,) or not (box[:2] < box[2:]).all() or not ((box >= 0) & (box <= 1)).all():
        raise ConfigurationError(
            f"--box must be left,top,right,bottom, numbers from 0 to 1 that grow to the right and down, got {text!r}"
        )
    return box[np.newaxis]


def _images(path: Path) -> NDArray[Any]:
    """The array x of a file .npz, or the only one."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = list(arrays)
            name = "x" if "x" in names else names[0] if len(names) == 1 else None
            found: NDArray[Any] | None = None if name is None else arrays[name]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or 'it is no .npz'}") from error
    except (ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a readable .npz of arrays") from error
    if found is None:
        raise DataError(f"{path} must hold an array x, or one alone, got {', '.join(names) or 'none'}")
    if (
        found.ndim not in (3, 4)
        or found.dtype.kind not in "uf"
        or (found.dtype.kind == "u" and found.dtype != np.uint8)
    ):
        raise DataError(f"{path} must hold pictures of bytes or floats, got {found.dtype} of shape {found.shape}")
    return found
