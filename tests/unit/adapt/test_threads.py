"""A fit is the same, bit for bit, for any number of threads."""

from __future__ import annotations

import threading
import time
from functools import lru_cache

import pytest
import torch
from tailor_tools import PerBand, Shared

from panloom import adapt
from panloom.compute import workers
from panloom.data import procedural
from panloom.networks import Network
from panloom.pair import Fuser
from panloom.scene import Scene, array_scene
from panloom.types import Tile, Window

#: Several tiles, and so several parts of every kind; PAN lies beside MS.
CELLS, RATIO = 150, 2


@lru_cache(maxsize=1)
def scene() -> Scene:
    recording = procedural.Recording(ratio=RATIO, dtype="float32", misregistration=(0.4, -0.3))
    side = CELLS * RATIO
    made = procedural.make(side, side, sensor="quickbird", phase=(0.5, 0.5), wedge=False, recording=recording)
    scale = made.sensor.full_scale or 1.0
    pan, ms = torch.from_numpy(made.pan)[None, None] / scale, torch.from_numpy(made.ms)[None] / scale
    return array_scene(pan, ms, sensor=made.sensor, phase=made.phase)


def fitted(name: str, network: type[Network], threads: int) -> Fuser:
    with workers(threads):
        return adapt.get(name)(network(), gate=1e9).prepare(scene(), torch.Generator().manual_seed(0))  # pyright: ignore[reportCallIssue]  all have a gate


def fused(fuser: Fuser) -> torch.Tensor:
    window = Window(20, 20, 64, 64)
    with torch.inference_mode():
        return fuser(scene().read(Tile(0, window.scaled(RATIO), window)))


@pytest.mark.parametrize("network", [Shared, PerBand])
@pytest.mark.parametrize("name", ["refit", "tailor", "cat", "swift"])
def test_a_fit_does_not_depend_on_the_number_of_threads(name, network):
    one = fitted(name, network, 1)
    for threads in (2, 3):
        other = fitted(name, network, threads)
        assert other.report.decision == "adapted"  # pyright: ignore[reportAttributeAccessIssue]
        assert torch.equal(fused(one), fused(other))


@pytest.mark.parametrize("name", ["refit", "tailor"])
def test_a_fit_uses_the_threads_that_there_are(name):
    busy: set[int] = set()

    class Told(Shared):
        def features(self, pair):
            busy.add(threading.get_ident())
            time.sleep(0.01)  # so that others come to it too
            return super().features(pair)

    for threads in (1, 2):
        busy.clear()
        fitted(name, Told, threads)
        assert len(busy) == threads
