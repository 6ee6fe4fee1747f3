"""Networks of virtual sensors against the classical shelf, on held-out virtual scenes of the same sensor.

    python benchmarks/virtual.py DATA [--sensor NAME ...] > virtual.md

DATA is the folder of free imagery (docs/data.md). The scenes are made from *validation* imagery (Landsat validation
pairs and held-out columns of Sentinel-2; no drawn land, no shapes) by the generator that training used, with the same
settings apart from the size of the scenes. The best classical method is that of each scene, chosen with the truth.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch

from panloom import classical, weights
from panloom.compute import Policy
from panloom.data.example import Example
from panloom.data.truths import open_truths
from panloom.data.virtual import VirtualSensors
from panloom.metrics import ERGAS
from panloom.run.fuse import whole
from panloom.run.resolve import resolve
from panloom.scene import Scene, array_scene
from panloom.train import imitated, instrument

#: Sensors whose networks are shipped, and their tags.
SENSORS = {"quickbird": "qb-open", "worldview-2": "wv2-open", "worldview-3": "wv3-open"}
NETWORKS = ("fusionnet", "pannet", "dicnn")

#: Scenes of each sensor, PAN pixels along their sides, and pixels on each side that are not scored.
SCENES, SIDE, CUT = 24, 256, 12

#: Of the first scene: far from the seeds of training, which are hashes.
SEED = 20_000


def scenes(data: Path, sensor: str) -> list[Example]:
    """Held-out scenes of a virtual sensor."""
    known = imitated(sensor)
    settings = replace(instrument(sensor), ratios=((known.ratio, 1.0, SIDE),), leaves=0.0, batch=1)
    truths = [truth for truth in open_truths(data, held_out=True) if min(truth.image.shape[-2:]) >= 128]
    source = VirtualSensors(truths, settings)
    return [source(torch.Generator().manual_seed(SEED + number)) for number in range(SCENES)]


def ergas(method: str, scene: Scene, example: Example) -> float:
    """Of a method on a scene."""
    fuser = resolve(method).prepare(scene, torch.Generator().manual_seed(0))
    image = whole(scene, fuser, Policy.in_memory("cpu", 1))[None].double()
    inner = slice(CUT, -CUT)
    images = (x[..., inner, inner] for x in (image, example.truth.double(), example.pair.valid))
    return ERGAS.value(ERGAS.tally(*images, ratio=scene.grid.ratio))


def rows(data: Path, sensor: str, tag: str) -> list[str]:
    """Table lines of a sensor."""
    found = {network: [] for network in NETWORKS if f"{network}.{tag}" in weights.names()}
    singles: dict[str, list[float]] = {name: [] for name in classical.names()}
    for example in scenes(data, sensor):
        pair = example.pair
        names = [band.name for band in imitated(sensor).bands]
        scene = array_scene(pair.pan, pair.ms, sensor=pair.sensor, phase=pair.phase, sharpen=names, full_scale=1.0)
        shelf = {name: ergas(name, scene, example) for name in singles}
        best = min(shelf.values())
        for name, value in shelf.items():
            singles[name].append(value / best)
        for network, values in found.items():
            values.append(ergas(f"{network}.{tag}", scene, example) / best)
    single = min(singles, key=lambda name: geometric(singles[name]))
    lines = [f"| {sensor} | `{single}` | {geometric(singles[single]):.3f} | {max(singles[single]):.3f} |"]
    lines += [f"| {sensor} | `{n}.{tag}` | {geometric(v):.3f} | {max(v):.3f} |" for n, v in found.items()]
    return lines


def geometric(values: list[float]) -> float:
    """Geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sensor", choices=list(SENSORS), action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| virtual sensor | method | ERGAS over the best classical | worst |")
    print("|---|---|---|---|")
    for sensor in given.sensor or SENSORS:
        print("\n".join(rows(given.data, sensor, SENSORS[sensor])), flush=True)


if __name__ == "__main__":
    main()
