"""The classical shelf in tables and one picture, for `docs/benchmarks.md`.

    panloom bench PAIRS --methods all --out SCORES          # docs/protocol.md says which pairs may be used for what
    python benchmarks/shelf.py tables SCORES/bench.json > shelf.md
    python benchmarks/shelf.py picture PAN MS docs/images/shelf.jpg

The picture shows the same crop by every method, at one stretch, at full resolution. Only scenes that may be shown
belong in the docs (Landsat, EO-1, Sentinel-2).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from panloom import sharpen
from panloom.run.resolve import methods
from panloom.scene import Reader, describe
from panloom.types import Window

REDUCED = ("ergas", "sam", "q2n", "scc", "psnr", "ssim-full-scale")
FULL = ("hqnr-physical", "hqnr-k-pan-physical", "hqnr", "qnr-physical", "d-rho")

#: PAN pixels along one side of a panel.
PANEL = 120


def tables(path: Path) -> str:
    """Means over sensors, ranked, and the first index per sensor, as Markdown."""
    found = json.loads(path.read_text())
    text = []
    for protocol in ("wald-toolbox", "wald-physical", "full"):
        rows = [mean for mean in found["means"] if mean["protocol"] == protocol]
        if rows:
            columns = FULL if protocol == "full" else REDUCED
            text += [f"### {protocol}", "", *_means(rows, columns), "", *_sensors(rows, columns[0]), ""]
    return "\n".join(text)


def _means(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    columns = tuple(name for name in columns if any(name in row["values"] for row in rows))
    head = ["| rank | method | " + " | ".join(columns) + " | pairs | seconds |", "|---" * (len(columns) + 4) + "|"]
    lines = []
    for row in rows:
        values = " | ".join(_number(row["values"].get(name)) for name in columns)
        pairs = f"{row['pairs']}" + (f" ({row['failed']} failed)" if row["failed"] else "")
        lines.append(f"| {row['rank'] or '-'} | `{row['method']}` | {values} | {pairs} | {row['seconds']:.2f} |")
    return head + lines


def _sensors(rows: list[dict[str, Any]], name: str) -> list[str]:
    groups = list(dict.fromkeys(group for row in rows for group in row["groups"]))
    head = [f"{name} per sensor:", "", "| method | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
    return head + [
        f"| `{row['method']}` | "
        + " | ".join(_number(row["groups"].get(group, {}).get(name)) for group in groups)
        + " |"
        for row in rows
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def picture(pan: str, ms: list[str], out: Path, corner: tuple[int, int], shown: tuple[int, ...]) -> None:
    """Panels of every method."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    images = {}
    window = Window(*corner, PANEL, PANEL)
    for name in methods():
        path = out.with_suffix(f".{name}.tif")
        sharpen(pan, ms, path, method=name, window=window, overwrite=True, sensor="landsat-8")
        header = describe(str(path))
        reader = Reader(header, [header.bands[k] for k in shown])
        images[name] = reader.read(Window(0, 0, PANEL, PANEL))[0].astype(float)
        reader.close()
        path.unlink()
    low, high = np.percentile(images["exp"], (1, 99), axis=(1, 2))
    columns = 6
    figure, axes = plt.subplots(-(-len(images) // columns), columns, figsize=(12, 8.6), layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, image) in zip(axes.flat, images.items(), strict=False):
        grey = np.clip((image - low[:, None, None]) / (high - low)[:, None, None], 0, 1) ** 0.8
        axis.imshow(grey.transpose(1, 2, 0), interpolation="nearest")
        axis.set_title(name, fontsize=9)
    figure.savefig(out, dpi=110)


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("tables")
    command.add_argument("scores", type=Path)
    command = commands.add_parser("picture")
    command.add_argument("pan")
    command.add_argument("ms", nargs="+")
    command.add_argument("out", type=Path)
    command.add_argument("--corner", type=int, nargs=2, default=(400, 600), help="row and column of PAN")
    command.add_argument("--shown", type=int, nargs=3, default=(0, 1, 2), help="places of red, green and blue")
    given = parser.parse_args()
    if given.command == "tables":
        sys.stdout.write(tables(given.scores))
    else:
        picture(given.pan, given.ms, given.out, tuple(given.corner), tuple(given.shown))


if __name__ == "__main__":
    main()
