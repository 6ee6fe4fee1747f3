"""MTF-GLP-HPM-H: MTF-GLP-HPM with the haze of PAN and of the bands taken off before the modulation.

Published: Lolli, Alparone, Garzelli and Vivone, IEEE GRSL 14 (2017). Ours: the `physical` operators at the true phase;
regression and haze values from the MS grid, where PAN is seen through the MS optics; pixels darker than the haze stay
as they are; the haze of PAN is at most the share PAN_HAZE of its mean, times the share of its variance that the bands
explain, because a regression says nothing where they do not hang together; and the denominator is never less than half
the mean of PAN without haze.
`form=toolbox` equals the reference toolbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.classical._multiresolution import FLOOR, Equalised
from panloom.classical._registry import method
from panloom.classical._statistics import EPS, per_band, survey_and_haze, toolbox_haze, toolbox_inputs
from panloom.classical.mtf_glp import MtfGlp, toolbox_low_pass
from panloom.optics import toolbox
from panloom.optics.moments import Moments, whole
from panloom.pair import Pair, SceneLike

#: The largest share of PAN's mean that is taken for haze.
PAN_HAZE = 0.8


@dataclass(frozen=True)
class Hazy(Equalised):
    """Statistics of the method; the gains are those of a pixel of mean brightness.

    Attributes:
        haze: of each band.
        pan_haze: of PAN.
    """

    haze: tuple[float, ...]
    pan_haze: float

    @staticmethod
    def clear(m: Moments, haze: Float[Tensor, " C"], reach: int) -> Hazy:
        """The haze of PAN is its regression on the bands, at the haze of these."""
        pan_mean = float(m.mean[0])
        pan_haze = min(pan_haze_of(m, haze), PAN_HAZE * _explained(m) * pan_mean)
        contrast = pan_mean - pan_haze
        gain = (m.mean[1:] - haze) / contrast if contrast > 0 else torch.zeros_like(haze)
        mean = tuple(m.mean[1:].tolist())
        return Hazy(tuple(gain.tolist()), pan_mean, mean, reach, tuple(haze.tolist()), pan_haze)


def pan_haze_of(m: Moments, haze: Float[Tensor, " C"]) -> float:
    """The regression of PAN on the bands, at their haze."""
    weights, constant = m.regression()
    return float(weights @ haze) + constant


def _explained(m: Moments) -> float:
    """Share of the variance of PAN that the bands explain."""
    variance = float(m.covariance[0, 0])
    return float(m.regression()[0] @ m.covariance[1:, 0]) / variance if variance else 0.0


@method("mtf-glp-hpm-h")
@dataclass(frozen=True)
class MtfGlpHpmH(MtfGlp):
    """Multiplies each band by PAN over its low pass, all without haze. Not to be confused with bt-h: no MTF there.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    additive: ClassVar[bool] = False
    cite: ClassVar[tuple[str, ...]] = ("lolli2017",)

    def fit(self, scene: SceneLike, reach: int) -> Hazy:
        """Regression and haze values of the scene."""
        return Hazy.clear(*survey_and_haze(scene), reach)

    def inject(self, ready: Equalised, pair: Pair) -> Float[Tensor, "b C H W"]:
        """Exp + (exp - haze) * (pan - low pass) / (low pass - haze of pan)."""
        assert isinstance(ready, Hazy)
        low = self.low_pass(pair)
        contrast = ready.pan_mean - ready.pan_haze
        if contrast <= 0:
            return pair.exp.clone()
        bottom = (low - ready.pan_haze).clamp_min(FLOOR * contrast)
        haze = per_band(ready.haze, pair.exp)
        return torch.addcmul(pair.exp, (pair.exp - haze).clamp_min(0), (pair.pan - low) / bottom)

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """The same, without floor and limits."""
        pan, _, exp = toolbox_inputs(pair)
        haze = toolbox_haze(exp)
        smooth = toolbox.correlate(pan, toolbox.generic_gaussian(pair.ratio))
        pan_haze = pan_haze_of(whole(smooth, exp), haze)
        low, bands_haze = toolbox_low_pass(pan, pair), per_band(haze, exp)
        return (exp - bands_haze) * (pan - pan_haze) / (low - pan_haze + EPS) + bands_haze
