"""Laws of back-projection behind a network."""

from __future__ import annotations

import pytest
import torch

from panloom import networks
from panloom.adapt.project import Project
from panloom.data import procedural
from panloom.optics import back_projection, physical
from panloom.pair import Pair
from panloom.scene import Scene, array_scene
from panloom.types import Tile, Window

CELLS = 48


def land(ratio: int = 4, phase: tuple[float, float] = (1.75, 2.0)) -> Scene:
    made = procedural.make(CELLS * ratio, CELLS * ratio, sensor="quickbird", wedge=False, seed=2)
    sensor = made.sensor
    truth = torch.from_numpy(made.truth).double()[None] / 2047
    gains = [band.mtf_nyquist for band in sensor.bands]
    ms = physical.degrade(truth, gains, ratio, phase)
    return array_scene(truth.mean(1, keepdim=True), ms, sensor=sensor, phase=phase, full_scale=1.0)


def read(scene: Scene, cells: Window) -> Pair:
    return scene.read(Tile(0, cells.scaled(scene.grid.ratio), cells))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return land()


@pytest.fixture(scope="module")
def method(scene) -> Project:
    torch.manual_seed(0)
    network = networks.build("fusionnet", {"bands": 4}).double()
    return Project(network).prepare(scene, torch.Generator().manual_seed(0))


def test_the_image_agrees_better_with_ms_and_the_network_is_not_changed(scene, method):
    pair = read(scene, Window(0, 0, CELLS, CELLS))
    gains = [band.mtf_nyquist for band in scene.sensor.bands]
    inner = slice(8, -8)
    with torch.no_grad():
        before, after = (
            float((physical.degrade(image, gains, pair.ratio, pair.phase) - pair.ms)[..., inner, inner].abs().mean())
            for image in (method.network(pair), method(pair))
        )
    assert after < 0.6 * before


def test_a_part_of_the_scene_with_its_halo_is_as_in_the_whole(scene, method):
    whole = read(scene, Window(0, 0, CELLS, CELLS))
    core = Window(20, 20, 4, 4)
    part = read(scene, core.grown(method.traits.halo))
    with torch.no_grad():
        one = method(whole)[(..., *core.scaled(4).inside(Window(0, 0, CELLS * 4, CELLS * 4)))]
        two = method(part)[(..., *core.scaled(4).inside(core.grown(method.traits.halo).scaled(4)))]
    torch.testing.assert_close(one, two, rtol=0, atol=1e-9)


def test_the_halo_is_that_of_the_network_and_of_the_step(method):
    assert method.traits.halo == method.network.traits.halo + method.reach
    assert not method.traits.additive


def test_softer_optics_look_further():
    halos = [back_projection.halo([gain, 0.4], 4, (1.5, 1.5)) for gain in (0.4, 0.2, 0.05)]
    assert halos == sorted(halos)
    assert halos[0] < halos[-1]
