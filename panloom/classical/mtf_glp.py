"""MTF-GLP and MTF-GLP-HPM: generalised Laplacian pyramid with the sensor's MTF as low pass.

Published: Aiazzi et al., PE&RS 72 (2006) (MTF-GLP, additive) and (MTF-GLP-HPM, high-pass modulation), with PAN
equalised to every band by the deviation of its low-passed version (Vivone et al., IEEE TGRS 53, 2015). Ours: the
`physical` operators at the true phase, and means and deviations from the MS grid, where PAN is already seen through
the MS optics.
Ours too: the denominator of the modulation is never less than half the band's mean, so that noise in dark
places is not blown up. `form=toolbox` equals the reference toolbox.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._registry import method
from panloom.classical._statistics import EPS, Form, per_band, safe_ratio, survey, toolbox_inputs, whole
from panloom.errors import MethodError
from panloom.optics import physical
from panloom.pair import Pair, SceneLike
from panloom.types import Sensor, Traits

CITE = ("aiazzi2006", "vivone2015")

#: Share of a band's mean below which the low pass of PAN no longer grows the modulation: equalised PAN may come near 0.
FLOOR = 0.5


@dataclass(frozen=True)
class Pyramid:
    """Scene statistics of both methods: band b of PAN is gain[b] * (pan - pan_mean) + mean[b].

    Attributes:
        gain: deviation of each band over that of PAN seen through the MS optics.
        pan_mean: mean of PAN.
        mean: mean of each band.
        reach: cells that the low pass of the widest MTF looks at, there and back.
    """

    gain: tuple[float, ...]
    pan_mean: float
    mean: tuple[float, ...]
    reach: int

    @staticmethod
    def of(scene: SceneLike) -> Pyramid:
        """The statistics of a scene."""
        m = survey(scene)
        gain = m.std[1:] / m.std[0] if m.std[0] > 0 else torch.zeros_like(m.std[1:])
        grid = scene.grid
        reach = max(physical.round_trip_reach(g, grid.ratio, grid.phase) for g in ms_gains(scene.sensor))
        mean = tuple(m.mean[1:].tolist())
        return Pyramid(tuple(gain.tolist()), float(m.mean[0]), mean, reach)

    def low_pass(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """PAN as each band's optics would let it pass, back on the PAN grid."""
        gains = ms_gains(pair.sensor)
        distinct = list(dict.fromkeys(gains))
        pan = pair.pan.expand(-1, len(distinct), -1, -1)
        low = physical.degrade(pan, distinct, pair.ratio, pair.phase)
        low = physical.interpolate(low, pair.ratio, pair.phase)
        return low[:, [distinct.index(g) for g in gains]] if len(distinct) > 1 else low


def ms_gains(sensor: Sensor | None) -> list[float]:
    """The MTF gains of a sensor's bands at their Nyquist frequency.

    Raises:
        MethodError: the pair has no sensor.
    """
    if sensor is None:
        raise MethodError("mtf-glp filters with the MTF of the sensor's bands, and this pair has no sensor")
    return [band.mtf_nyquist for band in sensor.bands]


@method("mtf-glp")
@dataclass(frozen=True)
class MtfGlp:
    """Adds what PAN has above the MTF of each band. Not to be confused with mtf-glp-hpm, which multiplies.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    form: Form = "physical"
    ready: Pyramid | None = field(default=None, metadata={"option": False})
    additive: ClassVar[bool] = True

    @property
    def traits(self) -> Traits:
        """Facts for the machinery; the halo is known after `prepare`."""
        if self.form == "toolbox":
            return Traits(tiling="whole", additive=self.additive, cite=CITE)
        halo = self.ready.reach if self.ready else physical.REACH
        return Traits(halo=halo, additive=self.additive, cite=CITE)

    def prepare(self, scene: SceneLike, rng: Generator) -> MtfGlp:
        """Means and deviations of the scene."""
        return replace(self, ready=None if self.form == "toolbox" else Pyramid.of(scene))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: exp + gain * (pan - low pass of pan)."""
        if self.form == "toolbox":
            exp, equalised, low = _toolbox(pair)
            return exp + equalised - low
        ready = _ready(self.ready)
        return torch.addcmul(
            pair.exp,
            per_band(torch.tensor(ready.gain, dtype=torch.float64), pair.exp),
            pair.pan - ready.low_pass(pair),
        )


@method("mtf-glp-hpm")
@dataclass(frozen=True)
class MtfGlpHpm(MtfGlp):
    """Multiplies each band by equalised PAN over its low pass. Not to be confused with mtf-glp, which adds.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    additive: ClassVar[bool] = False

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: exp * equalised pan / low pass of equalised pan."""
        if self.form == "toolbox":
            exp, equalised, low = _toolbox(pair)
            return exp * (equalised / (low + EPS))
        ready = _ready(self.ready)
        gain = per_band(torch.tensor(ready.gain, dtype=torch.float64), pair.exp)
        level = per_band(torch.tensor(ready.mean, dtype=torch.float64), pair.exp) - gain * ready.pan_mean
        low = ready.low_pass(pair) * gain + level
        floor = FLOOR * per_band(torch.tensor(ready.mean, dtype=torch.float64), pair.exp)
        bottom = torch.maximum(low, floor)
        return pair.exp * safe_ratio((pair.pan * gain + level) - low + bottom, bottom)


def _ready(ready: Pyramid | None) -> Pyramid:
    if ready is None:
        raise MethodError("mtf-glp and mtf-glp-hpm have no statistics yet: call prepare(scene, rng) first")
    return ready


def _toolbox(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """EXP, PAN equalised to each band, and its low pass."""
    from panloom.optics import toolbox

    pan, _, exp = toolbox_inputs(pair)
    low = toolbox.correlate(pan, toolbox.generic_gaussian(pair.ratio))
    bands, smooth = whole(pan, exp), whole(low)
    gain = per_band(bands.std[1:] / smooth.std[0], exp)
    equalised = (pan - bands.mean[0]) * gain + per_band(bands.mean[1:], exp)
    gains = ms_gains(pair.sensor)
    return exp, equalised, toolbox.interp23(toolbox.degrade_ms(equalised, gains, pair.ratio), pair.ratio)
