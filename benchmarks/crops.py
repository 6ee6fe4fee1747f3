"""Crops of pairs by several methods at one stretch, at full resolution: what no index at reduced resolution tells.

    python benchmarks/crops.py OUT.png PAIR.npz... [--methods exp,mtf-glp-cbd,universal.open] [--side 90]

A row is a pair, a column a method; the middle of each image in red, green and blue. Only scenes that may be shown
belong in the docs (Landsat, EO-1, Sentinel-2).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Generator

from panloom.compute import Policy
from panloom.data.pairs import Recorded, read_pair
from panloom.run.fuse import whole
from panloom.run.protocol import problems
from panloom.run.resolve import resolve

#: Values below and above that share of the stretch image are black and white.
STRETCH = (0.01, 0.99)


def row(pair: Recorded, methods: Sequence[str], side: int) -> list[np.ndarray]:
    """Panels (side, side, 3) from 0 to 1; the stretch is that of the second method, or of the only one."""
    scene = problems(pair, ("full",))[0].scene
    top, left = (max(n - side, 0) // 2 for n in (scene.grid.height, scene.grid.width))
    names = [band.name for band in pair.sensor.bands]
    shown = [next((k for k, name in enumerate(names) if name == colour), 0) for colour in ("red", "green", "blue")]
    crops: list[torch.Tensor] = []
    for method in methods:
        fuser = resolve(method).prepare(scene, Generator().manual_seed(0))
        image = whole(scene, fuser, Policy.in_memory("cpu", torch.get_num_threads()))
        crops.append(image[shown, top : top + side, left : left + side].double())
    values = crops[min(1, len(crops) - 1)].flatten(1)
    low, high = (values.nanquantile(q, 1)[:, None, None] for q in STRETCH)
    return [((crop - low) / (high - low)).clamp(0, 1).nan_to_num().permute(1, 2, 0).numpy() for crop in crops]


def picture(out: Path, files: Sequence[Path], methods: Sequence[str], side: int) -> None:
    """All rows in one file."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    rows = [(file.stem, row(read_pair(file), methods, side)) for file in files]
    size = 3.0
    figure, axes = plt.subplots(
        len(rows), len(methods), figsize=(size * len(methods), size * len(rows)), squeeze=False, layout="constrained"
    )
    for line, (name, panels) in zip(axes, rows, strict=True):
        for axis, panel, method in zip(line, panels, methods, strict=True):
            axis.imshow(panel, interpolation="nearest")
            axis.set_axis_off()
            axis.set_title(method if name == rows[0][0] else "", fontsize=9)
    figure.savefig(out, dpi=100)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("pairs", type=Path, nargs="+")
    parser.add_argument("--methods", default="exp,mtf-glp-cbd,universal.open")
    parser.add_argument("--side", type=int, default=90, help="PAN pixels along a side of a panel")
    given = parser.parse_args()
    torch.set_num_threads(1)
    picture(given.out, given.pairs, given.methods.split(","), given.side)


if __name__ == "__main__":
    main()
