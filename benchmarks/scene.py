"""The synthetic scene of the benchmarks: PAN and MS with a known truth, at 4096, 8192 or 16384 PAN pixels.

    python benchmarks/scene.py OUTDIR --size 8192

Written into OUTDIR: `pan.tif` (size x size), `ms.tif` (4 bands, size / 4) and `truth.tif` (4 bands, the
truth at PAN rows and columns 2048..4095). All are uint16 with 11 bits used, tiled 512, uncompressed,
EPSG:32632, with pixels of 0.5 m and 2 m.

What is seen: a truth of blue, green, red and near infrared, made of an albedo (45 % fractal noise, 25 %
square parcels, 30 % rectangles and roads) and of a vegetation map. MS is the truth behind a Gaussian of
gain 0.29 at the MS Nyquist frequency and a 4 x 4 mean; PAN is a fixed mix of the truth bands
(`PAN_WEIGHTS`), a blur of 0.5 px and noise of 3 DN. A method that knows these weights has an advantage; the
tables say which ones do.

One scene of 8192 is always drawn (seed 0). A smaller size is its upper left part; a larger one repeats it,
mirrored at each seam, so that both images continue smoothly and stay consistent with each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter1d

Floats = npt.NDArray[np.floating]
UInt16 = npt.NDArray[np.uint16]

BASE = 8192
RATIO = 4
FULL_SCALE = 2047
PAN_WEIGHTS = (0.10, 0.30, 0.33, 0.27)
BAND_MIX = ((0.55, 0.10), (0.70, 0.25), (0.75, -0.10), (0.60, 0.95))
BAND_NAMES = ("blue", "green", "red", "nir")
MS_GAIN = 0.29
CROP = slice(2048, 4096)
ORIGIN = (500_000.0, 5_000_000.0)
STRIP = 512


@dataclass(frozen=True)
class BaseScene:
    """The drawn scene: pan (8192, 8192), ms (4, 2048, 2048), truth (4, 2048, 2048) of `CROP`."""

    pan: UInt16
    ms: UInt16
    truth: UInt16


def _strips(height: int) -> Iterator[slice]:
    for row in range(0, height, STRIP):
        yield slice(row, min(row + STRIP, height))


def _bilinear(nodes: Floats, size: int) -> Iterator[tuple[slice, Floats]]:
    """Strips of `nodes` stretched to (size, size), first node on the first pixel and last on the last."""
    position = np.linspace(0, nodes.shape[0] - 1, size, dtype=np.float64)
    low = np.minimum(position.astype(np.int64), nodes.shape[0] - 2)
    part = (position - low).astype(np.float32)
    wide = nodes[:, low] * (1 - part) + nodes[:, low + 1] * part
    for rows in _strips(size):
        share = part[rows, None]
        yield rows, wide[low[rows]] * (1 - share) + wide[low[rows] + 1] * share


def _fractal(rng: np.random.Generator, size: int, octaves: range) -> Floats:
    """Octaves of normal noise on 2^k x 2^k nodes, amplitude 0.62 per octave, scaled to [0, 1]."""
    total = np.zeros((size, size), np.float32)
    for step, octave in enumerate(octaves):
        nodes = rng.standard_normal((2**octave, 2**octave), dtype=np.float32) * np.float32(0.62**step)
        for rows, strip in _bilinear(nodes, size):
            total[rows] += strip
    total -= total.min()
    total /= total.max()
    return total


def _objects(rng: np.random.Generator, size: int) -> Floats:
    """9000 rectangles of 6 to 59 px, then 40 roads of 8 px in each direction."""
    image = np.zeros((size, size), np.float32)
    corners = rng.integers(0, size, (9000, 2))
    sides = rng.integers(6, 60, (9000, 2))
    for (row, col), (height, width), value in zip(corners, sides, rng.random(9000), strict=True):
        image[row : row + height, col : col + width] = value
    for row in rng.integers(0, size - 8, 40):
        image[row : row + 8, :] = 0.90
    for col in rng.integers(0, size - 8, 40):
        image[:, col : col + 8] = 0.85
    return image


def _albedo(rng: np.random.Generator, size: int) -> Floats:
    albedo = _fractal(rng, size, range(4, 11))
    albedo *= 0.45
    parcels = rng.random((size // 64, size // 64), dtype=np.float32) * np.float32(0.25)
    albedo.reshape(size // 64, 64, size // 64, 64)[...] += parcels[:, None, :, None]
    objects = _objects(rng, size)
    objects *= 0.30
    albedo += objects
    return albedo


def _band(albedo: Floats, vegetation: Floats, mix: tuple[float, float]) -> Floats:
    """One band of the truth in DN, not rounded."""
    out = np.empty_like(albedo)
    for rows in _strips(len(albedo)):
        alb, veg = albedo[rows], vegetation[rows]
        value = (mix[0] * alb * (1 - 0.5 * veg) + mix[1] * veg * alb) * 1700 + 90
        out[rows] = np.clip(value, 1, FULL_SCALE)
    return out


def _blur(image: Floats, sigma: float) -> Floats:
    """Separable Gaussian, 4 sigma wide, mirrored borders."""
    once = gaussian_filter1d(image, sigma, axis=0, mode="reflect")
    return gaussian_filter1d(once, sigma, axis=1, mode="reflect", output=image)


def _integers(image: Floats) -> UInt16:
    return np.clip(np.rint(image), 1, FULL_SCALE).astype(np.uint16)


def draw(seed: int = 0) -> BaseScene:
    """The scene of 8192 PAN pixels; about 2 GB at its peak."""
    rng = np.random.default_rng(seed)
    albedo = _albedo(rng, BASE)
    vegetation = _fractal(rng, BASE, range(3, 8))
    sigma = RATIO * np.sqrt(-2 * np.log(MS_GAIN)) / np.pi
    cells = BASE // RATIO
    pan = np.zeros((BASE, BASE), np.float32)
    ms = np.empty((4, cells, cells), np.uint16)
    truth = np.empty((4, CROP.stop - CROP.start, CROP.stop - CROP.start), np.uint16)
    for index, (weight, mix) in enumerate(zip(PAN_WEIGHTS, BAND_MIX, strict=True)):
        band = _band(albedo, vegetation, mix)
        truth[index] = _integers(band[CROP, CROP])
        pan += np.float32(weight) * band
        blurred = _blur(band, sigma)
        ms[index] = _integers(blurred.reshape(cells, RATIO, cells, RATIO).mean(axis=(1, 3), dtype=np.float32))
    pan = _blur(pan, 0.5)
    for rows in _strips(BASE):
        pan[rows] += 3 * rng.standard_normal((rows.stop - rows.start, BASE), dtype=np.float32)
    return BaseScene(_integers(pan), ms, truth)


def _mirrored(start: int, stop: int, period: int) -> npt.NDArray[np.int64]:
    """Indices into an axis of `period` pixels that is repeated forwards and backwards in turn."""
    place = np.arange(start, stop) % (2 * period)
    return np.where(place < period, place, 2 * period - 1 - place)


def write(path: Path, image: UInt16, size: int, pixel: float, names: tuple[str, ...]) -> None:
    """Write (band, row, col) as a GeoTIFF of `size` x `size`, repeated or cut as the module says."""
    profile = {
        "driver": "GTiff", "dtype": "uint16", "count": len(image), "height": size, "width": size,
        "crs": "EPSG:32632", "transform": Affine(pixel, 0, ORIGIN[0], 0, -pixel, ORIGIN[1]),
        "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "IF_SAFER",
    }  # fmt: skip
    columns = _mirrored(0, size, image.shape[2])
    with rasterio.open(path, "w", **profile) as file:
        for rows in _strips(size):
            lines = _mirrored(rows.start, rows.stop, image.shape[1])
            window = Window(0, rows.start, size, rows.stop - rows.start)  # pyright: ignore[reportCallIssue]
            file.write(image[:, lines][:, :, columns], window=window)
        for index, name in enumerate(names, 1):
            file.set_band_description(index, name)


def write_truth(path: Path, truth: UInt16, size: int) -> None:
    """Write the truth crop, clipped to the scene, at its place on the ground."""
    kept = min(CROP.stop, size) - CROP.start
    if kept <= 0:
        return
    write(path, truth[:, :kept, :kept], kept, 0.5, BAND_NAMES)
    east, north = ORIGIN[0] + 0.5 * CROP.start, ORIGIN[1] - 0.5 * CROP.start
    with rasterio.open(path, "r+") as file:
        file.transform = Affine(0.5, 0, east, 0, -0.5, north)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=BASE, help="PAN rows and columns, a multiple of 4")
    options = parser.parse_args()
    if options.size % RATIO or options.size <= 0:
        parser.error(f"--size {options.size} is not a positive multiple of {RATIO}")
    options.folder.mkdir(parents=True, exist_ok=True)
    scene = draw()
    write(options.folder / "pan.tif", scene.pan[None], options.size, 0.5, ("pan",))
    write(options.folder / "ms.tif", scene.ms, options.size // RATIO, 2.0, BAND_NAMES)
    write_truth(options.folder / "truth.tif", scene.truth, options.size)


if __name__ == "__main__":
    main()
