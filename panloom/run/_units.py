"""Other units: a scene whose values are multiplied by a number, and a method that works in such values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Generator, Tensor

from panloom.pair import Fuser, Pair, Reduced, SceneLike
from panloom.types import Grid, Sensor, Tile, Traits


@dataclass(frozen=True)
class Scaled:
    """A scene whose values are multiplied by a number.

    Attributes:
        scene: as it is.
        gain: that number.
    """

    scene: SceneLike
    gain: float

    @property
    def grid(self) -> Grid:
        """That of the scene."""
        return self.scene.grid

    @property
    def sensor(self) -> Sensor:
        """That of the scene."""
        return self.scene.sensor

    def read(self, tile: Tile) -> Pair:
        """The pair of `tile.read`."""
        return _times(self.scene.read(tile), self.gain)

    def survey(self) -> Iterator[Reduced]:
        """The scene on the MS grid."""
        for block in self.scene.survey():
            yield replace(block, pan=self.gain * block.pan, ms=self.gain * block.ms)

    def sample(self, n: int, size: int, rng: Generator) -> Iterator[Pair]:
        """Up to `n` pairs."""
        for pair in self.scene.sample(n, size, rng):
            yield _times(pair, self.gain)


@dataclass(frozen=True, eq=False)
class InUnits:
    """A method that works in units in which the values of a scene are multiplied by a number.

    Attributes:
        fuser: the method.
        gain: that number.
    """

    fuser: Fuser
    gain: float

    @property
    def traits(self) -> Traits:
        """Those of the method."""
        return self.fuser.traits

    def prepare(self, scene: SceneLike, rng: Generator) -> InUnits:
        """The method ready for a scene."""
        return replace(self, fuser=self.fuser.prepare(Scaled(scene, self.gain), rng))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile, in the units of `pair`."""
        return self.fuser(_times(pair, self.gain)) / self.gain


def _times(pair: Pair, gain: float) -> Pair:
    return replace(pair, pan=gain * pair.pan, ms=gain * pair.ms, exp=gain * pair.exp)
