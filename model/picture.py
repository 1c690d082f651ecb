"""Pictures as PNG, by the standard library: sheets of images.  N images, C channels, H height, W width."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIDE = 8  # images in a row of a sheet
LARGE = 4  # by which a sheet is larger than its images
SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = {1: 0, 3: 2}  # PNG's name of grey and of red, green, blue, by channels


def sheet(images: NDArray[np.float32]) -> bytes:
    """Images (N, C, H, W) in [-1, 1], in rows of SIDE, as PNG; grey for one channel, else the first three.

    N is at least 1.  Places that are left in the last row are black.
    """
    pixels = np.rint((images.clip(-1, 1) * 0.5 + 0.5) * 255).astype(np.uint8)
    pixels = pixels[:, :3] if pixels.shape[1] >= 3 else pixels[:, :1]
    count, channels, height, width = pixels.shape
    across = min(count, SIDE)
    down = -(-count // across)
    places = np.zeros((down * across, channels, height, width), dtype=np.uint8)
    places[:count] = pixels
    grid = places.reshape(down, across, channels, height, width).transpose(0, 3, 1, 4, 2)
    return png(grid.reshape(down * height, across * width, channels).repeat(LARGE, axis=0).repeat(LARGE, axis=1))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W, C) as PNG, C one of 1 (grey) and 3 (red, green, blue).  PNG specification, third edition."""
    height, width, channels = pixels.shape
    # Each row begins with the number of its filter, 0 for none.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, COLOURS[channels], 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
