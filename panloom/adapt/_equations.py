"""The equations of `refit`: what every pixel of a sample says about the weights of the features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from panloom.adapt import _physics
from panloom.adapt._base import Base
from panloom.adapt._head import taps, taps_seen
from panloom.adapt._physics import EVERYWHERE
from panloom.adapt._ridge import Products, Roles, checkerboard
from panloom.adapt._sample import Lowered, band_gains, mean_gain
from panloom.compute import cut, together
from panloom.optics import physical
from panloom.pair import Pair
from panloom.tiling import blocks
from panloom.types import Sensor, Window

#: MS pixels along a side of a patch of spectral equations.
PATCH = 32

#: MS pixels around a patch that features may look at; more is not worth its time.
AROUND = 12

#: Networks that look no further, in MS pixels, get one around a patch: what they miss at its rim D hardly weighs.
SHALLOW = 4

#: Share of the mean deviation of a network's features that each counts for at least: dead ones are not blown up.
DEAD = 0.05


@dataclass(frozen=True)
class Scaling:
    """What makes columns comparable: (column - mean) / scale.

    Attributes:
        mean: of each column.
        scale: its deviation; 1 of a constant column.
    """

    mean: Float[Tensor, "g K"]
    scale: Float[Tensor, "g K"]

    @staticmethod
    def of(columns: Float[Tensor, "g K n"], learned: int) -> Scaling:
        """From the pixels of a sample; the first `learned` columns are a network's."""
        mean = columns.mean(2)
        # The same as torch's deviation in a third of the time.
        std = torch.linalg.vector_norm(columns - mean[:, :, None], dim=2) / columns.shape[2] ** 0.5
        own, rest = std[:, :learned], std[:, learned:]
        if learned:
            own = own + DEAD * own.mean(1, keepdim=True)
        scale = torch.cat([own, rest], 1)
        return Scaling(mean, torch.where(scale > 0, scale, torch.ones_like(scale)))


@dataclass(frozen=True)
class Columns:
    """How equations are made of pairs.

    Features that all bands share serve with their 3 x 3 neighbours, beside physics features; where each band has its
    own features, these hold details already and serve alone, pixel by pixel.

    Attributes:
        base: what is refitted.
        sensor: whose MTF.
        pan_mean: of PAN in the scene.
    """

    base: Base
    sensor: Sensor
    pan_mean: float

    def physics(self, pair: Pair, inside: tuple[slice, slice] = EVERYWHERE) -> Float[Tensor, "b P H W"]:
        """Physics features of a part of a tile."""
        return _physics.maps(pair, self.sensor, self.pan_mean, inside)

    def seen(self, pair: Pair) -> tuple[Tensor | None, Tensor]:
        """The network's features of a pair in the type of the image, and the frozen output."""
        features = self.base.features(pair)
        image = self.base.image(features, pair)
        return None if features is None else features.to(image.dtype, memory_format=torch.contiguous_format), image

    def make(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """The columns (g, K, H, W) of a pair, and the frozen output (1, C, H, W)."""
        features, image = self.seen(pair)
        if features is None:
            return self.physics(pair), image
        if len(features) > 1:
            return features, image
        return torch.cat([taps(features, image.shape[-2], image.shape[-1]), self.physics(pair)], 1), image

    def learned(self, columns: Float[Tensor, "g K H W"]) -> int:
        """How many of the columns are a network's."""
        return columns.shape[1] if len(columns) > 1 else columns.shape[1] - 1 - 2 * len(self.sensor.bands)

    def roles(self, groups: int, count: int) -> Roles:
        """Which of `count` columns serve which band; behind them stand a one and the residuals."""
        bands = torch.arange(len(self.sensor.bands))
        one = torch.full_like(bands, count)[:, None]
        every = torch.arange(count).expand(len(bands), -1)
        if groups > 1:
            return Roles(bands, torch.cat([every, one], 1), torch.full_like(bands, count + 1))
        learned = count - 1 - 2 * len(bands)
        own = torch.stack([torch.full_like(bands, 0), 1 + bands, 1 + len(bands) + bands], 1) + learned
        return Roles(torch.zeros_like(bands), torch.cat([every[:, :learned], own, one], 1), count + 1 + bands)


@dataclass(frozen=True, eq=False)
class Equations:
    """What some pixels say: columns times weights shall be the residual.

    Attributes:
        columns: as they are, not scaled.
        residual: what the frozen output lacks.
        keep: pixels that count.
    """

    columns: Float[Tensor, "g K h w"]
    residual: Float[Tensor, "1 C h w"]
    keep: Bool[Tensor, "h w"]

    def half(self, *, first: bool) -> Equations:
        """Those of one of two sets of pixels that lie side by side."""
        board = checkerboard(*self.keep.shape).to(self.keep.device)
        return replace(self, keep=self.keep & (board == first))

    def products(self, scaling: Scaling) -> Products:
        """Sums over the pixels that count, of scaled columns."""
        left = self.residual if len(self.columns) == 1 else self.residual.transpose(0, 1)
        made, left = (pixels(x, self.keep) for x in (self.columns, left))
        sums = Products.of(made - scaling.mean[:, :, None], torch.cat([torch.ones_like(left[:, :1]), left], 1))
        # Deviations are brought to 1 in the products, which are few.
        share = torch.ones_like(sums.gram[:, 0])
        share = torch.cat([1 / scaling.scale.to(share), share[:, scaling.scale.shape[1] :]], 1)
        return Products(sums.gram * share[:, :, None] * share[:, None], sums.count)


def wald(columns: Columns, low: Lowered) -> Equations:
    """The equations of a tile that was degraded once more: the fused image is the MS."""
    made, image = columns.make(low.pair)
    return Equations(made, low.truth - image, low.pair.valid[0, 0])


def halves(equations: Sequence[Equations], scaling: Scaling) -> tuple[Products, Products]:
    """Their products in two sets that lie side by side."""
    parts = [one.half(first=first) for first in (True, False) for one in equations]
    made = together(lambda part: part.products(scaling), parts)
    count = len(equations)
    return added(made[:count]), added(made[count:])


def added(products: Sequence[Products]) -> Products:
    """Their sum, in their order."""
    return sum(products[1:], products[0])


def spectral(columns: Columns, tile: Pair, window: Window) -> Equations:
    """The equations of a patch: the fused image seen through the MTF is the MS.

    Maps of all bands go through the mean of the bands' MTF, the residual and what belongs to a band through its own.
    """
    ratio, gains, step = tile.ratio, band_gains(columns.sensor), columns.base.multiple
    rows, cols = (n - n % step for n in tile.ms.shape[-2:])
    reach = physical.reduce_margin(min(gains), ratio)
    seen = window.grown(reach).clipped(rows, cols)
    # At the border of a tile D repeats its edge, as it does at that of a scene.
    margin = reach if seen == window.grown(reach) else 0
    near = 1 if columns.base.halo <= SHALLOW else min(columns.base.halo, AROUND)
    around = window.grown(-(-(reach + near) // step) * step).clipped(rows, cols)
    core = EVERYWHERE if margin else window.inside(seen)
    inside, cells, pair = _fine(seen, around, ratio), cut(tile, window), cut(tile, around)
    features, image = columns.seen(pair)
    if features is not None and len(features) > 1:
        made, image = features[(..., *inside)], image[(..., *inside)]
        return _through(columns, made, image, cells, margin, core)
    # The low pass of PAN reaches further than features do.
    gain = mean_gain(columns.sensor)
    wide = seen.grown(physical.round_trip_reach(gain, ratio, tile.phase)).clipped(*tile.ms.shape[-2:])
    physics = columns.physics(cut(tile, wide), _fine(seen, wide, ratio))
    image = physical.degrade(image[(..., *inside)], gains, ratio, tile.phase, margin)
    made = physical.degrade(physics, [gain], ratio, tile.phase, margin)
    if features is not None:
        rows_, cols_ = (
            partial(one, gain=gain, ratio=ratio, phase=phase, margin=margin)
            for one, phase in zip((physical.degrade_rows, physical.degrade_cols), tile.phase, strict=True)
        )
        made = torch.cat([taps_seen(features, (pair.pan.shape[-2], pair.pan.shape[-1]), inside, rows_, cols_), made], 1)
    return _explained(made[(..., *core)], image[(..., *core)], cells)


def seen_through(
    columns: Columns, made: Float[Tensor, "g K H W"], image: Float[Tensor, "1 C H W"], cells: Pair, scaling: Scaling
) -> Products:
    """Columns and a frozen output brought to the MS grid, and the equations that they give.

    Args:
        columns: how they were made.
        made: the columns.
        image: the frozen output.
        cells: the pair whose MS is to be explained.
        scaling: of the columns.
    """
    return _through(columns, made, image, cells, 0, EVERYWHERE).products(scaling)


def _through(
    columns: Columns, made: Tensor, image: Tensor, cells: Pair, margin: int, core: tuple[slice, slice]
) -> Equations:
    """The equations on the MS grid: what lies within a margin is only looked at, and of the rest the core is kept."""
    gains, apart = band_gains(columns.sensor), len(made) > 1
    own = gains if apart else [mean_gain(columns.sensor)]
    made = made.transpose(0, 1) if apart else made
    made, image = (
        physical.degrade(x, g, cells.ratio, cells.phase, margin)[(..., *core)] for x, g in ((made, own), (image, gains))
    )
    return _explained(made.transpose(0, 1) if apart else made, image, cells)


def _explained(made: Float[Tensor, "g K h w"], image: Float[Tensor, "1 C h w"], cells: Pair) -> Equations:
    """The equations of columns and an output on the MS grid. D keeps constants, so scaling may come behind it."""
    return Equations(made, cells.ms - image, cells.whole_cells[0, 0])


def _fine(part: Window, outer: Window, ratio: int) -> tuple[slice, slice]:
    """Where cells lie among the PAN pixels of a window of cells."""
    return part.scaled(ratio).inside(outer.scaled(ratio))


def patches(tiles: Sequence[Pair], count: int, multiple: int, rng: Generator) -> list[tuple[Pair, Window]]:
    """Drawn patches of the tiles, no two of which overlap; their sides are multiples of `multiple` MS pixels."""
    side = -(-PATCH // multiple) * multiple
    found: list[tuple[Pair, Window]] = []
    for tile in tiles:
        height, width = (n - n % multiple for n in tile.ms.shape[-2:])
        good = tile.whole_cells[0, 0]
        parts = [
            (window, good[window.inside(Window(0, 0, 0, 0))]) for window in blocks(Window(0, 0, height, width), side)
        ]
        found += [(tile, window) for window, part in parts if bool(part.any())]
    order = torch.randperm(len(found), generator=rng).tolist()
    return [found[k] for k in order[:count]]


def pixels(image: Float[Tensor, "g K h w"], keep: Bool[Tensor, "h w"]) -> Float[Tensor, "g K n"]:
    """The pixels of a mask."""
    flat = image.flatten(2)
    return flat if bool(keep.all()) else flat[:, :, keep.flatten()]
