"""A canvas of reflectances with soft-edged shapes, value noise and winding lines to draw a landscape with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Where = tuple[slice, slice]
WHOLE: Where = (slice(None), slice(None))


def noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> Floats:
    """Smooth noise of unit variance at its nodes, which lie `cell` pixels apart."""
    rows, cols = (_stretch(size, cell, rng) for size in shape)
    nodes = rng.standard_normal((rows[0][-1] + 2, cols[0][-1] + 2), dtype=np.float32)
    wide = nodes[:, cols[0]] * (1 - cols[1]) + nodes[:, cols[0] + 1] * cols[1]
    share = rows[1][:, None]
    return wide[rows[0]] * (1 - share) + wide[rows[0] + 1] * share


def _stretch(size: int, cell: float, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], Floats]:
    """Node before each pixel, and the eased way from it to the next one."""
    place = (np.arange(size) + cell * rng.random()) / cell
    low = place.astype(np.int64)
    way = (place - low).astype(np.float32)
    return low, way * way * (3 - 2 * way)


def fractal(shape: tuple[int, int], cell: float, rng: np.random.Generator, octaves: int = 4) -> Floats:
    """Noise at `cell`, a half, a quarter ... of it, with half the amplitude each; about unit variance."""
    total = noise(shape, cell, rng)
    for octave in range(1, octaves):
        if cell / 2**octave >= 1:
            total += noise(shape, cell / 2**octave, rng) * np.float32(0.5**octave)
    return total * np.float32(1.3)


@dataclass(frozen=True)
class Line:
    """A line across the scene that swings around a straight one; distances are in pixels.

    Attributes:
        row: a point that the straight line goes through.
        col: see `row`.
        angle: its direction, from +col towards +row.
        swing: how far the line leaves it.
        period: length of one swing.
        start: where in the swing the point is, in radians.
    """

    row: float
    col: float
    angle: float
    swing: float
    period: float
    start: float

    def distance(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """Signed distance across the line, and the way along it, of each pixel."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        along = (cols - self.col) * cos + (rows - self.row) * sin
        across = (rows - self.row) * cos - (cols - self.col) * sin
        wave = along * (2 * math.pi / self.period) + self.start
        slope = np.cos(wave) * (self.swing * 2 * math.pi / self.period)
        return (across - self.swing * np.sin(wave)) / np.sqrt(1 + slope * slope), along

    def at(self, along: float, across: float) -> tuple[float, float, float]:
        """Row, column and direction of the line at a way along it, moved sideways by `across`."""
        wave = along * 2 * math.pi / self.period + self.start
        heading = self.angle + math.atan(self.swing * 2 * math.pi / self.period * math.cos(wave))
        cos, sin, side = math.cos(self.angle), math.sin(self.angle), self.swing * math.sin(wave)
        row = self.row + along * sin + side * cos + across * math.cos(heading)
        col = self.col + along * cos - side * sin - across * math.sin(heading)
        return row, col, heading


class Canvas:
    """Reflectance (C, H, W), shadow (H, W) and what is built on (H, W), painted from the ground up.

    Pixel (i, j) is centred on scene position (top + i, left + j). `unit` scales everything that is drawn.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        corner: tuple[float, float],
        spectra: Mapping[str, Floats],
        unit: float,
    ) -> None:
        """An empty canvas."""
        self.rows = (np.arange(shape[0], dtype=np.float32) + np.float32(corner[0]))[:, None]
        self.cols = (np.arange(shape[1], dtype=np.float32) + np.float32(corner[1]))[None, :]
        self.spectra = spectra
        self.unit = unit
        self.shape = shape
        self.reflectance = np.zeros((len(next(iter(spectra.values()))), *shape), np.float32)
        self.shadow = np.zeros(shape, np.float32)
        self.built = np.zeros(shape, np.float32)

    def paint(self, where: Where, material: str, alpha: Floats, light: Floats | float = 1.0) -> None:
        """Cover a part with a material, as far as `alpha` says, and take the shadow off it."""
        for band, value in zip(self.reflectance, self.spectra[material], strict=True):
            part = band[where]
            part += alpha * (value * light - part)
        self.shadow[where] *= 1 - alpha

    def shade(self, where: Where, alpha: Floats) -> None:
        """Cast a shadow; shadows do not add up."""
        np.maximum(self.shadow[where], alpha, out=self.shadow[where])

    def build(self, where: Where, alpha: Floats) -> None:
        """Reserve a part, so that nothing else is put there."""
        np.maximum(self.built[where], alpha, out=self.built[where])

    def box(self, points: Sequence[tuple[float, float]]) -> Where:
        """The part of the canvas that holds these scene positions and a pixel around them."""
        rows, cols = zip(*points, strict=True)
        return self._span(self.rows, rows), self._span(self.cols, cols)

    def _span(self, axis: Floats, values: Sequence[float]) -> slice:
        first, size = float(axis.flat[0]), axis.size
        low, high = math.floor(min(values) - first) - 1, math.ceil(max(values) - first) + 2
        return slice(min(max(low, 0), size), min(max(high, 0), size))

    def polygon(self, points: Sequence[tuple[float, float]]) -> tuple[Where, Floats]:
        """How far each pixel lies inside a convex polygon (corners in either sense), and where that is."""
        where = self.box(points)
        rows, cols = self.rows[where[0]], self.cols[:, where[1]]
        turn = math.copysign(1.0, _area(points))
        inside = np.full((rows.size, cols.size), np.inf, np.float32)
        for (row, col), (row2, col2) in zip(points, [*points[1:], points[0]], strict=True):
            length = max(math.hypot(row2 - row, col2 - col), 1e-6)
            down, right = turn * (col - col2) / length, turn * (row2 - row) / length
            np.minimum(inside, (rows - row) * -down + (cols - col) * -right, out=inside)
        return where, np.clip(inside + 0.5, 0, 1)

    def disc(self, row: float, col: float, radius: float) -> tuple[Where, Floats, Floats, Floats]:
        """Cover of a disc, where it is, and the position of each pixel from the centre in radii."""
        where = self.box([(row - radius, col - radius), (row + radius, col + radius)])
        down, right = (self.rows[where[0]] - row) / radius, (self.cols[:, where[1]] - col) / radius
        return where, np.clip((1 - np.hypot(down, right)) * radius + 0.5, 0, 1), down, right


def _area(points: Sequence[tuple[float, float]]) -> float:
    """Twice the signed area; positive where the corners go from +col towards +row."""
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return sum(col * row2 - col2 * row for (row, col), (row2, col2) in pairs)
