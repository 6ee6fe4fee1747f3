"""ATWT: the undecimated ("a trous") wavelet: adds the wavelet planes of PAN that the bands lack.

Published: Nunez et al., IEEE TGRS 37 (1999), with PAN equalised to every band (Vivone et al., IEEE TGRS 53, 2015), and
the models 2 and 3 of Ranchin and Wald, PE&RS 66 (2000), which scale the planes by what the next coarser planes of bands
and PAN have in common: model 2 by their deviations, model 3 by their regression.
Ours: the low pass of any ratio is the box of `ratio` pixels convolved four times with itself, which is the cascade of
dilated B3 splines where the ratio is a power of two, and the cubic B-spline of that scale for all others. The planes
that the models compare are those of the MS grid, with PAN seen through the MS optics and missing pixels left out.
Ours too: model 3 takes the root of the correlation beside the ratio of deviations, which does not depend on units.
`form=toolbox` equals the reference toolbox: filters that are never dilated; gains of one level, for each direction,
also on its finer levels; and in model 3 the root of the regression's slope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from panloom.classical._multiresolution import Equalised, Multiresolution, equalise
from panloom.classical._registry import method
from panloom.classical._statistics import per_band, toolbox_inputs
from panloom.optics import physical, toolbox
from panloom.optics.moments import ROUNDING, Moments, survey, whole
from panloom.pair import Pair, Reduced, SceneLike
from panloom.types import Grid, Sensor


@lru_cache(maxsize=16)
def _spline(ratio: int) -> tuple[float, ...]:
    """Taps of the low pass of a ratio, 4 * ratio - 3 of them."""
    taps, box = torch.ones(1, dtype=torch.float64), torch.full((ratio,), 1 / ratio, dtype=torch.float64)
    for _ in range(4):
        taps = functional.conv1d(taps[None, None], box[None, None], padding=ratio - 1)[0, 0]
    return tuple(taps.tolist())


def spline_low_pass(x: Float[Tensor, "b c H W"], ratio: int) -> Float[Tensor, "b c H W"]:
    """The approximation that is `ratio` times coarser; replicated borders."""
    margin = 2 * (ratio - 1)
    x = physical.replicate(x, margin, margin, margin, margin)
    return toolbox.slide(toolbox.slide(x, _spline(ratio), -2), _spline(ratio), -1)


def spline_reach(ratio: int) -> int:
    """Cells that `spline_low_pass` looks at beyond a pixel's own."""
    return -(-2 * (ratio - 1) // ratio)


@method("atwt")
@dataclass(frozen=True)
class Atwt(Multiresolution):
    """Adds the wavelet planes of equalised PAN. Not to be confused with awlp, which shares them out by the bands.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("nunez1999", "vivone2015")
    usual_reach: ClassVar[int] = 2

    def reach(self, grid: Grid, sensor: Sensor) -> int:
        """That of the spline."""
        return spline_reach(grid.ratio)

    def low_pass(self, pair: Pair) -> Float[Tensor, "b 1 H W"]:
        """The spline approximation of PAN."""
        return spline_low_pass(pair.pan, pair.ratio)

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """Exp + equalised pan - its approximation."""
        pan, _, exp = toolbox_inputs(pair)
        equalised = equalise(pan, exp, pan)
        return exp + equalised - toolbox.atrous(equalised, pair.ratio)


@method("atwt-m2")
@dataclass(frozen=True)
class AtwtM2(Atwt):
    """ATWT with the planes scaled by the ratio of deviations of the next planes. Not to be confused with atwt-m3.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("ranchin2000",)

    def fit(self, scene: SceneLike, reach: int) -> Equalised:
        """Gains from the planes of the MS grid."""
        return _fit(scene, reach, _deviations)

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """The scaled planes of PAN put in place of those of EXP."""
        return _toolbox(pair, _deviations)


@method("atwt-m3")
@dataclass(frozen=True)
class AtwtM3(Atwt):
    """ATWT with the planes scaled also by the correlation of the next planes. Not to be confused with atwt-m2.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("ranchin2000",)

    def fit(self, scene: SceneLike, reach: int) -> Equalised:
        """Gains from the planes of the MS grid."""
        return _fit(scene, reach, _correlated)

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """The scaled planes of PAN put in place of those of EXP."""
        return _toolbox(pair, _root)


#: Gain of each band from the moments of its plane and that of PAN.
Slope = Callable[[Moments], Tensor]


def _deviations(m: Moments) -> Float[Tensor, " C"]:
    return m.std[1:] / m.std[0]


def _correlated(m: Moments) -> Float[Tensor, " C"]:
    """The ratio of deviations times the root of the correlation; zero where that is negative."""
    return (m.covariance[0, 1:].clamp_min(0) * m.std[1:] / m.std[0]).sqrt() / m.std[0]


def _root(m: Moments) -> Float[Tensor, " C"]:
    """The root of the regression's slope; zero where that is negative."""
    return (m.covariance[0, 1:] / m.covariance[0, 0]).clamp_min(0).sqrt()


def _fit(scene: SceneLike, reach: int, slope: Slope) -> Equalised:
    m, planes = survey(scene), reduce(Moments.merge, map(Moments.of, _planes(scene)))
    # A plane that is only rounding has no slope.
    varies = planes.std > ROUNDING * m.std
    return Equalised.of(m, torch.where(varies[0] & varies[1:], slope(planes), 0.0), reach)


def _toolbox(pair: Pair, slope: Slope) -> Tensor:
    """The planes of PAN in place of those of EXP, scaled and shifted as one level further down asks for."""
    pan, _, exp = toolbox_inputs(pair)
    levels = toolbox.wavelet_levels(pair.ratio)
    low, _ = toolbox.wavelet_planes(exp, levels)
    _, below = toolbox.wavelet_planes(exp, levels + 1)
    _, details = toolbox.wavelet_planes(pan, levels + 1)
    lines = [_line(p, e, slope) for p, e in zip(details[-1], below[-1], strict=True)]
    scaled = []
    for level, planes in enumerate(details[:-1]):
        # The toolbox's filters have a gain of 2 per level, so its constants count double one level up.
        doubled = 2 ** (levels - level)
        scaled.append(tuple(a * p + b * doubled for p, (a, b) in zip(planes, lines, strict=True)))
    return toolbox.wavelet_image(low, scaled)


def _line(pan: Tensor, exp: Tensor, slope: Slope) -> tuple[Tensor, Tensor]:
    """Gain and constant of each band's plane."""
    m = whole(pan, exp)
    gain = slope(m)
    return per_band(gain, exp), per_band(m.mean[1:] - gain * m.mean[0], exp)


def _planes(scene: SceneLike) -> Iterator[Reduced]:
    """What the spline of ratio 2 takes away from each block on the MS grid; float64."""
    for block in scene.survey():
        share = _smooth(block.valid.double()).clamp_min(ROUNDING)
        images = (torch.where(block.valid, x.double(), 0.0) for x in (block.pan, block.ms))
        pan, ms = (x - _smooth(x) / share for x in images)
        yield Reduced(pan, ms, block.valid)


def _smooth(x: Tensor) -> Tensor:
    """The spline of ratio 2 with zeros around."""
    return toolbox.slide(toolbox.slide(functional.pad(x, (2, 2, 2, 2)), _spline(2), -2), _spline(2), -1)
