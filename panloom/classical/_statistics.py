"""Statistics that classical methods take from a scene, merged over blocks without loss of precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.errors import MethodError, SceneError
from panloom.pair import Pair, Reduced, SceneLike

#: `physical`: the product, on real grids; `toolbox`: equal to the reference toolbox, whole images at phase r // 2.
Form = Literal["physical", "toolbox"]

#: Relative deviation below which an image counts as constant: a regression on rounding noise has weights without bound.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Moments:
    """Count, means and centred second moments of the vector (PAN, band 1, ..., band C), in float64."""

    count: int
    mean: Float[Tensor, " n"]
    comoment: Float[Tensor, "n n"]

    @staticmethod
    def of(block: Reduced) -> Moments:
        """The moments of a block's valid pixels."""
        keep = block.valid.flatten()
        values = torch.cat([block.pan, block.ms], 1).transpose(0, 1).flatten(1)[:, keep].double()
        count = values.shape[1]
        mean = values.sum(1) / max(count, 1)
        centred = values - mean[:, None]
        return Moments(count, mean, centred @ centred.T)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets (Chan, Golub and LeVeque 1983, pairwise update)."""
        count = self.count + other.count
        if not other.count:
            return self
        step = other.mean - self.mean
        weight = self.count * other.count / count
        return Moments(
            count,
            self.mean + step * (other.count / count),
            self.comoment + other.comoment + torch.outer(step, step) * weight,
        )

    @property
    def covariance(self) -> Float[Tensor, "n n"]:
        """Sample covariance (N - 1); zero for images that are constant up to the rounding of single precision."""
        varies = self.comoment.diagonal() > self.count * (ROUNDING * self.mean) ** 2
        return self.comoment * torch.outer(varies, varies) / max(self.count - 1, 1)

    @property
    def std(self) -> Float[Tensor, " n"]:
        """Sample standard deviations (N - 1)."""
        return self.covariance.diagonal().clamp_min(0).sqrt()

    def regression(self) -> tuple[Float[Tensor, " C"], float]:
        """Weights and constant of the least-squares fit of PAN by the bands; minimum norm where bands are dependent."""
        covariance = self.covariance
        weights = torch.linalg.pinv(covariance[1:, 1:], hermitian=True, rtol=1e-10) @ covariance[1:, 0]
        return weights, float(self.mean[0] - weights @ self.mean[1:])

    def proportional(self) -> Float[Tensor, " C"]:
        """Weights of the least-squares fit of PAN by the bands without a constant."""
        raw = self.comoment + self.count * torch.outer(self.mean, self.mean)
        return torch.linalg.pinv(raw[1:, 1:], hermitian=True, rtol=1e-10) @ raw[1:, 0]


def survey(scene: SceneLike) -> Moments:
    """Moments of the scene on the MS grid: MS beside PAN seen through the MS optics.

    Raises:
        SceneError: no pixel is valid in PAN and in every band.
    """
    size = len(scene.sensor.bands) + 1
    zero = torch.zeros(size, dtype=torch.float64)
    total = Moments(0, zero, torch.outer(zero, zero))
    for block in scene.survey():
        total = total.merge(Moments.of(block))
    if not total.count:
        raise SceneError("no pixel is valid in PAN and in all bands: there is nothing to take statistics from")
    return total


def whole(*images: Float[Tensor, "1 _ H W"]) -> Moments:
    """Moments of whole images over all pixels, as the toolbox takes them."""
    values = torch.cat(images, 1)
    valid = torch.ones_like(values[:, :1], dtype=torch.bool)
    return Moments.of(Reduced(values[:, :1], values[:, 1:], valid))


def per_band(values: Tensor, like: Tensor) -> Float[Tensor, "1 C 1 1"]:
    """One number per band, shaped to broadcast over images of `like`."""
    return values.to(like).view(1, -1, 1, 1)


def safe_ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """Top / bottom, and 1 where the denominator is not positive: a ratio method then leaves the pixel as it is."""
    return torch.where(bottom > 0, top / bottom, torch.ones_like(bottom))


def toolbox_inputs(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """PAN, MS and the toolbox's EXP of a whole scene.

    Raises:
        MethodError: the scene's phase is not the toolbox's r // 2, so the result would be shifted.
    """
    from panloom.optics import toolbox

    centre = pair.ratio // 2
    if pair.phase != (centre, centre):
        raise MethodError(
            f"form=toolbox supposes MS samples at PAN phase {centre} but this scene has "
            f"({pair.phase[0]:g}, {pair.phase[1]:g}); use form=physical for real files"
        )
    return pair.pan, pair.ms, toolbox.interp23(pair.ms, pair.ratio)


#: Added to denominators by the toolbox: the spacing of doubles at 1.
EPS = torch.finfo(torch.float64).eps
