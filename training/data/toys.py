"""Built-in points and images: the mixtures and the roll of the GAN literature, and small digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import Images, Labelled, Modes, Points, Units, split_samples
from training.data.builtin import SHAPES, STACKED, parse_builtin
from training.data.optional import load_optional
from training.data.shapes import open_shapes
from training.data.sizes import resized
from training.data.stacks import stacked

if TYPE_CHECKING:
    from training.configuration import DataConfig

ROWS = 100_000
_PURPOSE = 0x504F_494E_5453_0001
LINE = Units(60.0, 70.0)  # of the one-dimensional mixture: its (-10, 130) becomes (-1, 1)


def ring() -> Modes:
    """Eight Gaussians on the unit circle, standard deviation 0.01 (Lin et al. 2018; in Metz et al. 2017 2 and 0.02)."""
    angles = 2.0 * np.pi * np.arange(8) / 8
    return Modes(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), 0.01)


def grid() -> Modes:
    """Twenty-five Gaussians on {-4, -2, 0, 2, 4}^2, standard deviation 0.05 (Srivastava et al. 2017)."""
    ticks = np.arange(-4, 5, 2, dtype=np.float32)
    return Modes(np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2), 0.05)


def mixture1d() -> Modes:
    """Five Gaussians at 10, 20, 60, 80, 110, deviations 3, 3, 2, 2, 1 (Ghosh et al. 2018), in the units of LINE."""
    means = np.array([[10], [20], [60], [80], [110]], dtype=np.float64)
    return Modes(((means - LINE.offset) / LINE.scale).astype(np.float32), np.array([3, 3, 2, 2, 1]) / LINE.scale)


def swissroll(random: np.random.Generator) -> NDArray[np.float32]:
    """The spiral (t cos t, t sin t) / 7.5 with t in [1.5 pi, 4.5 pi] and noise 0.25 / 7.5 (Gulrajani et al. 2017)."""
    t = 1.5 * np.pi * (1.0 + 2.0 * random.random(ROWS))
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    return ((spiral + 0.25 * random.standard_normal((ROWS, 2))) / 7.5).astype(np.float32)


def open_builtin_array(source: str, config: DataConfig) -> Points | Images:
    """The built-in points or images of a source.

    Points are ROWS rows of a counter-based stream of data.seed.  Labels are the number of the Gaussian or the digit.
    """
    name, _ = parse_builtin(source)
    if name == SHAPES:
        return open_shapes(config)
    if name in ("digits", STACKED):
        digits = Images(**split_samples(resized(_digits(source), config.image_size), config))
        return stacked(digits, config) if name == STACKED else digits
    random = np.random.Generator(np.random.Philox(key=np.array([config.seed, _PURPOSE], dtype=np.uint64)))
    if name == "swissroll":
        return Points(**split_samples(Labelled(source, swissroll(random)), config))
    modes = _MIXTURES[name]()
    points, chosen = modes.draw(ROWS, random)
    drawn = Labelled(source, points, chosen.astype(np.uint16), tuple(map(str, range(len(modes)))))
    return Points(**split_samples(drawn, config), modes=modes, units=LINE if name == "mixture1d" else Units())


def _digits(source: str) -> Labelled:
    digits = load_optional("sklearn.datasets", source).load_digits()
    # Sixteen grey levels and none: 0 to 16.
    images = (digits.images / 8.0 - 1.0).astype(np.float32)[:, np.newaxis]
    return Labelled(source, images, digits.target.astype(np.uint16), tuple(map(str, range(10))))


_MIXTURES: dict[str, Callable[[], Modes]] = {"ring": ring, "grid": grid, "mixture1d": mixture1d}
