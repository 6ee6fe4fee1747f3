"""Every adapter moves PAN to where MS lies: the offset is found and told, tiled = whole, little is lost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import pytest
import torch

from panloom.adapt import Report
from panloom.data import procedural
from panloom.optics.alignment import NOWHERE, moved
from panloom.pair import Fuser, Pair
from panloom.run.resolve import resolve
from panloom.scene import Scene, array_scene
from panloom.tiling import plan, trim
from panloom.types import Tile, Window

#: Where MS looks beside its place, in PAN pixels.
BESIDE = (0.4, -0.3)

#: Names of adapters, and what makes their fits short.
SHORT: dict[str, dict[str, object]] = {
    "refit": {"tiles": 1, "patches": 1},
    "tailor": {"tiles": 1, "patches": 2, "steps": 4},
    "cat": {"tiles": 1, "patches": 2, "steps": 4},
    "swift": {"tiles": 1, "epochs": 2, "fewest": 8},
}

#: PAN pixels along a side of the scene, and at its border that are not judged.
SIDE, BORDER = 384, 32


@dataclass(frozen=True, eq=False)
class Fused:
    """An adapter on a scene; `off` is what its image is off the truth that lies where MS does."""

    scene: Scene
    ready: Fuser
    report: Report
    image: torch.Tensor
    off: torch.Tensor


def displaced(by: tuple[float, float]) -> tuple[Scene, torch.Tensor]:
    """A drawn scene whose MS looks beside its place, and its truth, which lies under PAN."""
    recording = procedural.Recording(ratio=4, dtype="float32", misregistration=by)
    made = procedural.make(SIDE, SIDE, sensor="quickbird", wedge=False, seed=2, recording=recording)
    pan, ms, truth = (torch.from_numpy(x).float()[None] / 2047 for x in (made.pan[None], made.ms, made.truth))
    return array_scene(pan, ms, sensor=made.sensor, phase=made.phase), truth


def whole(scene: Scene) -> Pair:
    cells = Window(0, 0, *scene.grid.cells)
    return scene.read(Tile(0, cells.scaled(scene.grid.ratio), cells))


@lru_cache
def fused(name: str, by: tuple[float, float]) -> Fused:
    scene, truth = displaced(by)
    # An open gate: it is the fit that is looked at.
    adapter = resolve(f"dicnn.qb-open+{name}", {**SHORT[name], "gate": 1e9})
    ready = adapter.prepare(scene, torch.Generator().manual_seed(0))
    with torch.no_grad():
        image = ready(whole(scene))
    report = getattr(ready, "report")  # noqa: B009  no protocol of `panloom.adapt` has it
    assert isinstance(report, Report)
    # What is fused lies where MS does.
    return Fused(scene, ready, report, image, image - moved(truth, by))


def rms(off: torch.Tensor) -> float:
    return float(off[..., BORDER:-BORDER, BORDER:-BORDER].square().mean().sqrt())


@pytest.mark.parametrize("name", SHORT)
def test_the_offset_is_found_and_told(name):
    report = fused(name, BESIDE).report
    assert report.decision == "adapted"
    assert report.offset == pytest.approx(BESIDE, abs=0.08)
    assert fused(name, NOWHERE).report.offset == NOWHERE


@pytest.mark.parametrize("name", SHORT)
def test_tiles_of_a_displaced_scene_are_parts_of_the_whole(name):
    done = fused(name, BESIDE)
    tiles = list(plan(done.scene.grid, done.ready.traits, 128))
    assert len(tiles) > 4
    with torch.no_grad():
        for tile in tiles:
            part = trim(done.ready(done.scene.read(tile)), tile, 4)
            expected = done.image[(..., *tile.core.inside(Window(0, 0, 0, 0)))]
            torch.testing.assert_close(part, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SHORT)
def test_an_offset_costs_little(name):
    # Moving takes of the finest detail; of both errors alike.
    assert rms(fused(name, BESIDE).off) < 1.1 * rms(moved(fused(name, NOWHERE).off, BESIDE))
