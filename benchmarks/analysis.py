"""What the analysis of a fusion network costs: processor seconds over those of a forward pass, in one run.

    python benchmarks/analysis.py --network fusionnet --bands 8 --size 512 --repeat 3

`fuser_response` and `split_fuser` of one pair in memory, weights as drawn, seeded. PAN and each MS band are channels;
the budget is 20 forward passes for each of them. Forward passes and analyses run in turn, and each ratio is of two
neighbours. A small pair goes before, which loads torch's forward mode and is not counted. A ratio of processor seconds
does not depend much on what else the machine does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch

from panloom import classical, networks
from panloom.analysis import fuser_response, least_cells, split_fuser
from panloom.compute import cut, processor_name
from panloom.data import make
from panloom.pair import Fuser, Pair
from panloom.scene import Scene, array_scene
from panloom.sensors import generic_bands
from panloom.types import Tile, Window

Result = TypeVar("Result")

#: Forward passes for each input channel.
BUDGET = 20


def scene_of(size: int, bands: int) -> Scene:
    """A procedural scene; bands of the generic sensor."""
    made = make(size, size, sensor="worldview-3", bands=bands, wedge=False, seed=1)
    scale = float(max(made.pan.max(), made.ms.max()))
    pan, ms = (torch.from_numpy(image).float()[None] / scale for image in (made.pan[None], made.ms))
    sensor = replace(made.sensor, bands=generic_bands(bands))
    return array_scene(pan, ms, sensor=sensor, phase=made.phase, full_scale=1.0)


def method(name: str, scene: Scene) -> Fuser:
    """A network with weights as drawn, or a classical method, prepared."""
    if name in classical.names():
        return classical.get(name)().prepare(scene, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    options = {"bands": len(scene.sensor.bands)} if name != "universal" else {}
    return networks.build(name, options).prepare(scene, torch.Generator().manual_seed(0))


def spent(job: Callable[[], Result]) -> tuple[float, Result]:
    """Processor seconds, and what was made in them."""
    started = time.process_time()
    made = job()
    return time.process_time() - started, made


def costs(fuser: Fuser, pair: Pair, repeat: int) -> list[float]:
    """Medians of the seconds of a forward pass, of the response and of the split, and of their ratios to the first."""
    rows: list[list[float]] = []
    for _ in range(repeat):
        with torch.no_grad():
            forward, _image = spent(partial(fuser, pair))
        response, found = spent(partial(fuser_response, fuser, pair, seed=0))
        splitting, _parts = spent(partial(split_fuser, fuser, pair, found))
        rows.append([forward, response, splitting, response / forward, (response + splitting) / forward])
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append")
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    scene, grid = scene_of(given.size, given.bands), (given.size, given.size)
    pair = scene.read(Tile(0, Window(0, 0, *grid), Window(0, 0, *scene.grid.cells)))
    print(f"{processor_name()}, 1 thread, torch {torch.__version__}; {given.size} x {given.size}, {given.bands} bands")
    print("\n| method | forward s | response s | split s | response, passes a channel | with split | within budget |")
    print("|---|---|---|---|---|---|---|")
    for name in given.network or ["fusionnet"]:
        fuser = method(name, scene)
        small = least_cells(fuser) + fuser.traits.multiple
        small -= small % fuser.traits.multiple
        costs(fuser, cut(pair, Window(0, 0, small, small)), 1)
        forward, response, splitting, *ratios = costs(fuser, pair, given.repeat)
        alone, both = (ratio / (given.bands + 1) for ratio in ratios)
        print(
            f"| `{name}` | {forward:.2f} | {response:.1f} | {splitting:.2f} | {alone:.1f} | {both:.1f} | "
            f"{'yes' if both <= BUDGET else 'NO'} |"
        )


if __name__ == "__main__":
    main()
