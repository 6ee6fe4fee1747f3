"""RMSE: the error of a result in the unit of the images."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.metrics._metric import Core, Metric, Tally, compared, counted, finite, squared_error

LABEL = "RMSE[DN,band-mean]"


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sum of the squared error of each band.

    Args:
        fused: the result, in digital numbers.
        reference: the truth.
        valid: the pixels that count; None: all.
        core: the rows and columns that count; None: all.

    Raises:
        OptionError: shapes differ.
    """
    fused, reference, valid = compared(fused, reference, valid, core)
    return {"count": valid.sum(dtype=torch.float64), "square": squared_error(fused, reference)}


def per_band(tally: Tally) -> Float64[Tensor, " C"]:
    """Root mean square error of each band, in digital numbers.

    Raises:
        OptionError: nothing to compare.
    """
    return (tally["square"] / counted(LABEL, tally["count"])).sqrt()


def value(tally: Tally) -> float:
    """Mean over the bands of their root mean square errors (not the root over all bands): 0 is perfect.

    Raises:
        OptionError: as `per_band`, or an image has NaN or infinite pixels that count.
    """
    return finite(LABEL, float(per_band(tally).mean()))


RMSE = Metric(
    name="rmse",
    label=LABEL,
    unit="DN",
    better="low",
    perfect=0.0,
    needs="reference",
    scale_free=False,
    cite=(),
    tally=tally,
    value=value,
    bands=per_band,
)
