"""SSIM: similarity of means, contrasts and structures in small Gaussian windows, band by band.

Windows of 11 x 11 pixels (sigma 1.5), only those that lie wholly in the image, K = (0.01, 0.03), not decimated. The
variants differ by the dynamic range L: 2047 whatever the sensor (the published toolbox for pansharpening), or
the full scale of the data. Images scaled from 0 to 255 with L = 255, as for hyperspectral fusion, give the value
of L = full scale: it has its own name there.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.metrics._metric import Core, Metric, Tally, compared, finite, positive, windows
from panloom.metrics._windows import filtered, strips, whole

LABEL, LABEL_FULL_SCALE, LABEL_MHIF = "SSIM[L=2047,valid]", "SSIM[L={full_scale:g},valid]", "SSIM[mhif,L255]"

#: L of the published toolbox, for sensors of any depth.
TOOLBOX_RANGE = 2047.0

_SIZE, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03
_WEIGHTS = [math.exp(-((k - _SIZE // 2) ** 2) / (2 * _SIGMA**2)) for k in range(_SIZE)]
_TAPS = tuple(weight / sum(_WEIGHTS) for weight in _WEIGHTS)


def tally_full_scale(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    full_scale: float,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sum of SSIM of each band over all windows that are valid everywhere.

    Args:
        fused: the result.
        reference: the truth.
        valid: the pixels that count; None: all.
        full_scale: the dynamic range L: the largest value that the data can have.
        core: the rows and columns whose windows count, by their centre; None: all.

    Raises:
        OptionError: shapes differ, or the full scale is not positive.
    """
    positive("full_scale", full_scale)
    fused, reference, valid = compared(fused, reference, valid, core, _SIZE)
    counts = whole(valid, _SIZE)
    sums = fused.new_zeros(fused.shape[1])
    for rows in strips(fused.shape[-2], _SIZE):
        seen = counts[..., rows.start : rows.stop - _SIZE + 1, :]
        for band in range(fused.shape[1]):
            one, other = (image[:, band, None, rows] for image in (fused, reference))
            sums[band] += torch.where(seen, _map(one, other, full_scale), 0.0).sum()
    return {"count": counts.sum(dtype=torch.float64), "sum": sums}


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """As `tally_full_scale` with L = 2047, for images in digital numbers.

    Raises:
        OptionError: shapes differ.
    """
    return tally_full_scale(fused, reference, valid, full_scale=TOOLBOX_RANGE, core=core)


def _map(x: Tensor, y: Tensor, full_scale: float) -> Tensor:
    """SSIM of every window."""
    c1, c2 = (_K1 * full_scale) ** 2, (_K2 * full_scale) ** 2
    mean_x, mean_y = filtered(x, _TAPS), filtered(y, _TAPS)
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    covariance = filtered(x * y, _TAPS) - product
    variances = filtered(x * x + y * y, _TAPS) - squares
    return (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def per_band(tally: Tally) -> Float64[Tensor, " C"]:
    """Mean over the windows.

    Raises:
        OptionError: no window counts.
    """
    return tally["sum"] / windows("SSIM", tally["count"], _SIZE, "all")


def value(tally: Tally) -> float:
    """Mean over the bands, -1 to 1: 1 is perfect.

    Raises:
        OptionError: as `per_band`, or an image has NaN or infinite pixels that count.
    """
    return finite("SSIM", float(per_band(tally).mean()))


SSIM = Metric(
    name="ssim",
    label=LABEL,
    unit="",
    better="high",
    perfect=1.0,
    needs="reference",
    scale_free=False,
    cite=("wang2004",),
    tally=tally,
    value=value,
    bands=per_band,
    halo=_SIZE // 2,
)

SSIM_FULL_SCALE = replace(
    SSIM,
    name="ssim-full-scale",
    label=LABEL_FULL_SCALE,
    scale_free=True,
    tally=tally_full_scale,
    settings=("full_scale",),
)

SSIM_MHIF = replace(SSIM_FULL_SCALE, name="ssim-mhif", label=LABEL_MHIF)
