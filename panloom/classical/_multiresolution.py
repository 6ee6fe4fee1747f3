"""The frame that multiresolution methods share: PAN less its low pass is what the bands lack."""

from __future__ import annotations

import math
from abc import ABCMeta, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._statistics import Form, per_band, prepared, safe_ratio
from panloom.optics.moments import Moments, survey, whole
from panloom.pair import Pair, SceneLike
from panloom.types import Grid, Sensor, Traits

#: Share of its mean below which a denominator is not let: noise in dark places would be blown up.
FLOOR = 0.5


@dataclass(frozen=True)
class Equalised:
    """PAN in the range of each band: band b of it is gain[b] * (pan - pan_mean) + mean[b].

    Attributes:
        gain: of each band.
        pan_mean: mean of PAN.
        mean: mean of each band.
        reach: cells that the low pass looks at beyond a pixel's own.
    """

    gain: tuple[float, ...]
    pan_mean: float
    mean: tuple[float, ...]
    reach: int

    @staticmethod
    def of(m: Moments, gain: Float[Tensor, " C"], reach: int) -> Equalised:
        """With the means of `m`."""
        return Equalised(tuple(gain.tolist()), float(m.mean[0]), tuple(m.mean[1:].tolist()), reach)

    def add(self, pair: Pair, low: Float[Tensor, "b c H W"]) -> Float[Tensor, "b C H W"]:
        """Every band and what equalised PAN has above its low pass."""
        return torch.addcmul(pair.exp, per_band(self.gain, pair.exp), pair.pan - low)

    def modulate(self, pair: Pair, low: Float[Tensor, "b c H W"]) -> Float[Tensor, "b C H W"]:
        """Every band times equalised PAN over its low pass."""
        gain, mean = per_band(self.gain, pair.exp), per_band(self.mean, pair.exp)
        return modulate(pair.exp, (pair.pan - low) * gain, (low - self.pan_mean) * gain + mean, FLOOR * mean)


def modulate(image: Tensor, detail: Tensor, low: Tensor, floor: Tensor | float) -> Tensor:
    """Image * (detail + low) / low, with a low pass that is never less than `floor` (see FLOOR)."""
    bottom = torch.clamp(low, min=floor)
    return image * safe_ratio(detail + bottom, bottom)


def deviation_gain(m: Moments) -> Float[Tensor, " C"]:
    """Deviation of each band over that of PAN; zero where PAN is constant."""
    return m.std[1:] / m.std[0] if m.std[0] > 0 else torch.zeros_like(m.std[1:])


def regression_gain(m: Moments) -> Float[Tensor, " C"]:
    """Slope of the regression of each band on PAN; zero where PAN is constant."""
    covariance = m.covariance[0]
    return covariance[1:] / covariance[0] if covariance[0] > 0 else torch.zeros_like(covariance[1:])


def equalise(
    pan: Float[Tensor, "1 1 H W"], exp: Float[Tensor, "1 C H W"], like: Float[Tensor, "1 1 H W"]
) -> Float[Tensor, "1 C H W"]:
    """PAN with mean and deviation of each band, as the toolbox does it: its own deviation is that of `like`."""
    m, smooth = whole(pan, exp), whole(like)
    return (pan - m.mean[0]) * per_band(m.std[1:] / smooth.std[0], exp) + per_band(m.mean[1:], exp)


def bilinear(x: Float[Tensor, "b C h w"], ratio: int, phase: tuple[float, float]) -> Float[Tensor, "b C H W"]:
    """`x` on the PAN grid, linear between the samples at their true phase; replicated borders."""
    for axis, p in ((3, phase[1]), (2, phase[0])):
        own = torch.arange(x.shape[axis], device=x.device)
        parts = []
        # Pixel k of every cell lies equally far between the same two samples.
        for k in range(ratio):
            below = math.floor((k - p) / ratio)
            near, far = (x.index_select(axis, (own + below + j).clamp(0, len(own) - 1)) for j in (0, 1))
            parts.append(torch.lerp(near, far, (k - p) / ratio - below))
        x = torch.stack(parts, axis + 1).flatten(axis, axis + 1)
    return x


def bilinear_span(ratio: int, phase: float) -> tuple[int, int]:
    """First and last sample, counted from its own, that the pixels of a cell look at in `bilinear`; one axis."""
    return -int(phase > 0), int(phase < ratio - 1)


@dataclass(frozen=True)
class Multiresolution(metaclass=ABCMeta):
    """A method that injects PAN less its low pass: a subclass says which low pass, and how it is injected.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
        usual_reach: `reach` at ratio 4 and an MTF gain of 0.3, said as long as no scene is known.
    """

    form: Form = "physical"
    ready: Equalised | None = field(default=None, metadata={"option": False})
    additive: ClassVar[bool] = True
    cite: ClassVar[tuple[str, ...]] = ()
    usual_reach: ClassVar[int] = 8

    @abstractmethod
    def reach(self, grid: Grid, sensor: Sensor) -> int:
        """Cells that the low pass looks at beyond a pixel's own."""

    @abstractmethod
    def low_pass(self, pair: Pair) -> Float[Tensor, "b c H W"]:
        """PAN without its details, one for all bands or one each."""

    @abstractmethod
    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """The fused scene in the toolbox form."""

    def fit(self, scene: SceneLike, reach: int) -> Equalised:
        """The statistics of a scene: PAN equalised by the deviations on the MS grid."""
        m = survey(scene)
        return Equalised.of(m, deviation_gain(m), reach)

    def inject(self, ready: Equalised, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile in the physical form."""
        return ready.add(pair, self.low_pass(pair))

    @property
    def traits(self) -> Traits:
        """Facts for the machinery; the halo is known after `prepare`."""
        if self.form == "toolbox":
            return Traits(tiling="whole", additive=self.additive, cite=self.cite)
        halo = self.ready.reach if self.ready else self.usual_reach
        return Traits(halo=halo, additive=self.additive, cite=self.cite)

    def prepare(self, scene: SceneLike, rng: Generator) -> Multiresolution:
        """Statistics of the scene on the MS grid, where PAN is seen through the MS optics."""
        if self.form == "toolbox":
            return replace(self, ready=None)
        return replace(self, ready=self.fit(scene, self.reach(scene.grid, scene.sensor)))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        return self.toolbox(pair) if self.form == "toolbox" else self.inject(prepared(self.ready), pair)
