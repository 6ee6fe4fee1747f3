"""ERGAS: the relative error of all bands in one number, scaled by the resolution ratio."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.errors import OptionError
from panloom.metrics._metric import Core, Metric, Tally, compared, counted, divisor, finite, squared_error

LABEL = "ERGAS[100/r]"


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    ratio: int = 4,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sums per band: reference, and squared error times (100 / ratio)^2.

    Args:
        fused: the result.
        reference: the truth; its band means normalise, so the two images cannot be swapped.
        valid: the pixels that count; None: all.
        ratio: PAN pixels per MS pixel along one axis. Values of different ratios are not comparable.
        core: the rows and columns that count; None: all.

    Raises:
        OptionError: shapes differ, or the ratio is not positive.
    """
    if ratio <= 0:
        raise OptionError(f"ratio {ratio} must be positive: PAN pixels per MS pixel, such as 4")
    fused, reference, valid = compared(fused, reference, valid, core)
    return {
        "count": valid.sum(dtype=torch.float64),
        "reference": reference.sum((0, 2, 3)),
        "square": (100 / ratio) ** 2 * squared_error(fused, reference),
    }


def per_band(tally: Tally) -> Float64[Tensor, " C"]:
    """100 / ratio times the relative root mean square error of each band; `value` is their quadratic mean.

    Raises:
        OptionError: nothing to compare, or a band of the reference has mean 0 and an error.
    """
    count = counted(LABEL, tally["count"])
    mean, error = tally["reference"] / count, (tally["square"] / count).sqrt()
    return error / divisor(LABEL, mean, error).abs()


def value(tally: Tally) -> float:
    """The index: 0 is perfect, no upper limit.

    Raises:
        OptionError: as `per_band`, or an image has NaN or infinite pixels that count.
    """
    return finite(LABEL, float(per_band(tally).square().mean().sqrt()))


ERGAS = Metric(
    name="ergas",
    label=LABEL,
    unit="",
    better="low",
    perfect=0.0,
    needs="reference",
    scale_free=True,
    cite=("wald2000",),
    tally=tally,
    value=value,
    bands=per_band,
    settings=("ratio",),
)
