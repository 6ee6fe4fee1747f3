"""Farmland seen from above: fields, woods, a river, roads, houses with shadows, trees and cars."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from panloom.data._canvas import WHOLE, Canvas, Floats, Line, Where, fractal, noise

#: Where shadows fall, (row, col) per unit of height: the sun stands in the south-east.
SHADOW = (-0.75, -0.60)
_SUN = (0.62, 0.50)

#: What grows in a field: ground, cover, mean and spread of the cover, contrast of its rows.
_CROPS = (
    ("soil", "crop", 0.04, 0.03, 0.10),
    ("mould", "crop", 0.10, 0.05, 0.16),
    ("soil", "crop", 0.45, 0.12, 0.22),
    ("mould", "crop", 0.80, 0.10, 0.10),
    ("soil", "crop", 0.93, 0.05, 0.05),
    ("straw", "grass", 0.15, 0.08, 0.12),
    ("straw", "grass", 0.75, 0.15, 0.02),
    ("soil", "grass", 0.95, 0.06, 0.02),
)
_ROOFS = ("tile", "tile", "tile", "tile-old", "tile-old", "slate", "slate", "metal")
_CARS = ("paint-white", "metal", "slate", "paint-red", "paint-blue", "asphalt")


@dataclass(frozen=True)
class _Cells:
    """Voronoi cells of a jittered lattice.

    Attributes:
        own: number of the cell of each pixel.
        border: pixels to the border of that cell.
        pair: a number that the two cells at the nearest border share.
        count: numbers go up to this.
    """

    own: npt.NDArray[np.int64]
    border: Floats
    pair: npt.NDArray[np.int64]
    count: int


def draw(canvas: Canvas, seed: int) -> None:
    """Paint the whole canvas; the same seed and canvas give the same picture."""
    rng = [np.random.default_rng((seed, part)) for part in range(8)]
    river, road, lane = _lines(canvas, rng[0])
    ways = [line.distance(canvas.rows, canvas.cols) for line in (river, road, lane)]
    near = np.minimum(np.abs(ways[1][0]), np.abs(ways[2][0]))
    cells = _fields(canvas, rng[1])
    _margins(canvas, cells, rng[2])
    wooded = _woods(canvas, np.minimum(near, np.abs(ways[0][0])), rng[3])
    _river(canvas, ways[0][0], rng[4])
    _road(canvas, ways[2], 4.0, False)
    _road(canvas, ways[1], 7.0, True)
    free = (np.abs(ways[0][0]) > 40 * canvas.unit) & (wooded < 0.3) & (near > 14 * canvas.unit)
    _village(canvas, road, free & (np.abs(ways[2][0]) > 62 * canvas.unit), rng[5])
    _village(canvas, lane, free & (np.abs(ways[1][0]) > 62 * canvas.unit), rng[5])
    _halls(canvas, road, free & (np.abs(ways[2][0]) > 120 * canvas.unit), rng[6])
    _hedge_trees(canvas, cells, free & (canvas.built < 0.5), rng[7])
    _traffic(canvas, road, rng[7])
    _grain(canvas, rng[7])


def _lines(canvas: Canvas, rng: np.random.Generator) -> tuple[Line, Line, Line]:
    """River, main road and a lane across it, all somewhere through the middle half of the scene."""
    first = float(canvas.rows[0, 0]), float(canvas.cols[0, 0])
    spots = [
        [start + size * (0.25 + 0.5 * rng.random()) for start, size in zip(first, canvas.shape, strict=True)]
        for _ in range(3)
    ]
    unit, angle = canvas.unit, rng.random() * math.pi
    turns = (0.9 + 0.5 * rng.random(), 0.0, 0.5 * math.pi + 0.3 * (rng.random() - 0.5))
    shapes = ((60 * unit, 520 * unit), (18 * unit, 900 * unit), (10 * unit, 500 * unit))
    lines = [
        Line(spot[0], spot[1], angle + turn, swing, period, 6.28 * rng.random())
        for spot, turn, (swing, period) in zip(spots, turns, shapes, strict=True)
    ]
    return lines[0], lines[1], lines[2]


def _cells(canvas: Canvas, size: tuple[float, float], angle: float, rng: np.random.Generator) -> _Cells:
    """Cells of about `size` pixels, long sides along `angle`, with slightly bent borders."""
    shape, unit = canvas.shape, canvas.unit
    bend = [5 * unit * noise(shape, 130 * unit, rng) for _ in range(2)]
    rows, cols = canvas.rows + bend[0], canvas.cols + bend[1]
    cos, sin = math.cos(angle), math.sin(angle)
    across, along = (rows * cos - cols * sin) / size[0], (cols * cos + rows * sin) / size[1]
    across, along = across - across.min() + 2, along - along.min() + 2
    lattice = int(across.max()) + 3, int(along.max()) + 3
    jitter = 0.5 + 0.76 * (rng.random((2, *lattice), dtype=np.float32) - 0.5)
    home = np.floor(across).astype(np.int64), np.floor(along).astype(np.int64)
    best, second = np.full(shape, np.inf, np.float32), np.full(shape, np.inf, np.float32)
    own, other = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for step in np.ndindex(3, 3):
        i, j = home[0] + (step[0] - 1), home[1] + (step[1] - 1)
        index = i * lattice[1] + j
        down = (i + jitter[0].ravel()[index] - across) * size[0]
        right = (j + jitter[1].ravel()[index] - along) * size[1]
        far = np.hypot(down, right)
        closer = far < best
        runner = np.where(closer, best, far)
        other = np.where(closer, own, np.where(runner < second, index, other))
        second = np.minimum(second, runner)
        best, own = np.where(closer, far, best), np.where(closer, index, own)
    pair = (own + other) * 7919 + np.abs(own - other)
    return _Cells(own, (second - best) / 2, pair, lattice[0] * lattice[1])


def _fields(canvas: Canvas, rng: np.random.Generator) -> _Cells:
    """Ground and crops of every field, with rows, tramlines and patches of poor growth."""
    unit = canvas.unit
    angle = rng.random() * math.pi
    cells = _cells(canvas, (110 * unit, 190 * unit), angle, rng)
    kind = rng.choice(len(_CROPS), cells.count, p=(0.14, 0.12, 0.14, 0.13, 0.16, 0.1, 0.1, 0.11))
    table = np.array([crop[2:] for crop in _CROPS], np.float32)[kind]
    turn = angle + rng.choice((0, 0.5 * math.pi), cells.count) + rng.normal(0, 0.05, cells.count)
    across = np.cos(turn).astype(np.float32), -np.sin(turn).astype(np.float32)
    period = rng.uniform(4.5, 8.5, cells.count).astype(np.float32) * max(unit, 0.6)
    own = cells.own
    way = canvas.rows * across[0][own] + canvas.cols * across[1][own]
    rows = np.sin(way * (2 * np.pi / period)[own])
    wheel = np.abs(np.mod(way, (7 * period)[own]) - 3.0)
    patches = fractal(canvas.shape, 70 * unit, rng)
    contrast = table[own, 2]
    tone = rng.normal(0, 0.05, cells.count).astype(np.float32)[own]
    cover = table[own, 0] + tone + table[own, 1] * patches - contrast * (0.5 * rows + 1.2 * (wheel < 1.1))
    light = 1 + 0.04 * fractal(canvas.shape, 9 * unit, rng, 3) + 0.06 * patches + 2 * tone
    light += 0.35 * contrast * rows
    cover = np.clip(cover, 0, 1)
    for band, values in enumerate(zip(*canvas.spectra.values(), strict=True)):
        spectrum = dict(zip(canvas.spectra, values, strict=True))
        ground = np.array([spectrum[_CROPS[k][0]] for k in kind], np.float32)[own]
        plants = np.array([spectrum[_CROPS[k][1]] for k in kind], np.float32)[own]
        canvas.reflectance[band] = (ground + cover * (plants - ground)) * light
    return cells


def _margins(canvas: Canvas, cells: _Cells, rng: np.random.Generator) -> None:
    """A strip of grass between fields, and a farm track along some of them."""
    unit, edge = canvas.unit, cells.border
    light = 1 + 0.12 * noise(canvas.shape, max(3 * unit, 1), rng)
    canvas.paint(WHOLE, "grass", np.clip(2.2 * unit - edge + 0.5, 0, 1), light)
    track = (cells.pair % 10 < 2).astype(np.float32)
    canvas.paint(WHOLE, "sand", track * np.clip(2.6 * unit - edge + 0.5, 0, 1), 0.62 * light)
    canvas.paint(WHOLE, "grass", track * np.clip(0.6 * unit - edge + 0.5, 0, 0.8), light)


def _woods(canvas: Canvas, near: Floats, rng: np.random.Generator) -> Floats:
    """Woods of single crowns, away from lines; returns their cover."""
    unit, shape = canvas.unit, canvas.shape
    place = fractal(shape, 230 * unit, rng, 3)
    place -= 2 * np.clip(1 - near / (75 * unit), 0, 1)
    cover = np.clip((place - 1.05) * 60 * unit, 0, 1)
    if not cover.any():
        return cover
    crowns = _cells(canvas, (9 * max(unit, 0.7), 9 * max(unit, 0.7)), 0.3, rng)
    tone = (1 + 0.22 * rng.standard_normal(crowns.count).astype(np.float32))[crowns.own]
    height = np.minimum(crowns.border / (4 * max(unit, 0.7)), 1)
    slope = np.zeros(shape, np.float32)
    slope[1:, 1:] = (height[:-1, :-1] - height[1:, 1:]) * 1.1
    light = np.clip(tone * (0.55 + 0.6 * height + slope), 0.15, 2.2)
    reach = round(12 * unit)
    shifted = np.zeros_like(cover)
    rows, cols = round(-SHADOW[0] * reach), round(-SHADOW[1] * reach)
    shifted[: shape[0] - rows, : shape[1] - cols] = cover[rows:, cols:]
    canvas.shade(WHOLE, shifted)
    canvas.paint(WHOLE, "canopy", cover, light)
    return cover


def _river(canvas: Canvas, across: Floats, rng: np.random.Generator) -> None:
    """Banks, shallows and deep water."""
    unit = canvas.unit
    ragged = 3 * unit * fractal(canvas.shape, 24 * unit, rng, 3)
    far = np.abs(across) - 17 * unit + ragged
    light = 1 + 0.15 * noise(canvas.shape, max(3 * unit, 1), rng)
    canvas.paint(WHOLE, "canopy", np.clip((9 * unit - far + 2 * ragged) / (3 * unit), 0, 1), light)
    canvas.paint(WHOLE, "sand", np.clip(1.5 * unit - far + 0.5, 0, 0.8), 0.8 * light)
    ripple = 1 + 0.04 * noise(canvas.shape, 2, rng)
    canvas.paint(WHOLE, "shallows", np.clip(0.5 - far, 0, 1), ripple)
    canvas.paint(WHOLE, "water", np.clip(-(far + 3 * unit) / (8 * unit), 0, 1), ripple)


def _road(canvas: Canvas, way: tuple[Floats, Floats], half: float, marked: bool) -> None:
    """A verge, asphalt, and on the main road white lines."""
    unit = canvas.unit
    far, along = np.abs(way[0]), way[1]
    half = max(half * unit, 1.2)
    canvas.paint(WHOLE, "grass", np.clip(half + 4 * unit - far + 0.5, 0, 1), 0.9)
    canvas.paint(WHOLE, "gravel", np.clip(half + 1.2 * unit - far + 0.5, 0, 1), 0.8)
    canvas.paint(WHOLE, "asphalt", np.clip(half - far + 0.5, 0, 1), 1 + 0.05 * np.cos(far / half * 6))
    if marked:
        dashes = (np.mod(along, 18 * unit) < 8 * unit) & (far < 1.5)
        edges = np.abs(far - 0.86 * half) < 0.5
        line = np.where(dashes, np.clip(0.9 - far, 0, 0.7), 0) + 0.35 * edges
        canvas.paint(WHOLE, "paint-white", line.astype(np.float32))


def _corners(row: float, col: float, heading: float, length: float, width: float) -> list[tuple[float, float]]:
    """Corners of a rectangle around a centre, its length along `heading`."""
    cos, sin = math.cos(heading), math.sin(heading)
    return [
        (row + a * length / 2 * sin + b * width / 2 * cos, col + a * length / 2 * cos - b * width / 2 * sin)
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]


def _cast(canvas: Canvas, corners: list[tuple[float, float]], height: float) -> None:
    """The shadow of a block on the ground: the hull of its outline and of that at shadow's length."""
    moved = [(row + height * SHADOW[0], col + height * SHADOW[1]) for row, col in corners]
    for one, two in zip(range(4), (1, 2, 3, 0), strict=True):
        quad = [corners[one], corners[two], moved[two], moved[one]]
        canvas.shade(*canvas.polygon(quad))
    canvas.shade(*canvas.polygon(moved))


def _house(canvas: Canvas, box: tuple[float, float, float, float, float], roof: str, height: float) -> None:
    """A gable roof: the slope that faces the sun is bright; box = row, col, heading, length, width."""
    row, col, heading, length, width = box
    corners = _corners(*box)
    _cast(canvas, corners, height)
    for side in (-1, 1):
        shift = side * width / 4
        half = _corners(row + shift * math.cos(heading), col - shift * math.sin(heading), heading, length, width / 2)
        facing = side * (math.cos(heading) * _SUN[0] - math.sin(heading) * _SUN[1])
        canvas.paint(*_painted(canvas, half, roof), 1 + 0.45 * facing)


def _painted(canvas: Canvas, corners: list[tuple[float, float]], material: str) -> tuple[Where, str, Floats]:
    """The first arguments of `Canvas.paint` for a polygon."""
    where, alpha = canvas.polygon(corners)
    return where, material, alpha


def _tree(canvas: Canvas, row: float, col: float, radius: float, tone: float) -> None:
    """A round crown, lit from the sun's side, and its shadow."""
    reach = 1.6 * radius
    where, alpha, _, _ = canvas.disc(row + reach * SHADOW[0], col + reach * SHADOW[1], radius)
    canvas.shade(where, alpha)
    where, alpha, down, right = canvas.disc(row, col, radius)
    light = tone * (0.95 + 0.55 * (down * _SUN[0] + right * _SUN[1])) - 0.1 * np.cos(7 * down + 9 * right)
    canvas.paint(where, "canopy", alpha, np.maximum(light, 0.2))


def _inside(canvas: Canvas, mask: npt.NDArray[np.bool_], row: float, col: float) -> bool:
    """Whether a scene position lies on the canvas where the mask is true."""
    i, j = round(row - float(canvas.rows[0, 0])), round(col - float(canvas.cols[0, 0]))
    return 0 <= i < canvas.shape[0] and 0 <= j < canvas.shape[1] and bool(mask[i, j])


def _stations(canvas: Canvas, step: float, rng: np.random.Generator) -> Iterator[float]:
    """Ways along a line that crosses the scene, `step` apart and a little uneven."""
    reach = math.hypot(*canvas.shape)
    for station in np.arange(-reach, reach, step):
        yield float(station) + step * 0.2 * rng.random()


def _village(canvas: Canvas, line: Line, free: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Houses with lawns, drives and trees on both sides of a part of a line."""
    unit = canvas.unit
    for along in _stations(canvas, 30 * unit, rng):
        for side in (-1, 1):
            deep, size, chance = rng.uniform(26, 36), rng.uniform(0.85, 1.25), rng.random()
            row, col, heading = line.at(along, side * deep * unit)
            if abs(along) > 330 * unit or chance > 0.82 or not _inside(canvas, free, row, col):
                continue
            lot = line.at(along, side * 33 * unit)
            garden = _corners(*lot[:2], heading, 27 * unit, 46 * unit)
            canvas.build(*canvas.polygon(garden))
            canvas.paint(*_painted(canvas, garden, "grass"), rng.uniform(0.8, 1.05))
            drive = line.at(along + 9 * unit, side * (deep / 2 + 3) * unit)
            canvas.paint(*_painted(canvas, _corners(*drive[:2], heading, 5 * unit, deep * unit), "gravel"))
            turn = heading + (0.5 * math.pi if rng.random() < 0.4 else 0.0)
            box = (row, col, turn, 19 * size * unit, 13 * size * unit)
            _house(canvas, box, _ROOFS[rng.integers(len(_ROOFS))], rng.uniform(7, 11) * unit)
            for _ in range(rng.integers(0, 4)):
                spot = line.at(along + rng.uniform(-14, 14) * unit, side * (deep + rng.uniform(12, 22)) * unit)
                _tree(canvas, *spot[:2], rng.uniform(2.5, 5) * unit, rng.uniform(0.8, 1.3))


def _halls(canvas: Canvas, line: Line, free: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Large flat roofs on paved yards with parked cars, beyond the village."""
    unit = canvas.unit
    for along in _stations(canvas, 130 * unit, rng):
        side, chance = rng.choice((-1, 1)), rng.random()
        row, col, heading = line.at(along, side * 62 * unit)
        if abs(along) < 420 * unit or chance > 0.5 or not _inside(canvas, free, row, col):
            continue
        yard = _corners(row, col, heading, 100 * unit, 88 * unit)
        canvas.build(*canvas.polygon(yard))
        canvas.paint(*_painted(canvas, yard, "concrete"), 0.8)
        hall = _corners(*line.at(along, side * 76 * unit)[:2], heading, 82 * unit, 42 * unit)
        _cast(canvas, hall, 14 * unit)
        roof = ("metal", "gravel", "paint-blue", "concrete")[rng.integers(4)]
        canvas.paint(*_painted(canvas, hall, roof), rng.uniform(0.8, 1.05))
        for place in np.arange(-40, 40, 6.5):
            if rng.random() < 0.6:
                spot = line.at(along + float(place) * unit, side * 36 * unit)
                _car(canvas, (*spot[:2], heading + 0.5 * math.pi), rng)


def _car(canvas: Canvas, spot: tuple[float, float, float], rng: np.random.Generator) -> None:
    unit = max(canvas.unit, 0.5)
    corners = _corners(*spot, 8.5 * unit, 3.6 * unit)
    _cast(canvas, corners, 2.5 * unit)
    canvas.paint(*_painted(canvas, corners, _CARS[rng.integers(len(_CARS))]))


def _traffic(canvas: Canvas, line: Line, rng: np.random.Generator) -> None:
    """Cars on the main road, on the right."""
    everywhere = np.ones(canvas.shape, bool)
    for along in _stations(canvas, 60 * canvas.unit, rng):
        side = rng.choice((-1, 1))
        spot = line.at(along, 3.3 * float(side) * canvas.unit)
        if rng.random() < 0.4 and _inside(canvas, everywhere, *spot[:2]):
            _car(canvas, spot, rng)


def _hedge_trees(canvas: Canvas, cells: _Cells, free: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Trees along some of the field margins, and a few that stand alone."""
    hedge = (cells.border < 1.5) & (cells.pair % 10 >= 5) & free
    chosen = rng.random(canvas.shape, dtype=np.float32)
    spots = np.argwhere(np.where(hedge, chosen < 0.05 / canvas.unit, chosen < 4e-5 / canvas.unit**2) & free)
    top, left = float(canvas.rows[0, 0]), float(canvas.cols[0, 0])
    for row, col in spots:
        radius = float(rng.gamma(6, 0.6)) * canvas.unit
        _tree(canvas, float(row) + top, float(col) + left, max(radius, 1.0), float(rng.uniform(0.75, 1.3)))


def _grain(canvas: Canvas, rng: np.random.Generator) -> None:
    """The fine unevenness of every surface."""
    light = 1 + 0.025 * noise(canvas.shape, 1.6, rng) + 0.03 * fractal(canvas.shape, 12, rng, 3)
    canvas.reflectance *= light
