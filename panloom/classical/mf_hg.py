"""MF-HG: contrast modulation with the low pass of a morphological pyramid of half gradients.

Published: Restaino, Vivone, Dalla Mura and Chanussot, IEEE TIP 25 (2016): at every level the mean of dilation and
erosion with a cross of 3 x 3 pixels, decimated by 2; the low pass is interpolated bilinearly. Ours: the levels are not
decimated but their crosses spread by 1, 2, 4, ... pixels, which is the pyramid at all phases at once; it is sampled
where the MS samples truly lie (linearly between two pixels) and interpolated from there. There are log2(ratio) levels,
rounded to the next whole number, at any ratio. PAN is equalised by its deviation on the MS grid, and the denominator
is never less than half the band's mean. `form=toolbox` decimates at the toolbox's phases and equalises with the
deviation of the full PAN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.classical._multiresolution import Equalised, Multiresolution, bilinear, bilinear_span, equalise
from panloom.classical._registry import method
from panloom.classical._statistics import EPS, toolbox_inputs
from panloom.optics import physical, toolbox
from panloom.pair import Pair
from panloom.types import Grid, Sensor


def half_gradient(x: Float[Tensor, "b c H W"], spread: int = 1) -> Float[Tensor, "b c H W"]:
    """Mean of dilation and erosion with the cross of a pixel and its four neighbours at distance `spread`.

    Neighbours outside the image are taken from its edge.
    """
    height, width = x.shape[-2:]
    tall = physical.replicate(x, spread, spread, 0, 0)
    wide = physical.replicate(x, 0, 0, spread, spread)
    neighbours = [
        tall[..., :height, :],
        tall[..., 2 * spread :, :],
        wide[..., :width],
        wide[..., 2 * spread :],
    ]
    top = bottom = x
    for other in neighbours:
        top, bottom = torch.maximum(top, other), torch.minimum(bottom, other)
    return torch.lerp(bottom, top, 0.5)


def _spreads(ratio: int) -> list[int]:
    """Distances of the crosses of all levels."""
    return [2**level for level in range(round(math.log2(ratio)))]


def _sampled(x: Tensor, ratio: int, phase: tuple[float, float]) -> Tensor:
    """`x` at the positions of the MS samples, linear between pixels; replicated borders."""
    for axis, p in ((-2, phase[0]), (-1, phase[1])):
        last = x.shape[axis] - 1
        first = torch.arange(0, last + 1, ratio, device=x.device) + math.floor(p)
        near, far = (x.index_select(axis, (first + k).clamp(0, last)) for k in (0, 1))
        x = torch.lerp(near, far, p - math.floor(p))
    return x


@method("mf-hg")
@dataclass(frozen=True)
class MfHg(Multiresolution):
    """Multiplies by equalised PAN over its morphological low pass. Not to be confused with mtf-glp-hpm: no MTF enters.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    additive: ClassVar[bool] = False
    cite: ClassVar[tuple[str, ...]] = ("restaino2016",)
    usual_reach: ClassVar[int] = 2

    def reach(self, grid: Grid, sensor: Sensor) -> int:
        """That of the crosses around the samples that a pixel is interpolated from."""
        ratio, crosses, reach = grid.ratio, sum(_spreads(grid.ratio)), 0
        for p in grid.phase:
            first, last = bilinear_span(ratio, p)
            top = ratio * first + math.floor(p) - crosses
            bottom = ratio * last + math.ceil(p) + crosses
            reach = max(reach, -(top // ratio), bottom // ratio)
        return reach

    def low_pass(self, pair: Pair) -> Float[Tensor, "b 1 H W"]:
        """The half-gradient pyramid of PAN."""
        low = pair.pan
        for spread in _spreads(pair.ratio):
            low = half_gradient(low, spread)
        return bilinear(_sampled(low, pair.ratio, pair.phase), pair.ratio, pair.phase)

    def inject(self, ready: Equalised, pair: Pair) -> Float[Tensor, "b C H W"]:
        """Exp * equalised pan / its low pass."""
        return ready.modulate(pair, self.low_pass(pair))

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """The same, without the floor of the denominator."""
        pan, _, exp = toolbox_inputs(pair)
        equalised = low = equalise(pan, exp, pan)
        levels = toolbox.wavelet_levels(pair.ratio)
        for level in range(levels):
            first = int(level == 0)
            low = half_gradient(low)[..., first::2, first::2]
        for _ in range(levels):
            low = toolbox.imresize(low, 2, "bilinear")
        return exp * (equalised / (low + EPS))
