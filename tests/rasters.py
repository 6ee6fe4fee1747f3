"""Small GeoTIFFs for tests, and a smooth truth that any of them can be an image of.

pan = Place(100, 120, (1, 0, 500000, 0, -1, 5000000))
write(tmp_path / "pan.tif", pan.truth(1), place=pan)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.warp import transform as warp

Affine6 = tuple[float, float, float, float, float, float]

UTM = "EPSG:32632"
EAST, NORTH = 500_000.0, 5_000_000.0


@dataclass(frozen=True)
class Place:
    """A pixel grid on the ground.

    Attributes:
        height: rows.
        width: columns.
        transform: affine (a, b, c, d, e, f); None: not georeferenced.
        crs: reference system; None: not stated.
    """

    height: int
    width: int
    transform: Affine6 | None = (1.0, 0.0, EAST, 0.0, -1.0, NORTH)
    crs: str | None = UTM

    @property
    def affine(self) -> Affine:
        return Affine(*self.transform) if self.transform else Affine.identity()

    def at(self, rows: np.ndarray, cols: np.ndarray, crs: str = UTM) -> tuple[np.ndarray, np.ndarray]:
        """Ground coordinates of the centres of pixels (row, col)."""
        rows, cols = np.broadcast_arrays(np.asarray(rows, float), np.asarray(cols, float))
        xs, ys = self.affine * (cols + 0.5, rows + 0.5)
        if self.crs and self.crs != crs:
            flat = warp(self.crs, crs, np.ravel(xs).tolist(), np.ravel(ys).tolist())
            xs, ys = (np.reshape(v, rows.shape) for v in flat[:2])
        return xs, ys

    def index(self, xs: np.ndarray, ys: np.ndarray, crs: str = UTM) -> tuple[np.ndarray, np.ndarray]:
        """(row, col) of ground coordinates; whole numbers are pixel centres."""
        if self.crs and self.crs != crs:
            flat = warp(crs, self.crs, np.ravel(xs).tolist(), np.ravel(ys).tolist())
            xs, ys = (np.reshape(v, np.shape(xs)) for v in flat[:2])
        cols, rows = ~self.affine * (xs, ys)
        return rows - 0.5, cols - 0.5

    def truth(self, bands: int = 3, wave: float = 64.0) -> np.ndarray:
        """(bands, height, width) float32 in 0.1 to 0.9: what a perfect instrument sees at the pixel centres."""
        xs, ys = self.at(np.arange(self.height)[:, None], np.arange(self.width)[None])
        return smooth(xs, ys, bands, wave).astype(np.float32)

    def part(self, row: int, col: int, height: int, width: int) -> Place:
        """A window of the grid, also beyond it."""
        return replace(
            self, height=height, width=width, transform=tuple((self.affine * Affine.translation(col, row))[:6])
        )

    def coarser(self, ratio: float, rows: float = 0.0, cols: float = 0.0, size: tuple[int, int] | None = None) -> Place:
        """The MS grid that starts `rows`, `cols` pixels of this grid further down and right."""
        frame = self.affine * Affine.translation(cols, rows) * Affine.scale(ratio)
        height, width = size or (math.ceil(self.height / ratio), math.ceil(self.width / ratio))
        return replace(self, height=height, width=width, transform=tuple(frame[:6]))

    def flipped(self, rows: bool = True, cols: bool = False) -> Place:
        """The same pixels, stored from the other end."""
        frame = self.affine
        if rows:
            frame = frame * Affine.translation(0, self.height) * Affine.scale(1, -1)
        if cols:
            frame = frame * Affine.translation(self.width, 0) * Affine.scale(-1, 1)
        return replace(self, transform=tuple(frame[:6]))

    def turned(self, degrees: float) -> Place:
        """The grid turned about its middle."""
        middle = (self.width / 2, self.height / 2)
        turn = Affine.translation(*middle) * Affine.rotation(degrees) * Affine.translation(-middle[0], -middle[1])
        return replace(self, transform=tuple((self.affine * turn)[:6]))


def smooth(xs: np.ndarray, ys: np.ndarray, bands: int, wave: float) -> np.ndarray:
    """(bands, ...) slow waves in UTM coordinates, each band its own; `wave` is the shortest length in metres."""
    xs, ys, k = xs - EAST, ys - NORTH, 2 * np.pi / wave
    return np.stack(
        [
            0.5
            + 0.2 * np.cos(k * (0.8 * xs + 0.6 * ys) + b)
            + 0.1 * np.sin(k * (0.5 * xs - 0.7 * ys) + 2.0 * b)
            + 0.1 * np.cos(k * 0.3 * ys - b)
            for b in range(bands)
        ]
    )


@dataclass(frozen=True)
class Says:
    """What a file says beside its pixels and its place."""

    nodata: float | None = None
    descriptions: Sequence[str] = ()
    colors: Sequence[str] = ()
    scales: Sequence[float] = ()
    offsets: Sequence[float] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    mask: np.ndarray | None = None
    rpcs: bool = False
    options: Mapping[str, object] = field(default_factory=dict)


def write(path: Path, array: np.ndarray, place: Place, says: Says | None = None) -> str:
    """Write a GeoTIFF; (H, W) or (bands, H, W). Returns the path as text."""
    says = says or Says()
    array = array[None] if array.ndim == 2 else array
    profile = {"driver": "GTiff", "count": len(array), "dtype": array.dtype.name, "nodata": says.nodata}
    size = {"height": place.height, "width": place.width}
    if place.transform:
        profile |= {"transform": place.affine, "crs": place.crs}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile, **size, **says.options) as file,
    ):
        if says.colors:
            file.colorinterp = [ColorInterp[name] for name in says.colors]
        for b, text in enumerate(says.descriptions, 1):
            file.set_band_description(b, text)
        if says.scales:
            file.scales = tuple(says.scales)
        if says.offsets:
            file.offsets = tuple(says.offsets)
        file.update_tags(**says.tags)
        if says.rpcs:
            file.rpcs = rational(place)
        file.write(array)
        if says.mask is not None:
            file.write_mask(says.mask)
    return str(path)


def rational(place: Place) -> RPC:
    """An affine map as rational polynomial coefficients: enough for a file that carries some."""
    one = [1.0] + [0.0] * 19
    line, sample = [0.0, 0.0, 1.0] + [0.0] * 17, [0.0, 1.0] + [0.0] * 18
    return RPC(
        height_off=0.0,
        height_scale=100.0,
        lat_off=45.0,
        lat_scale=0.1,
        line_den_coeff=one,
        line_num_coeff=line,
        line_off=place.height / 2,
        line_scale=place.height / 2,
        long_off=9.0,
        long_scale=0.1,
        samp_den_coeff=one,
        samp_num_coeff=sample,
        samp_off=place.width / 2,
        samp_scale=place.width / 2,
    )
