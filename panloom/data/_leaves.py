"""Label maps of overlapping shapes: a land of objects with sharp edges, as a town has them.

The dead leaves model (Matheron 1968; Lee, Mumford and Huang, IJCV 41, 2001): shapes whose sizes follow a power law
cover each other, which gives images the statistics of natural ones, edges at all scales included.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int16]

#: Radii of shapes in pixels, and the exponent of the density of their number.
SMALLEST, LARGEST, POWER = 1.5, 60.0, 3.0


def label_map(side: int, seed: int) -> Labels:
    """(side, side) numbers from 0 on, one for each shape; every third is long and thin like a road, a few are round.

    The same seed gives the same map.
    """
    rng = np.random.default_rng((seed, 7))
    labels = np.zeros((side, side), np.int16)
    count = int(side * side / 60)
    radii = _power_law(rng.random(count))
    # Large ones first: what is painted later lies on top, and small things would not be seen below.
    for label, radius in enumerate(np.sort(radii)[::-1], start=1):
        _paint(labels, label, float(radius), rng)
    return labels


def _power_law(u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Radii with density r^-POWER between SMALLEST and LARGEST, from uniform numbers."""
    low, high = SMALLEST ** (1 - POWER), LARGEST ** (1 - POWER)
    return (low + u * (high - low)) ** (1 / (1 - POWER))


def _paint(labels: Labels, label: int, radius: float, rng: np.random.Generator) -> None:
    """One rectangle or ellipse at a drawn place, most of them along one of the town's directions."""
    side = len(labels)
    row, col = rng.random(2) * side
    grid = math.radians(20.0 + 5.0 * (int(row // 200) + int(col // 200)))
    angle = grid + math.pi / 2 * rng.integers(2) if rng.random() < 0.7 else rng.random() * math.pi
    stretch = rng.uniform(3, 12) if rng.random() < 1 / 3 else rng.uniform(1, 2.5)
    half = radius * math.sqrt(stretch), max(radius / math.sqrt(stretch), 0.8)
    reach = math.ceil(math.hypot(*half))
    top, left = max(int(row) - reach, 0), max(int(col) - reach, 0)
    part = labels[top : int(row) + reach + 1, left : int(col) + reach + 1]
    down = np.arange(top, top + part.shape[0])[:, None] - row
    right = np.arange(left, left + part.shape[1])[None, :] - col
    along = (right * math.cos(angle) + down * math.sin(angle)) / half[0]
    across = (down * math.cos(angle) - right * math.sin(angle)) / half[1]
    inside = along**2 + across**2 < 1 if rng.random() < 0.3 else (np.abs(along) < 1) & (np.abs(across) < 1)
    part[inside] = label
