"""PSNR: the error of a result against the full scale of the sensor, in decibels."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.metrics._metric import Core, Metric, Tally, compared, counted, finite, positive, squared_error

LABEL = "PSNR[peak={full_scale:g},band-mean]"


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    full_scale: float,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sum of the squared error of each band, in units of the full scale.

    Args:
        fused: the result.
        reference: the truth.
        valid: the pixels that count; None: all.
        full_scale: the peak: the largest value that the data can have, such as 2047 of 11 bits. It is never
            taken from the image, whose largest value would make dark scenes look worse than bright ones.
        core: the rows and columns that count; None: all.

    Raises:
        OptionError: shapes differ, or the full scale is not positive.
    """
    fused, reference, valid = compared(fused, reference, valid, core)
    square = squared_error(fused, reference) / positive("full_scale", full_scale) ** 2
    return {"count": valid.sum(dtype=torch.float64), "square": square}


def per_band(tally: Tally) -> Float64[Tensor, " C"]:
    """The index of each band in dB; infinite where the band has no error at all.

    Raises:
        OptionError: nothing to compare.
    """
    return -10 * (tally["square"] / counted("PSNR", tally["count"])).log10()


def value(tally: Tally) -> float:
    """Mean over the bands in dB: higher is better, infinite as soon as one band has no error at all.

    Raises:
        OptionError: as `per_band`, or an image has NaN or infinite pixels that count.
    """
    bands = per_band(tally)
    finite("PSNR", float(tally["square"].sum()))
    return float(bands.mean())


PSNR = Metric(
    name="psnr",
    label=LABEL,
    unit="dB",
    better="high",
    perfect=math.inf,
    needs="reference",
    scale_free=True,
    cite=(),
    tally=tally,
    value=value,
    bands=per_band,
    settings=("full_scale",),
)
