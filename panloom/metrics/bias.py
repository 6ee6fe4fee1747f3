"""Bias: how much too bright or too dark a result is, per band."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.metrics._metric import Core, Metric, Tally, compared, counted, divisor, finite

LABEL = "Bias[%,band-mean-abs]"


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sums per band: the difference fused - reference, and the reference.

    Args:
        fused: the result.
        reference: the truth.
        valid: the pixels that count; None: all.
        core: the rows and columns that count; None: all.

    Raises:
        OptionError: shapes differ.
    """
    fused, reference, valid = compared(fused, reference, valid, core)
    return {
        "count": valid.sum(dtype=torch.float64),
        "difference": (fused - reference).sum((0, 2, 3)),
        "reference": reference.sum((0, 2, 3)),
    }


def per_band(tally: Tally) -> Float64[Tensor, " C"]:
    """Mean of the band relative to the truth's, minus one, in percent; positive is too bright.

    Raises:
        OptionError: nothing to compare, or a band of the reference has mean 0 and the fused one has not.
    """
    counted(LABEL, tally["count"])
    difference, reference = tally["difference"], tally["reference"]
    return 100 * difference / divisor(LABEL, reference, difference)


def value(tally: Tally) -> float:
    """Mean over the bands of the absolute bias, in percent: 0 is perfect.

    Raises:
        OptionError: as `per_band`, or an image has NaN or infinite pixels that count.
    """
    return finite(LABEL, float(per_band(tally).abs().mean()))


BIAS = Metric(
    name="bias",
    label=LABEL,
    unit="%",
    better="low",
    perfect=0.0,
    needs="reference",
    scale_free=True,
    cite=(),
    tally=tally,
    value=value,
    bands=per_band,
)
