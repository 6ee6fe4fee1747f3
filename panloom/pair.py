"""The one record that methods see, and the protocols that bind methods and scenes (floor 0, with torch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional

from panloom.types import Grid, Sensor, Tile, Traits


@dataclass(frozen=True)
class Pair:
    """One tile of a scene, in memory.

    Values are (scale * DN + offset) / full scale. Pixels that are not `valid` hold a smooth continuation of
    their valid neighbours (never the no-data number), so that filters need no special cases.

    Attributes:
        pan: the sharp image; H = ratio * h, W = ratio * w.
        ms: the spectral image at its own resolution.
        exp: `ms` interpolated onto the PAN grid with the true phase, made once when the tile is read.
        valid: PAN pixels where PAN and every requested band are valid.
        phase: (row, col), PAN pixels: ms sample i is centred on PAN index ratio * i + phase.
        sensor: its `bands` are the bands of `ms`, in that order; None in general fusion.
        origin: (row, col) of pixel (0, 0) on the scene's PAN grid; noise and blocks are keyed by it.
    """

    pan: Float[Tensor, "b c H W"]
    ms: Float[Tensor, "b C h w"]
    exp: Float[Tensor, "b C H W"]
    valid: Bool[Tensor, "b 1 H W"]
    phase: tuple[float, float]
    sensor: Sensor | None = None
    origin: tuple[int, int] = (0, 0)

    @property
    def ratio(self) -> int:
        """PAN pixels per MS pixel."""
        return self.pan.shape[-2] // self.ms.shape[-2]

    @property
    def whole_cells(self) -> Bool[Tensor, "b 1 h w"]:
        """MS pixels whose own cell and the eight around hold only valid pixels.

        The cells around count because a valid PAN pixel may rest on an MS pixel that was filled from its neighbours.
        """
        missing = functional.max_pool2d((~self.valid).float(), self.ratio)
        return functional.max_pool2d(missing, 3, stride=1, padding=1) == 0


@dataclass(frozen=True)
class Reduced:
    """One tile on the MS grid: PAN seen through the MS optics at the MS positions, beside the MS itself.

    This is what statistics and regressions look at; it costs a fraction of a `Pair`.
    """

    pan: Float[Tensor, "b 1 h w"]
    ms: Float[Tensor, "b C h w"]
    valid: Bool[Tensor, "b 1 h w"]


@runtime_checkable
class SceneLike(Protocol):
    """What a method may ask of a scene. Tiles are those of `panloom.tiling.plan`."""

    @property
    def grid(self) -> Grid:
        """The two nested grids."""
        ...

    @property
    def sensor(self) -> Sensor:
        """The instrument; its bands are those that are sharpened."""
        ...

    def read(self, tile: Tile) -> Pair:
        """The pair of `tile.read`."""
        ...

    def survey(self) -> Iterator[Reduced]:
        """The scene on the MS grid, block by block in a fixed order; of a huge scene a declared, even sample."""
        ...

    def sample(self, n: int, size: int, rng: Generator) -> Iterator[Pair]:
        """Up to `n` pairs of `size` x `size` MS pixels, at places drawn from `rng`, mostly valid."""
        ...


@runtime_checkable
class Fuser(Protocol):
    """A fusion method: `prepare` looks at the scene once, the call is a pure function of one tile."""

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        ...

    def prepare(self, scene: SceneLike, rng: Generator) -> Fuser:
        """A new fuser that is ready for this scene; the old one is unchanged."""
        ...

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile, in the units of `pair.ms`, with the shape of `pair.exp`."""
        ...
