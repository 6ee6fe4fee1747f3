"""MTF-GLP and its variants: generalised Laplacian pyramid with the sensor's MTF as low pass.

Published: Aiazzi et al., PE&RS 72 (2006) (MTF-GLP, additive) and (MTF-GLP-HPM, high-pass modulation), with PAN
equalised to every band by the deviation of its low-passed version (Vivone et al., IEEE TGRS 53, 2015); with the slope
of a regression for gain: Vivone, Restaino and Chanussot, IEEE TIP 27 (2018) (MTF-GLP-FS, full scale) and IEEE TGRS 56
(2018) (MTF-GLP-HPM-R). Ours: the `physical` operators at the true phase, and all statistics from the MS grid, where PAN
is already seen through the MS optics; the regression of mtf-glp-fs, published with full-scale PAN on one side of both
covariances, is there that of the band on the reduced PAN.
Ours too: the denominator of the modulation is never less than half the band's mean, so that noise in dark
places is not blown up. `form=toolbox` equals the reference toolbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from panloom.classical._multiresolution import (
    Equalised,
    Multiresolution,
    deviation_gain,
    equalise,
    regression_gain,
)
from panloom.classical._registry import method
from panloom.classical._statistics import EPS, per_band, toolbox_inputs
from panloom.errors import MethodError
from panloom.optics import physical, toolbox
from panloom.optics.moments import Moments, survey, whole
from panloom.pair import Pair, SceneLike
from panloom.types import Grid, Sensor


def ms_gains(sensor: Sensor | None) -> list[float]:
    """The MTF gains of a sensor's bands at their Nyquist frequency.

    Raises:
        MethodError: the pair has no sensor.
    """
    if sensor is None:
        raise MethodError("mtf-glp filters with the MTF of the sensor's bands, and this pair has no sensor")
    return [band.mtf_nyquist for band in sensor.bands]


def low_pass(pair: Pair) -> Float[Tensor, "b c H W"]:
    """PAN as each band's optics would let it pass, back on the PAN grid; one for all bands of one MTF."""
    return spread(physical.interpolate(reduced(pair), pair.ratio, pair.phase), ms_gains(pair.sensor))


def reduced(pair: Pair) -> Float[Tensor, "b c h w"]:
    """PAN on the MS grid, once for each MTF gain, in the order of their first bands."""
    gains = list(dict.fromkeys(ms_gains(pair.sensor)))
    return physical.degrade(pair.pan.expand(-1, len(gains), -1, -1), gains, pair.ratio, pair.phase)


def spread(images: Float[Tensor, "b c h w"], gains: list[float]) -> Float[Tensor, "b C h w"]:
    """The image of each band out of those of `reduced`; left alone if there is only one."""
    distinct = list(dict.fromkeys(gains))
    return images[:, [distinct.index(g) for g in gains]] if len(distinct) > 1 else images


def toolbox_low_pass(pan: Float[Tensor, "1 c H W"], pair: Pair) -> Float[Tensor, "1 C H W"]:
    """`low_pass` with the operators of the toolbox, of PAN or of PAN equalised to each band."""
    gains = ms_gains(pair.sensor)
    pan = pan.expand(-1, len(gains), -1, -1)
    return toolbox.interp23(toolbox.degrade_ms(pan, gains, pair.ratio), pair.ratio)


@method("mtf-glp")
@dataclass(frozen=True)
class MtfGlp(Multiresolution):
    """Adds what PAN has above the MTF of each band. Not to be confused with mtf-glp-hpm, which multiplies.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("aiazzi2006", "vivone2015")

    def gain(self, m: Moments) -> Float[Tensor, " C"]:
        """The gain of each band: the ratio of deviations."""
        return deviation_gain(m)

    def reach(self, grid: Grid, sensor: Sensor) -> int:
        """That of the widest MTF, there and back."""
        return max(physical.round_trip_reach(g, grid.ratio, grid.phase) for g in ms_gains(sensor))

    def low_pass(self, pair: Pair) -> Float[Tensor, "b c H W"]:
        """PAN as each band's optics would let it pass."""
        return low_pass(pair)

    def fit(self, scene: SceneLike, reach: int) -> Equalised:
        """Means and gains of the scene."""
        m = survey(scene)
        return Equalised.of(m, self.gain(m), reach)

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """Exp + equalised pan - its low pass."""
        exp, equalised, low = _equalised(pair)
        return exp + equalised - low


@method("mtf-glp-hpm")
@dataclass(frozen=True)
class MtfGlpHpm(MtfGlp):
    """Multiplies each band by equalised PAN over its low pass. Not to be confused with mtf-glp, which adds.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    additive: ClassVar[bool] = False

    def inject(self, ready: Equalised, pair: Pair) -> Float[Tensor, "b C H W"]:
        """Exp * equalised pan / low pass of equalised pan."""
        return ready.modulate(pair, self.low_pass(pair))

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """The same, without the floor of the denominator."""
        exp, equalised, low = _equalised(pair)
        return exp * (equalised / (low + EPS))


@method("mtf-glp-fs")
@dataclass(frozen=True)
class MtfGlpFs(MtfGlp):
    """MTF-GLP whose gains are regressions. Not to be confused with mtf-glp-hpm-r, which multiplies.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("vivone2018fs",)

    def gain(self, m: Moments) -> Float[Tensor, " C"]:
        """The slope of the band's regression on PAN."""
        return regression_gain(m)

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """Exp + cov(exp, pan) / cov(low pass, pan) * (pan - low pass)."""
        pan, _, exp = toolbox_inputs(pair)
        low = toolbox_low_pass(pan, pair)
        with_pan = whole(pan, exp, low).covariance[0, 1:]
        return exp + per_band(with_pan[: exp.shape[1]] / with_pan[exp.shape[1] :], exp) * (pan - low)


@method("mtf-glp-hpm-r")
@dataclass(frozen=True)
class MtfGlpHpmR(MtfGlp):
    """MTF-GLP-HPM with PAN equalised by regression. Not to be confused with mtf-glp-fs, which adds.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    additive: ClassVar[bool] = False
    cite: ClassVar[tuple[str, ...]] = ("vivone2018hpm",)

    def gain(self, m: Moments) -> Float[Tensor, " C"]:
        """The slope of the band's regression on PAN."""
        return regression_gain(m)

    def inject(self, ready: Equalised, pair: Pair) -> Float[Tensor, "b C H W"]:
        """Exp * equalised pan / low pass of equalised pan."""
        return ready.modulate(pair, self.low_pass(pair))

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """Exp * (pan + c) / (low pass + c) with the constant c of the regression over its slope."""
        pan, _, exp = toolbox_inputs(pair)
        low, bands = toolbox_low_pass(pan, pair), exp.shape[1]
        m = whole(pan, exp, low)
        variance, between = m.covariance[1:, 1:].diagonal()[bands:], m.covariance[1:, 1:].diagonal(bands)
        # The mean is that of PAN, not of the low pass.
        constant = per_band(m.mean[1 : bands + 1] * variance / between - m.mean[0], exp)
        return exp * ((pan + constant) / (low + constant + EPS))


def _equalised(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """EXP, PAN equalised to each band, and its low pass."""
    pan, _, exp = toolbox_inputs(pair)
    equalised = equalise(pan, exp, toolbox.correlate(pan, toolbox.generic_gaussian(pair.ratio)))
    return exp, equalised, toolbox_low_pass(equalised, pair)
