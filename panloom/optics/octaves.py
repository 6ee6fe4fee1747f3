"""The finest octave of images: how much of their detail lies there, and what of it each band has for itself."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from panloom.optics.physical import replicate
from panloom.pair import Reduced

#: Share of the variance below which an octave is empty.
EMPTY = 1e-9


def finest_octave(detail: Float[Tensor, "b 1 H W"], valid: Bool[Tensor, "b 1 H W"]) -> tuple[float, float]:
    """Sums of squares of the finest octave of a detail, and of all of it.

    The finest octave is what lies above means of 2 x 2 pixels. Only such squares count as are valid in whole; a last
    odd row or column is left out.

    Args:
        detail: an image less its low pass, any units.
        valid: its valid pixels.
    """
    height, width = (n - n % 2 for n in detail.shape[-2:])
    even, known = detail[..., :height, :width], valid[..., :height, :width]
    coarse = functional.interpolate(functional.avg_pool2d(even, 2), scale_factor=2)
    known = functional.interpolate((functional.avg_pool2d(known.float(), 2) == 1).float(), scale_factor=2)
    return float(((even - coarse).square() * known).sum()), float((even.square() * known).sum())


def in_finest_octave(block: Reduced) -> Reduced:
    """PAN and MS less their means over the valid ones of 3 x 3 pixels."""

    def mean(x: Tensor) -> Tensor:
        return functional.avg_pool2d(replicate(x, 1, 1, 1, 1), 3, 1)

    share = mean(block.valid.to(block.ms.dtype)).clamp_min(1e-6)

    def passed(x: Tensor) -> Tensor:
        known = torch.where(block.valid, x, torch.zeros_like(x))
        return known - mean(known) / share

    return Reduced(passed(block.pan), passed(block.ms), block.valid)


def unexplained(covariance: Float[Tensor, "n n"]) -> Float[Tensor, " n-1"]:
    """Variance of each quantity but the first that a regression on all others leaves."""
    ridge = EMPTY * covariance.diagonal().sum() + EMPTY**2
    precision = torch.linalg.inv(covariance + ridge * torch.eye(len(covariance)).to(covariance))
    return torch.minimum(1 / precision.diagonal(), covariance.diagonal())[1:].clamp_min(0)
