"""AWLP: the wavelet planes of PAN, shared out among the bands in proportion to their brightness.

Published: Otazu, Gonzalez-Audicana, Fors and Nunez, IEEE TGRS 43 (2005): PAN equalised to the intensity, the mean of
the bands; every band takes the planes times band over intensity. Ours: the low pass of atwt for any ratio, statistics
on the MS grid with PAN seen through the MS optics, and a denominator that is never less than half the mean intensity.
`form=toolbox` equalises PAN to every band instead, with the deviation of its bicubic low pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.classical._injection import mean_weights
from panloom.classical._multiresolution import FLOOR, Equalised, Multiresolution, equalise, modulate
from panloom.classical._registry import method
from panloom.classical._statistics import EPS, toolbox_inputs
from panloom.classical.atwt import spline_low_pass, spline_reach
from panloom.optics import toolbox
from panloom.optics.moments import survey
from panloom.pair import Pair, SceneLike
from panloom.types import Grid, Sensor


@method("awlp")
@dataclass(frozen=True)
class Awlp(Multiresolution):
    """Additive wavelet, luminance proportional. Not to be confused with atwt, whose bands do not share the planes.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    additive: ClassVar[bool] = False
    cite: ClassVar[tuple[str, ...]] = ("otazu2005",)
    usual_reach: ClassVar[int] = 2

    def reach(self, grid: Grid, sensor: Sensor) -> int:
        """That of the spline."""
        return spline_reach(grid.ratio)

    def low_pass(self, pair: Pair) -> Float[Tensor, "b 1 H W"]:
        """The spline approximation of PAN."""
        return spline_low_pass(pair.pan, pair.ratio)

    def fit(self, scene: SceneLike, reach: int) -> Equalised:
        """One gain for all bands: the deviation of the intensity over that of PAN."""
        m = survey(scene)
        weights = mean_weights(m)
        deviation = m.deviation(weights)
        gain = deviation / m.std[0] if m.std[0] > 0 else torch.zeros_like(deviation)
        return Equalised.of(m, gain.expand(len(weights)), reach)

    def inject(self, ready: Equalised, pair: Pair) -> Float[Tensor, "b C H W"]:
        """Exp + exp / intensity * gain * (pan - low pass)."""
        detail = ready.gain[0] * (pair.pan - self.low_pass(pair))
        floor = FLOOR * sum(ready.mean) / len(ready.mean)
        return modulate(pair.exp, detail, pair.exp.mean(1, keepdim=True), floor)

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """The same with PAN equalised to every band."""
        pan, _, exp = toolbox_inputs(pair)
        reduced = toolbox.imresize(pan, 1 / pair.ratio, "bicubic")
        equalised = equalise(pan, exp, toolbox.imresize(reduced, pair.ratio, "bicubic"))
        detail = equalised - toolbox.atrous(equalised, pair.ratio)
        return exp + detail * exp / (exp.mean(1, keepdim=True) + EPS)
