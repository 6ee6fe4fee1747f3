"""Small networks and scenes for the adapters that train."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional

from panloom.data import procedural
from panloom.networks import Network, SourceStatistics
from panloom.pair import Pair
from panloom.scene import Scene, array_scene
from panloom.types import Tile, Traits, Window

F32, F64 = torch.float32, torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Shared(Network):
    """Features that all bands share, and a linear head, far from right; `valid`: its last layer pads nothing."""

    channels = 6

    def __init__(self, bands: int = 4, valid: bool = False) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.bands, self.valid = bands, valid
        self.first = nn.Conv2d(bands + 1, 6, 3, padding=1)
        self.last = nn.Conv2d(6, bands, 5 if valid else 3, padding=0 if valid else 1)

    @property
    def traits(self) -> Traits:
        return Traits(bands=self.bands, halo=2)

    def features(self, pair: Pair) -> torch.Tensor:
        x = functional.relu(self.first(self.cast(torch.cat([pair.exp, pair.pan], 1))))
        return functional.pad(x, (2, 2, 2, 2)) if self.valid else x

    def head(self, features: torch.Tensor, pair: Pair) -> torch.Tensor:
        return pair.exp + 0.3 * self.last(features).to(pair.exp.dtype)


class PerBand(Network):
    """Features of each band, tied to nothing else; any number of bands; sides in twos."""

    channels = 5

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.first, self.weights = nn.Conv2d(2, 5, 3, padding=1), nn.Parameter(0.3 * torch.randn(5))

    @property
    def traits(self) -> Traits:
        return Traits(halo=2, multiple=2)

    def features(self, pair: Pair) -> torch.Tensor:
        both = torch.stack([pair.exp, pair.pan.expand_as(pair.exp)], 2).flatten(0, 1)
        return torch.tanh(self.first(self.cast(both)))

    def head(self, features: torch.Tensor, pair: Pair) -> torch.Tensor:
        residual = torch.einsum("nfhw,f->nhw", features, self.weights).unflatten(0, pair.ms.shape[:2])
        return pair.exp + residual.to(pair.exp.dtype)


def with_source(network: Network) -> Network:
    network.source = SourceStatistics((0.2,) * 4, (0.05,) * 4, 0.3, 0.08)
    return network


@lru_cache(maxsize=4)
def _made(cells: int, ratio: int, phase: tuple[float, float] | None) -> procedural.ProceduralScene:
    recording = procedural.Recording(ratio=ratio, dtype="float32")
    more = {} if phase is None else {"phase": phase}
    return procedural.make(
        ratio * cells, ratio * (cells + 3), sensor="quickbird", wedge=False, recording=recording, **more
    )


def land(
    cells: int = 40, ratio: int = 4, dtype: torch.dtype = F32, phase: tuple[float, float] | None = None, **changes
) -> Scene:
    made = _made(cells, ratio, phase)
    pan, ms = (torch.from_numpy(x).to(dtype)[None] / 2047 for x in (made.pan[None], made.ms))
    return array_scene(pan, ms, sensor=made.sensor, phase=made.phase, **changes)


def whole(scene: Scene) -> Pair:
    cells = Window(0, 0, *scene.grid.cells)
    return scene.read(Tile(0, cells.scaled(scene.grid.ratio), cells))


def masked(scene: Scene, window: Window) -> Scene:
    """The scene with PAN valid in a window of MS pixels only."""
    pair = whole(scene)
    valid = torch.zeros_like(pair.pan, dtype=torch.bool)
    valid[(..., *window.scaled(pair.ratio).inside(Window(0, 0, 0, 0)))] = True
    return array_scene(pair.pan, pair.ms, sensor=scene.sensor, phase=scene.grid.phase, pan_valid=valid)


def close(actual: torch.Tensor, expected: torch.Tensor, limit: float) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)
