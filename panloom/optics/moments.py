"""First and second moments of a scene on the MS grid, merged over blocks without loss of precision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.errors import SceneError
from panloom.pair import Reduced, SceneLike

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

    def deviation(self, weights: Float[Tensor, " C"]) -> Float[Tensor, ""]:
        """Standard deviation of a weighted sum of the bands."""
        return (weights @ self.covariance[1:, 1:] @ weights).clamp_min(0).sqrt()

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
    return some(reduce(Moments.merge, map(Moments.of, scene.survey())))


def whole(*images: Float[Tensor, "1 _ H W"]) -> Moments:
    """Moments of whole images over all pixels, as the toolbox takes them."""
    values = torch.cat(images, 1)
    valid = torch.ones_like(values[:, :1], dtype=torch.bool)
    return Moments.of(Reduced(values[:, :1], values[:, 1:], valid))


def some(moments: Moments) -> Moments:
    """The moments, if there are any.

    Raises:
        SceneError: no pixel is valid in PAN and in every band.
    """
    if not moments.count:
        raise SceneError("no pixel is valid in PAN and in all bands: there is nothing to take statistics from")
    return moments
