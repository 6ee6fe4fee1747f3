"""SAM: the mean angle between the spectra of the result and of the truth."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from panloom.metrics._metric import Core, Metric, Tally, compared, counted, finite
from panloom.metrics._windows import strips

LABEL = "SAM[deg]"


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sum of angles in radians, and the number of pixels whose spectrum is not all zero in either image.

    Args:
        fused: the result.
        reference: the truth.
        valid: the pixels that count; None: all.
        core: the rows and columns that count; None: all.

    Raises:
        OptionError: shapes differ.
    """
    fused, reference, valid = compared(fused, reference, valid, core)
    sums = fused.new_zeros(2)
    for rows in strips(fused.shape[-2], 1):
        sums += _angles(fused[..., rows, :], reference[..., rows, :], valid[:, 0, rows])
    return {"count": sums[0], "angle": sums[1]}


def _angles(one: Tensor, other: Tensor, valid: Tensor) -> Tensor:
    """How many spectra count, and the sum of their angles."""
    norms = one.square().sum(1).sqrt(), other.square().sum(1).sqrt()
    # `!= 0` and not `> 0`: a NaN that counts has to reach the value, which refuses it.
    counts = valid & (norms[0] != 0) & (norms[1] != 0)
    one, other = (
        image / torch.where(counts, norm, 1.0)[:, None] for image, norm in zip((one, other), norms, strict=True)
    )
    # arccos of the cosine has no digits left below 1e-6 degrees; this half-angle form keeps them all.
    angle = 2 * torch.atan2((one - other).square_().sum(1).sqrt_(), one.add_(other).square_().sum(1).sqrt_())
    return torch.stack([counts.sum(dtype=torch.float64), torch.where(counts, angle, 0.0).sum()])


def value(tally: Tally) -> float:
    """The index in degrees, 0 to 180: 0 is perfect.

    Raises:
        OptionError: nothing to compare, or an image has NaN or infinite pixels that count.
    """
    return finite(LABEL, math.degrees(float(tally["angle"]) / counted(LABEL, tally["count"])))


SAM = Metric(
    name="sam",
    label=LABEL,
    unit="deg",
    better="low",
    perfect=0.0,
    needs="reference",
    scale_free=True,
    cite=("yuhas1992",),
    tally=tally,
    value=value,
)
