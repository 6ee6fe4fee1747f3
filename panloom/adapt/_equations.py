"""The equations of `refit`: what every pixel of a sample says about the weights of the features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from panloom.adapt import _physics
from panloom.adapt._bridge import Bridge
from panloom.adapt._head import EVERYWHERE, taps
from panloom.adapt._ridge import Products, Roles, checkerboard
from panloom.adapt._sample import Lowered, band_gains, mean_gain
from panloom.compute import cut
from panloom.networks import Network
from panloom.optics import physical
from panloom.pair import Pair
from panloom.tiling import blocks
from panloom.types import Sensor, Window

#: MS pixels along a side of a patch of spectral equations.
PATCH = 32

#: MS pixels around a patch that features may look at; more is not worth its time.
AROUND = 12

#: Share of the mean deviation of a network's features that each counts for at least: dead ones are not blown up.
DEAD = 0.05


@dataclass(frozen=True)
class Base:
    """What is refitted: a frozen network behind its radiometric bridge, or EXP.

    Attributes:
        network: frozen; None: EXP.
        bridge: None: the network sees the scene's own values.
    """

    network: Network | None
    bridge: Bridge | None

    def features(self, pair: Pair) -> Float[Tensor, "n F Hf Wf"] | None:
        """Those of the network."""
        return None if self.network is None else self.network.features(self.seen(pair))

    def image(self, features: Float[Tensor, "n F Hf Wf"] | None, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The frozen output, in the values of the scene."""
        if self.network is None or features is None:
            return pair.exp
        return self.to_scene(self.network.head(features, self.seen(pair)))

    def to_scene(self, fused: Float[Tensor, "b C H W"]) -> Float[Tensor, "b C H W"]:
        """What the network made, in the values of the scene."""
        return fused if self.bridge is None else self.bridge.to_scene(fused)

    def seen(self, pair: Pair) -> Pair:
        """What the network sees of a pair."""
        return pair if self.bridge is None else self.bridge.to_source(pair)

    @property
    def halo(self) -> int:
        """MS pixels that features and head look at, with one more for 3 x 3 neighbours."""
        return 0 if self.network is None else self.network.traits.halo + 1

    @property
    def multiple(self) -> int:
        """MS pixels that sides must be a multiple of."""
        return 1 if self.network is None else self.network.traits.multiple


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
        std, mean = torch.std_mean(columns, 2, correction=0)
        own, rest = std[:, :learned], std[:, learned:]
        if learned:
            own = own + DEAD * own.mean(1, keepdim=True)
        scale = torch.cat([own, rest], 1)
        return Scaling(mean, torch.where(scale > 0, scale, torch.ones_like(scale)))

    def __call__(self, columns: Float[Tensor, "g K H W"]) -> Float[Tensor, "g K H W"]:
        """Columns of a tile."""
        return (columns - self.mean[:, :, None, None]) / self.scale[:, :, None, None]


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

    def physics(self, pair: Pair) -> Float[Tensor, "b P H W"]:
        """Physics features of a tile."""
        return _physics.maps(pair, self.sensor, self.pan_mean)

    def make(
        self, pair: Pair, physics: Float[Tensor, "1 P H W"], inside: tuple[slice, slice] = EVERYWHERE
    ) -> tuple[Tensor, Tensor]:
        """The columns (g, K, H, W) of a pair, and the frozen output (1, C, H, W).

        Args:
            pair: a tile.
            physics: its physics features, in the wanted part.
            inside: the wanted part.
        """
        features = self.base.features(pair)
        image = self.base.image(features, pair)
        if features is None:
            return physics, image[(..., *inside)]
        features = features.to(image.dtype)
        if len(features) > 1:
            return features[(..., *inside)], image[(..., *inside)]
        return torch.cat([taps(features, image.shape[-2], image.shape[-1], inside), physics], 1), image[(..., *inside)]

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


def wald_folds(made: Sequence[tuple[Lowered, Tensor, Tensor]], scaling: Scaling) -> tuple[Products, Products]:
    """The equations of tiles that were degraded once more, in two sets that lie side by side."""
    folds: list[Products] = []
    for first in (True, False):
        parts: list[Products] = []
        for low, columns, image in made:
            keep = low.pair.valid[0, 0] & (checkerboard(*image.shape[-2:]).to(image.device) == first)
            parts.append(_products(scaling(columns), low.truth - image, keep))
        folds.append(sum(parts[1:], parts[0]))
    return folds[0], folds[1]


def spectral(columns: Columns, tile: Pair, window: Window, scaling: Scaling) -> Products:
    """The equations of a patch: the fused image seen through the MTF is the MS.

    Maps of all bands go through the mean of the bands' MTF, the residual and what belongs to a band through its own.
    """
    ratio, gains, step = tile.ratio, band_gains(columns.sensor), columns.base.multiple
    rows, cols = (n - n % step for n in tile.ms.shape[-2:])
    reach = physical.reduce_margin(min(gains), ratio)
    seen = window.grown(reach).clipped(rows, cols)
    # At the border of a tile D repeats its edge, as it does at that of a scene.
    margin = reach if seen == window.grown(reach) else 0
    around = window.grown(-(-(reach + min(columns.base.halo, AROUND)) // step) * step).clipped(rows, cols)
    # The low pass of PAN reaches further than features do.
    wide = around.grown(PATCH // 2).clipped(rows, cols)
    physics = columns.physics(cut(tile, wide))[(..., *_fine(seen, wide, ratio))]
    made, image = columns.make(cut(tile, around), physics, _fine(seen, around, ratio))
    core = EVERYWHERE if margin else window.inside(seen)
    return seen_through(columns, made, image, cut(tile, window), scaling, margin=margin, core=core)


def seen_through(
    columns: Columns,
    made: Float[Tensor, "g K H W"],
    image: Float[Tensor, "1 C H W"],
    cells: Pair,
    scaling: Scaling,
    *,
    margin: int = 0,
    core: tuple[slice, slice] = EVERYWHERE,
) -> Products:
    """Columns and a frozen output brought to the MS grid, and the equations that they give.

    Args:
        columns: how they were made.
        made: the columns.
        image: the frozen output.
        cells: the pair whose MS is to be explained.
        scaling: of the columns.
        margin: MS pixels at each border that are only looked at.
        core: of what is then left, the MS pixels of `cells`.
    """
    gains, apart = band_gains(columns.sensor), len(made) > 1
    own = gains if apart else [mean_gain(columns.sensor)]
    made = made.transpose(0, 1) if apart else made
    made, image = (
        physical.degrade(x, g, cells.ratio, cells.phase, margin)[(..., *core)] for x, g in ((made, own), (image, gains))
    )
    made = made.transpose(0, 1) if apart else made
    # D keeps constants, so what is scaled behind it is the same in a small part of the time.
    return _products(scaling(made), cells.ms - image, cells.whole_cells[0, 0])


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


def _products(
    columns: Float[Tensor, "g K h w"], residual: Float[Tensor, "1 C h w"], keep: Bool[Tensor, "h w"]
) -> Products:
    """Sums over the pixels that are kept."""
    made, left = columns[:, :, keep], residual[:, :, keep]
    left = left if len(made) == 1 else left.transpose(0, 1)
    return Products.of(torch.cat([made, torch.ones_like(made[:, :1]), left], 1))
