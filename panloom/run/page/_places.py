"""Which parts of an image are shown at full size: found from what is in it, the same ones for every method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from panloom.types import Window

#: Pixels along one side of the blocks in which local variance is taken.
BLOCK = 8


@dataclass(frozen=True)
class Place:
    """A part of an image.

    Attributes:
        letter: by which the page calls it.
        why: what is special about it.
        window: where it lies.
        pixel: (row, col) of the valid pixel nearest to its middle, whose spectrum is drawn.
    """

    letter: str
    why: str
    window: Window
    pixel: tuple[int, int]


def places(
    pan: Shaped[np.ndarray, "H W"],
    valid: Bool[np.ndarray, "H W"],
    interest: Float[np.ndarray, "H W"],
    why: str,
    side: int,
    margin: int = 0,
) -> list[Place]:
    """Up to three squares that do not overlap: most detail, middling detail, and most interest.

    Squares with as many valid pixels as any other come into question. A small image has fewer than three.

    Args:
        pan: the sharp image.
        valid: the pixels that hold data.
        interest: what the third square is found by: it has the highest mean.
        why: what interest is, for the reader.
        side: pixels along one side of a square, at most; a small image has squares of a third of its smaller side.
        margin: pixels at the border that are not looked at, where the image is large enough.
    """
    windows = _candidates((pan.shape[0], pan.shape[1]), side, margin)
    shares = [float(_cut(valid, window).mean()) for window in windows]
    windows = [window for window, share in zip(windows, shares, strict=True) if share >= max(shares)]
    detail = [_variance(_cut(pan, window), _cut(valid, window)) for window in windows]
    middle = float(np.median(detail))
    wanted: list[tuple[str, Callable[[int], float]]] = [
        ("most detail in PAN", lambda k: detail[k]),
        ("middling detail in PAN", lambda k: -abs(detail[k] - middle)),
        (why, lambda k: _mean(_cut(interest, windows[k]), _cut(valid, windows[k]))),
    ]
    found: list[Place] = []
    for reason, score in wanted:
        free = [k for k, window in enumerate(windows) if all(_apart(window, other.window) for other in found)]
        if free:
            window = windows[max(free, key=score)]
            found.append(Place("ABC"[len(found)], reason, window, _pixel(valid, window)))
    return found


def _candidates(size: tuple[int, int], side: int, margin: int) -> list[Window]:
    smaller = min(size)
    side = min(side, smaller, max((smaller - 2 * margin) // 3, 2 * BLOCK))
    margin = margin if smaller >= side + 2 * margin else 0
    rows, cols = (_starts(length, side, margin) for length in size)
    return [Window(row, col, side, side) for row in rows for col in cols]


def _starts(length: int, side: int, margin: int) -> Sequence[int]:
    """First pixels, half a square apart, the last square as far as it can be."""
    last = length - margin - side
    return sorted({*range(margin, last + 1, max(side // 2, 1)), last})


def _variance(pan: Shaped[np.ndarray, "n n"], valid: Bool[np.ndarray, "n n"]) -> float:
    """The mean of the variances of blocks, so that a few edges of large fields do not count as detail."""
    count = max(len(pan) // BLOCK, 1)
    size = len(pan) // count
    values = np.where(valid, pan, np.nan)[: count * size, : count * size].astype(np.float64)
    blocks = values.reshape(count, size, count, size).swapaxes(1, 2).reshape(count * count, -1)
    whole = blocks[~np.isnan(blocks).any(1)]
    return float(whole.var(1).mean()) if len(whole) else 0.0


def _mean(values: Float[np.ndarray, "n n"], valid: Bool[np.ndarray, "n n"]) -> float:
    known = values[valid & np.isfinite(values)]
    return float(known.mean()) if known.size else -1.0


def _pixel(valid: Bool[np.ndarray, "H W"], window: Window) -> tuple[int, int]:
    middle = (window.height // 2, window.width // 2)
    inside = np.argwhere(_cut(valid, window))
    if len(inside):
        row, col = inside[np.square(inside - middle).sum(1).argmin()]
        middle = (int(row), int(col))
    return window.row + middle[0], window.col + middle[1]


def _cut(image: Shaped[np.ndarray, "H W"], window: Window) -> Shaped[np.ndarray, "n n"]:
    return image[window.row : window.row_end, window.col : window.col_end]


def _apart(a: Window, b: Window) -> bool:
    return a.row_end <= b.row or b.row_end <= a.row or a.col_end <= b.col or b.col_end <= a.col
