"""How much an image holds at each frequency: mean radial power of squares that hold nothing but data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from panloom.tiling import blocks
from panloom.types import Window

#: Pixels along a side of the squares: the first of which there are any.
SIDES = (64, 32, 16)

#: Squares that are looked at, at most, evenly chosen.
MOST = 64


def squares(valid: Bool[np.ndarray, "H W"]) -> list[Window]:
    """Squares of one size in which every pixel is valid; none where no size has any."""
    area = Window(0, 0, *valid.shape)
    for side in SIDES:
        whole = [w for w in blocks(area, side) if w.height == w.width == side and valid[w.inside(area)].all()]
        if whole:
            count = min(MOST, len(whole))
            return [whole[k * len(whole) // count] for k in range(count)]
    return []


def frequencies(side: int) -> list[float]:
    """Cycles per pixel of each ring, without the mean.

    >>> frequencies(4)
    [0.25, 0.5]
    """
    return [k / side for k in range(1, side // 2 + 1)]


def radial_power(image: Shaped[np.ndarray, "H W"], where: Sequence[Window]) -> Float[np.ndarray, " k"]:
    """Mean squared amplitude of each ring of frequencies, over squares under a Hann window, in dB.

    Args:
        image: one band.
        where: squares of one size, one or more.
    """
    side = where[0].height
    taper = np.outer(np.hanning(side), np.hanning(side))
    rows, cols = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    ring = np.round(side * np.hypot(rows, cols)).astype(int)
    total = np.zeros(ring.shape)
    for window in where:
        part = image[window.row : window.row_end, window.col : window.col_end].astype(np.float64)
        total += np.abs(np.fft.rfft2((part - part.mean()) * taper)) ** 2
    total /= len(where) * (taper**2).sum()
    inside = ring <= side // 2
    power = np.bincount(ring[inside], total[inside]) / np.bincount(ring[inside])
    return 10 * np.log10(np.maximum(power[1:], np.finfo(np.float64).tiny))
