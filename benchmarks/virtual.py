"""Networks of virtual sensors against the classical shelf, on held-out virtual scenes of the same sensor.

    python benchmarks/virtual.py score DATA OUT [--sensor NAME ...]
    python benchmarks/virtual.py table OUT > virtual.md

DATA is the folder of free imagery (docs/data.md). The scenes are made from *validation* imagery (Landsat validation
pairs and held-out columns of Sentinel-2; no drawn land, no shapes) by the generator that training used, with the same
settings apart from the size of the scenes. The best classical method is that of each scene, chosen with the truth.
What stands in OUT already is not computed again.
"""

from __future__ import annotations

import argparse
import json
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


def score(data: Path, out: Path, sensor: str, methods: list[str]) -> None:
    """Fill OUT with a file for a sensor: ERGAS of each method on each scene; what stands there stays."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{sensor}.json"
    found: dict[str, list[float]] = json.loads(file.read_text()) if file.is_file() else {}
    missing = [name for name in [*classical.names(), *methods] if name not in found]
    if not missing:
        return
    names = [band.name for band in imitated(sensor).bands]
    for example in scenes(data, sensor):
        pair = example.pair
        assert pair.sensor is not None  # the imitated one
        scene = array_scene(pair.pan, pair.ms, sensor=pair.sensor, phase=pair.phase, sharpen=names, full_scale=1.0)
        for name in missing:
            found.setdefault(name, []).append(ergas(name, scene, example))
    file.write_text(json.dumps(found))


def table(out: Path) -> str:
    """All sensors as Markdown."""
    lines = ["| virtual sensor | method | ERGAS over the best classical | worst |", "|---|---|---|---|"]
    for file in sorted(out.glob("*.json")):
        found: dict[str, list[float]] = json.loads(file.read_text())
        shelf = [name for name in classical.names() if name in found]
        best = [min(values) for values in zip(*(found[name] for name in shelf), strict=True)]
        relative = {n: [value / least for value, least in zip(v, best, strict=True)] for n, v in found.items()}
        single = min(shelf, key=lambda name: geometric(relative[name]))
        for name in [single, *(name for name in found if name not in shelf)]:
            values = relative[name]
            lines.append(f"| {file.stem} | `{name}` | {geometric(values):.3f} | {max(values):.3f} |")
    return "\n".join(lines)


def geometric(values: list[float]) -> float:
    """Geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def shipped(sensor: str) -> list[str]:
    """The networks of a sensor that are there, alone and with back-projection, and the network for any sensor."""
    own = [name for network in NETWORKS if (name := f"{network}.{SENSORS[sensor]}") in weights.names()]
    return [*own, *(f"{name}+project" for name in own), "universal.open"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    scoring = commands.add_parser("score")
    scoring.add_argument("data", type=Path)
    scoring.add_argument("out", type=Path)
    scoring.add_argument("--sensor", choices=list(SENSORS), action="append")
    drawing = commands.add_parser("table")
    drawing.add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "table":
        print(table(given.out))
        return
    for sensor in given.sensor or SENSORS:
        score(given.data, given.out, sensor, shipped(sensor))


if __name__ == "__main__":
    main()
