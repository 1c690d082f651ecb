"""Captioned shapes, made on the spot: "a small red circle at the top left", and where its box is.

N images, M rows, S side, W words.  Lengths are shares of the side; y grows downwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.given import Captions as Words
from model.given import word_rows
from model.latents import uniforms
from training.data.arrays import Captions, Images, scaled
from training.data.split import split_rows

if TYPE_CHECKING:
    from training.configuration import DataConfig

ROWS = 20_000
SIDE = 16
SLICE = 1024  # images that are drawn at a time
_PURPOSE = 0x5348_4150_4553_0001

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def _circle(x: Floats, y: Floats, r: Floats) -> Floats:
    return np.asarray(np.hypot(x, y) - r)


def _square(x: Floats, y: Floats, r: Floats) -> Floats:
    return np.asarray(np.maximum(abs(x), abs(y)) - r)


def _triangle(x: Floats, y: Floats, r: Floats) -> Floats:
    # Within its box too: beyond a corner the nearest side is not the nearest point.
    return np.asarray(np.maximum((2 * abs(x) - y - r) / 5**0.5, _square(x, y, r)))


def _cross(x: Floats, y: Floats, r: Floats) -> Floats:
    across, down = np.maximum(abs(x) - r, abs(y) - r / 3), np.maximum(abs(x) - r / 3, abs(y) - r)
    return np.asarray(np.minimum(across, down))


OUTSIDE: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "circle": _circle, "square": _square, "triangle": _triangle, "cross": _cross,
}  # fmt: skip
"""How far a point (x, y) from the middle of a shape lies outside of it, negative inside; each fills 2r x 2r."""

COLOURS = {
    "red": (1.0, 0.1, 0.1), "green": (0.1, 0.9, 0.1), "blue": (0.1, 0.3, 1.0),
    "yellow": (1.0, 1.0, 0.1), "purple": (0.7, 0.1, 1.0), "white": (1.0, 1.0, 1.0),
}  # fmt: skip
RADII = {"small": (0.16, 0.19), "large": (0.27, 0.32)}  # between which r is uniform
PLACES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
MARGIN = 0.02  # that is free around a shape
LOOSENESS = 0.12  # of the way from one border to the other, by which shapes of one place differ
DIMMEST = 0.7  # share of its brightness that a colour has at least

ASPECTS = {"size": tuple(RADII), "colour": tuple(COLOURS), "shape": tuple(OUTSIDE), "place": PLACES}
"""What a caption says, and what it may say of it."""

BOXED = ("colour", "shape")  # what the captions say that come with a box, which says the rest
LABELS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in OUTSIDE)


@dataclass(frozen=True, eq=False)
class Shapes:
    """What M images show, each a shape on black.

    aspects: positions in each of ASPECTS, (M,).  centres: (M, 2), x and y.  radii: (M,), r.  brightness: (M,).
    """

    aspects: Mapping[str, Positions]
    centres: Floats
    radii: Floats
    brightness: Floats

    @classmethod
    def of(cls, seed: int, numbers: Positions) -> Shapes:
        """Those of these numbers, (M,), of a seed: number i depends on (seed, i) alone."""
        drawn = uniforms(seed, 0, int(numbers.max(initial=0)) + 1, 8, purpose=_PURPOSE)[numbers]
        aspects = {name: (drawn[:, i] * len(ASPECTS[name])).astype(np.int64) for i, name in enumerate(ASPECTS)}
        smallest, largest = np.array(list(RADII.values()))[aspects["size"]].T
        radii = smallest + drawn[:, 4] * (largest - smallest)
        # Left, middle and right are 0, 1 and 2, as top, middle and bottom are.
        steps = np.stack([aspects["place"] % 3, aspects["place"] // 3], axis=1) / 2
        border = (radii + MARGIN)[:, np.newaxis]
        centres = border + (steps * (1 - LOOSENESS) + LOOSENESS * drawn[:, 5:7]) * (1 - 2 * border)
        return cls(aspects, centres, radii, DIMMEST + (1 - DIMMEST) * drawn[:, 7])

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Left, top, right and bottom of each, (M, 4)."""
        reach = self.radii[:, np.newaxis]
        return np.hstack([self.centres - reach, self.centres + reach]).astype(np.float32)

    @property
    def labels(self) -> NDArray[np.uint16]:
        """Colour and shape of each, positions in LABELS, (M,)."""
        return (self.aspects["colour"] * len(OUTSIDE) + self.aspects["shape"]).astype(np.uint16)

    def drawn(self, side: int) -> NDArray[np.uint8]:
        """The images, (M, 3, S, S)."""
        parts = (slice(start, start + SLICE) for start in range(0, len(self.radii), SLICE))
        return np.concatenate([self._drawn(part, side) for part in parts])

    def _drawn(self, rows: slice, side: int) -> NDArray[np.uint8]:
        """How much of a pixel a shape covers is told by how far its middle lies from the border of the shape."""
        pixels = (np.arange(side) + 0.5) / side
        x, y = np.moveaxis(pixels - self.centres[rows, :, np.newaxis], 1, 0)
        kind, r = self.aspects["shape"][rows, np.newaxis, np.newaxis], self.radii[rows, np.newaxis, np.newaxis]
        across, down = x[:, np.newaxis, :], y[:, :, np.newaxis]
        outside = np.choose(kind, [distance(across, down, r) for distance in OUTSIDE.values()])
        covered = np.clip(0.5 - outside * side, 0, 1)
        colours = np.array(list(COLOURS.values()))[self.aspects["colour"][rows]] * self.brightness[rows, np.newaxis]
        return np.rint(255 * covered[:, np.newaxis] * colours[..., np.newaxis, np.newaxis]).astype(np.uint8)


def sentence(aspects: Mapping[str, str]) -> str:
    """What is said of size, colour, shape and place, or of some of them, as a caption."""
    place = aspects.get("place")
    where = f" {'in' if place == 'middle' else 'at'} the {place}" if place else ""
    return "a " + " ".join(aspects[name] for name in ("size", "colour", "shape") if name in aspects) + where


def vocabulary(aspects: Sequence[str]) -> tuple[str, ...]:
    """The words that say these aspects, W."""
    return tuple(dict.fromkeys(word for name in aspects for phrase in ASPECTS[name] for word in phrase.split()))


def said(rows: NDArray[np.float32], words: Sequence[str]) -> dict[str, Positions]:
    """What captions in rows (N, W) of words say of each aspect that these words can say: positions (N,)."""
    found = {}
    for name, phrases in ASPECTS.items():
        if set(vocabulary([name])) <= set(words):
            table = word_rows(phrases, words)
            # Of two phrases that are both there the longer one, as "top left" is besides "top".
            found[name] = (rows @ table.T - table.sum(axis=1) / 2).argmax(axis=1)
    return found


def open_shapes(config: DataConfig) -> Images:
    """ROWS shapes of data.seed with their captions; labels are colour and shape together.

    data.image_size is the side that they are drawn at.  data.boxes: captions say colour and shape, and beside them
    stands the box, which says size and place.
    """
    held_out = split_rows(ROWS, config.held_out, config.seed, "builtin:shapes")
    side, aspects = config.image_size or SIDE, BOXED if config.boxes else tuple(ASPECTS)
    train, kept = (Shapes.of(config.seed, np.flatnonzero(part)) for part in (~held_out, held_out))
    words = vocabulary(aspects)
    learned, held = (_rows(part, aspects, words, boxed=config.boxes) for part in (train, kept))
    example = sentence({name: ASPECTS[name][train.aspects[name][0]] for name in aspects})
    return Images(
        train.drawn(side),
        scaled(kept.drawn(side)),
        hashlib.sha256(f"shapes {ROWS} {side} {config.seed} {config.held_out!r}".encode()).hexdigest(),
        train.labels,
        kept.labels,
        LABELS,
        (f"Shapes with captions of {len(words)} words, such as: {example}.",),
        captions=Captions(Words(words, config.boxes, tuple(ASPECTS[name] for name in aspects)), learned, held),
    )


def _rows(shapes: Shapes, aspects: Sequence[str], words: Sequence[str], *, boxed: bool) -> NDArray[np.float32]:
    """The captions of shapes, (M, W), or with their boxes, (M, W + 4)."""
    told = np.sum([word_rows(ASPECTS[name], words)[shapes.aspects[name]] for name in aspects], axis=0)
    return np.hstack([told, shapes.boxes]) if boxed else np.asarray(told)
