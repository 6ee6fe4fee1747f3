"""Physics features: what PAN has above the MTF of MS, plain and in proportion to each band, and the bands."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.adapt._sample import mean_gain
from panloom.optics import physical
from panloom.pair import Pair
from panloom.types import Grid, Sensor

#: Share of the mean of PAN below which its low pass is not let as a denominator: noise in dark places is not blown up.
FLOOR = 0.5

#: All rows and columns of a tile.
EVERYWHERE = (slice(None), slice(None))


def maps(
    pair: Pair, sensor: Sensor, pan_mean: float, inside: tuple[slice, slice] = EVERYWHERE
) -> Float[Tensor, "b K H W"]:
    """h, then m of every band, then l of every band: K = 1 + 2 C maps, all in the units of the pair.

    h = PAN - EXP(D(PAN)), with D by the mean of the bands' MTF gains; m_b = h * exp_b / EXP(D(PAN)); l_b = exp_b.

    Args:
        pair: a tile.
        sensor: whose MTF.
        pan_mean: of PAN in the scene; the denominator is FLOOR of it at least.
        inside: rows and columns of the tile that are wanted.
    """
    low = physical.interpolate(
        physical.degrade(pair.pan, [mean_gain(sensor)], pair.ratio, pair.phase), pair.ratio, pair.phase
    )
    pan, low, exp = (x[(..., *inside)] for x in (pair.pan, low, pair.exp))
    h = pan - low
    if pan_mean <= 0:
        return torch.cat([h, torch.zeros_like(exp), exp], 1)
    return torch.cat([h, exp * (h / low.clamp_min(FLOOR * pan_mean)), exp], 1)


def reach(grid: Grid, sensor: Sensor) -> int:
    """MS pixels that the maps of a pixel look at beyond its own."""
    return physical.round_trip_reach(mean_gain(sensor), grid.ratio, grid.phase)
