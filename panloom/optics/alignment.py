"""PAN moved to where MS lies: what a fraction of a pixel between the two grids costs a fusion is spared.

Two instruments on one satellite, or two products of one, seldom fit to a tenth of a pixel, and the detail of a PAN that
lies beside the bands is drawn beside their edges. The offset is measured on the scene
(`panloom.optics.registration`) and PAN is interpolated there, so what is fused lies where MS does, and its MS is that
which was recorded. The other way, MS moved to PAN, is `open_scene(..., align=True)`.

Ours. On published pairs of one region offsets of .1 to .3 PAN pixels are usual; what their correction gives is told in
docs/benchmarks.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.optics.physical import interpolate, replicate
from panloom.optics.registration import MIN_CONFIDENCE, Shift, measure
from panloom.pair import Fuser, Pair, Reduced, SceneLike
from panloom.types import Grid, Sensor, Tile, Traits, Window

#: (row, col) in PAN pixels: where MS looks beside the place that the phase says.
Offset = tuple[float, float]

#: None, or none that should be corrected.
NOWHERE: Offset = (0.0, 0.0)

#: PAN pixels: a smaller offset is left; it is hardly measured, and costs next to nothing.
NEGLIGIBLE = 0.04

#: Windows of a scene that are looked at, and MS pixels along their sides.
WINDOWS, WINDOW = 9, 128

#: Pixels on each side of a point that `moved` looks at.
REACH = 6


@dataclass(frozen=True)
class Aligned:
    """A scene whose PAN is read where MS lies; see `panloom.pair.SceneLike`.

    Attributes:
        scene: as it is.
        offset: what PAN is moved by.
    """

    scene: SceneLike
    offset: Offset

    @property
    def grid(self) -> Grid:
        """That of the scene."""
        return self.scene.grid

    @property
    def sensor(self) -> Sensor:
        """That of the scene."""
        return self.scene.sensor

    @property
    def halo(self) -> int:
        """MS pixels around a cell that moving PAN looks at."""
        return halo(self.offset, self.grid.ratio)

    def read(self, tile: Tile) -> Pair:
        """The pair of `tile.read`, with the edge repeated where PAN is not read far enough."""
        return with_pan(self.scene.read(tile), self.offset)

    def survey(self) -> Iterator[Reduced]:
        """The scene on the MS grid."""
        on_ms = self.offset[0] / self.grid.ratio, self.offset[1] / self.grid.ratio
        return (replace(block, pan=moved(block.pan, on_ms)) for block in self.scene.survey())

    def sample(self, n: int, size: int, rng: Generator) -> Iterator[Pair]:
        """Up to `n` pairs of `size` x `size` MS pixels."""
        return (with_pan(pair, self.offset) for pair in self.scene.sample(n, size, rng))


@dataclass(frozen=True)
class Moved:
    """A method that does not move PAN itself and sees it where MS lies; see `panloom.pair.Fuser`.

    Attributes:
        method: what fuses.
        offset: of the scene that `prepare` saw.
        ratio: of that scene.
    """

    method: Fuser
    offset: Offset = NOWHERE
    ratio: int = 4

    @property
    def traits(self) -> Traits:
        """Those of the method, with what moving PAN looks at."""
        own = self.method.traits
        return replace(own, halo=own.halo + halo(self.offset, self.ratio))

    def prepare(self, scene: SceneLike, rng: Generator) -> Moved:
        """For a scene."""
        scene = aligned(scene)
        return Moved(self.method.prepare(scene, rng), scene.offset, scene.grid.ratio)

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        return self.method(with_pan(pair, self.offset))


def aligned(scene: SceneLike) -> Aligned:
    """The scene with its offset measured on up to nine windows of it, the same ones in every call."""
    return Aligned(scene, offset(windows(scene), scene.grid.ratio))


def windows(scene: SceneLike) -> Iterator[Pair]:
    """Parts of a scene that show its offset; a small scene as a whole."""
    rows, cols = scene.grid.cells
    if max(rows, cols) > WINDOW:
        return scene.sample(WINDOWS, WINDOW, torch.Generator().manual_seed(0))
    cells = Window(0, 0, rows, cols)
    return iter([scene.read(Tile(0, cells.scaled(scene.grid.ratio), cells))])


def offset(pairs: Iterable[Pair], ratio: int) -> Offset:
    """Where MS looks beside the place that the phase says; see `believed`."""
    with torch.no_grad():
        return believed(measure(pairs), ratio)


def believed(shift: Shift, ratio: int) -> Offset:
    """What of a measured shift is corrected.

    Returns:
        NOWHERE where no offset can be believed, where it is negligible or within its own error, and where it is larger
        than an MS pixel: that is no inaccuracy of two grids but a wrong georeference.
    """
    row, col = ratio * shift.row, ratio * shift.col
    sure, least = shift.confidence >= MIN_CONFIDENCE, max(NEGLIGIBLE, ratio * shift.spread)
    return (row, col) if sure and least <= math.hypot(row, col) <= ratio else NOWHERE


def with_pan(pair: Pair, by: Offset) -> Pair:
    """The pair with PAN moved."""
    return pair if by == NOWHERE else replace(pair, pan=moved(pair.pan, by))


def moved(image: Float[Tensor, "b c H W"], by: Offset) -> Float[Tensor, "b c H W"]:
    """The image seen `by` pixels further down and right: out(n) = image(n + by), by windowed sinc, edges repeated.

    Args:
        image: any units.
        by: (row, col) in its pixels.
    """
    if by == NOWHERE:
        return image
    row, col = (round(b) for b in by)
    image = replicate(image, -row, row, -col, col)
    return interpolate(image, 1, (row - by[0], col - by[1]), reach=REACH)


def halo(by: Offset, ratio: int) -> int:
    """MS pixels around a cell that `moved` looks at."""
    return 0 if by == NOWHERE else math.ceil((REACH + max(map(abs, by))) / ratio)
