"""Q: the universal image quality index in windows that slide by one pixel, band by band."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.metrics._blocks import SIZE
from panloom.metrics._metric import Core, Metric, Tally, compared, finite, windows
from panloom.metrics._windows import sliding_uqi

LABEL = "Q[sliding32]"


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sum of the UQI of each band over all windows of 32 x 32 pixels that are valid at half of them at least.

    Args:
        fused: the result.
        reference: the truth.
        valid: the pixels that count; None: all.
        core: the rows and columns whose windows count, by their centre; None: all.

    Raises:
        OptionError: shapes differ.
    """
    fused, reference, valid = compared(fused, reference, valid, core, SIZE)
    values, counts = sliding_uqi(fused, reference, valid, SIZE)
    return {"count": counts.sum(dtype=torch.float64), "sum": values.sum((0, 2, 3))}


def per_band(tally: Tally) -> Float64[Tensor, " C"]:
    """Mean over the windows, in [-1, 1].

    Raises:
        OptionError: no window counts.
    """
    return tally["sum"] / windows(LABEL, tally["count"], SIZE)


def value(tally: Tally) -> float:
    """Mean over the bands: 1 is perfect.

    Raises:
        OptionError: as `per_band`, or an image has NaN or infinite pixels that count.
    """
    return finite(LABEL, float(per_band(tally).mean()))


Q = Metric(
    name="q",
    label=LABEL,
    unit="",
    better="high",
    perfect=1.0,
    needs="reference",
    scale_free=True,
    cite=("wang2002",),
    tally=tally,
    value=value,
    bands=per_band,
    halo=SIZE // 2,
)
