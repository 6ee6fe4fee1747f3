"""The rim of no-data: error of the 8-pixel ring beside a diagonal no-data edge against the interior, and lost pixels.

Takes the 1024 x 1024 upper left part of the truth crop of `benchmarks/scene.py`, with no-data 0 in PAN below a
diagonal and in MS where more than half of a pixel lies there, and sharpens it with every classical method.

    python benchmarks/edges.py SCENES/8192 OUTDIR
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window, transform
from scipy.ndimage import distance_transform_edt

import panloom
from panloom.run.resolve import methods

SIZE, RATIO, FIRST = 1024, 4, 2048


def _crop(source: Path, target: Path, window: Window, hidden: np.ndarray) -> None:
    with rasterio.open(source) as ds:
        data = np.where(hidden, 0, ds.read(window=window))
        profile = ds.profile | {
            "height": window.height,
            "width": window.width,
            "transform": transform(window, ds.transform),
            "nodata": 0,
        }
    with rasterio.open(target, "w", **profile) as out:
        out.write(data)


def main(scene: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    row, col = np.mgrid[:SIZE, :SIZE]
    hidden = col + 0.37 * row > 0.8 * SIZE
    share = hidden.reshape(SIZE // RATIO, RATIO, SIZE // RATIO, RATIO).mean((1, 3))
    small = SIZE // RATIO
    _crop(scene / "pan.tif", out / "pan.tif", Window(FIRST, FIRST, SIZE, SIZE), hidden)
    _crop(scene / "ms.tif", out / "ms.tif", Window(FIRST // RATIO, FIRST // RATIO, small, small), share > 0.5)
    with rasterio.open(scene / "truth.tif") as ds:
        truth = ds.read(window=Window(0, 0, SIZE, SIZE)).astype(np.float64)
    inward = distance_transform_edt(~hidden)
    frame = np.zeros_like(hidden)
    frame[32:-32, 32:-32] = True
    ring, interior = frame & (inward > 0) & (inward <= 8), frame & (inward > 40)
    print("| method | ring error % | interior error % | ratio | valid pixels lost |\n|---|---|---|---|---|")
    for method in methods():
        target = out / f"{method}.tif"
        panloom.sharpen(out / "pan.tif", out / "ms.tif", target, method=method, overwrite=True)
        with rasterio.open(target) as ds:
            image, valid = ds.read().astype(np.float64), ds.read_masks().all(0)
        error = 100 * np.abs(image - truth) / truth
        at_ring, inside = error[:, ring & valid].mean(), error[:, interior & valid].mean()
        lost = int((~valid & ~hidden).sum())
        print(f"| {method} | {at_ring:.3f} | {inside:.3f} | {at_ring / inside:.2f} | {lost} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
