"""SAM: the mean angle between the spectra of the result and of the truth."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from panloom.metrics._metric import Metric, Tally, compared, counted, finite

LABEL = "SAM[deg]"


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
) -> dict[str, Tensor]:
    """Sum of angles in radians, and the number of pixels whose spectrum is not all zero in either image.

    Args:
        fused: the result.
        reference: the truth.
        valid: the pixels that count; None: all.

    Raises:
        OptionError: shapes differ.
    """
    fused, reference, valid = compared(fused, reference, valid)
    norms = torch.linalg.vector_norm(fused, dim=1), torch.linalg.vector_norm(reference, dim=1)
    # `!= 0` and not `> 0`: a NaN that counts has to reach the value, which refuses it.
    counts = valid[:, 0] & (norms[0] != 0) & (norms[1] != 0)
    one, other = (
        image / torch.where(counts, norm, torch.ones_like(norm))[:, None]
        for image, norm in zip((fused, reference), norms, strict=True)
    )
    # arccos of the cosine has no digits left below 1e-6 degrees; this half-angle form keeps them all.
    angle = 2 * torch.atan2(torch.linalg.vector_norm(one - other, dim=1), torch.linalg.vector_norm(one + other, dim=1))
    return {
        "count": counts.sum(dtype=torch.float64),
        "angle": torch.where(counts, angle, torch.zeros_like(angle)).sum(),
    }


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
