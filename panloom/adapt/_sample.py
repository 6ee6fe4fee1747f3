"""The bounded sample of a scene that an adapter looks at: a few tiles, and each of them degraded once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.compute import cut
from panloom.optics import physical, wald
from panloom.pair import Pair, SceneLike
from panloom.types import Sensor, Tile, Window

#: MS pixels along a side of a tile; where a scene has too few valid ones, smaller tiles are tried.
SIZES = (128, 64, 32)


def tiles(scene: SceneLike, count: int, rng: Generator) -> list[Pair]:
    """Up to `count` tiles of a scene at drawn places; a scene of one tile's size or less is taken whole.

    At most 4 * `count` tiles of each of SIZES are read, however large the scene is. The list is empty where tiles of
    no size hold data enough.
    """
    rows, cols = scene.grid.cells
    size = SIZES[0]
    if max(rows, cols) <= size:
        cells = Window(0, 0, rows, cols)
        return [scene.read(Tile(0, cells.scaled(scene.grid.ratio), cells))]
    # More tiles than cover the scene would only repeat it.
    count = min(count, -(-rows * cols // size**2))
    for size in SIZES:
        found = list(scene.sample(count, size, rng))
        if found:
            return found
    return []


def places(pairs: Sequence[Pair]) -> tuple[Window, ...]:
    """Where tiles lie on the scene's PAN grid."""
    return tuple(Window(*pair.origin, pair.pan.shape[-2], pair.pan.shape[-1]) for pair in pairs)


def band_gains(sensor: Sensor) -> list[float]:
    """MTF gains of the bands at MS Nyquist."""
    return [band.mtf_nyquist for band in sensor.bands]


def mean_gain(sensor: Sensor) -> float:
    """The mean of `band_gains`: the optics that maps of no single band are seen through."""
    return sum(band_gains(sensor)) / len(sensor.bands)


@dataclass(frozen=True)
class Lowered:
    """A tile degraded by its own ratio, so that its MS is the truth.

    Attributes:
        pair: what is to be fused; its `valid` are the pixels in which result and truth can be compared.
        truth: the MS of the tile.
        origin: of the tile on the scene's PAN grid.
    """

    pair: Pair
    truth: Float[Tensor, "b C h w"]
    origin: tuple[int, int] = (0, 0)

    @property
    def count(self) -> int:
        """Pixels in which result and truth can be compared."""
        return int(self.pair.valid.sum())

    def squared(self, image: Float[Tensor, "b C h w"], variance: Float[Tensor, " C"]) -> float:
        """Sum of squared errors of an image in valid pixels, in shares of the bands' variances; 0: does not count."""
        error = (image - self.truth).transpose(0, 1)[:, self.pair.valid[:, 0]].square().sum(1).double().cpu()
        return float((error[variance > 0] / variance[variance > 0]).sum())


def lowered(pair: Pair, sensor: Sensor, multiple: int) -> Lowered | None:
    """A tile through the optics once more, at its true phase; None where it is too small for that.

    Args:
        pair: the tile.
        sensor: whose MTF.
        multiple: MS pixels that the sides of the result must be a multiple of.
    """
    step = pair.ratio * multiple
    h, w = (n - n % step for n in pair.ms.shape[-2:])
    if not (h and w):
        return None
    pair = cut(pair, Window(0, 0, h, w))
    low = wald.degrade_pair(
        pair.pan,
        pair.ms,
        pair.valid,
        pair.whole_cells,
        gains=band_gains(sensor),
        pan_gain=sensor.pan.mtf_nyquist,
        phase=pair.phase,
        form="physical",
    )
    on_cells = low.ms_valid.repeat_interleave(pair.ratio, -2).repeat_interleave(pair.ratio, -1)
    small = Pair(
        pan=low.pan,
        ms=low.ms,
        exp=physical.interpolate(low.ms, pair.ratio, low.phase),
        valid=low.truth_valid & low.pan_valid & on_cells,
        phase=low.phase,
        sensor=sensor,
    )
    return Lowered(small, low.truth, pair.origin)


@dataclass(frozen=True)
class Statistics:
    """Means and deviations of the valid pixels of a sample, float64.

    Attributes:
        mean: of each band of MS.
        std: of each band of MS.
        pan_mean: of PAN.
        pan_std: of PAN.
    """

    mean: Float[Tensor, " C"]
    std: Float[Tensor, " C"]
    pan_mean: float
    pan_std: float


def statistics(pairs: Sequence[Pair]) -> Statistics | None:
    """Those of some tiles; None where nothing is valid."""
    ms = torch.cat([pair.ms.transpose(0, 1)[:, pair.whole_cells[:, 0]] for pair in pairs], 1).double()
    pan = torch.cat([pair.pan[pair.valid] for pair in pairs]).double()
    if not (ms.shape[1] and len(pan)):
        return None
    return Statistics(ms.mean(1), ms.std(1, correction=0), float(pan.mean()), float(pan.std(correction=0)))
