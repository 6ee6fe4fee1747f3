"""Q2n: the quality of all bands at once, as numbers of many components; printed as Q4 and Q8 of 4 and 8 bands.

The published code rounds both images to whole digital numbers first. That form is the default, since printed
tables hold it; it depends on the scale of the data and means nothing where the data hardly vary by one number,
so such data are refused. The unrounded form is for them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from panloom.errors import OptionError
from panloom.metrics._blocks import SIZE, q2n
from panloom.metrics._metric import Core, Metric, Tally, compared, finite, windows

LABEL, LABEL_UNROUNDED = "Q2n[block32,shift32,uint16]", "Q2n[block32,shift32,unrounded]"

#: Every so many pixels along both axes are looked at to see whether rounding makes sense; a divisor of the block.
_SAMPLED = 4

#: The largest standard deviation of values within a range of 1.
_LEAST_DEVIATION = 0.5


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sum over the blocks of 32 x 32 pixels that are valid at half of them at least, and how much the reference varies.

    Blocks that stick out of the image on the right or below are filled up by mirroring.

    Args:
        fused: the result, in digital numbers.
        reference: the truth; it standardises the bands, so the two images cannot be swapped.
        valid: the pixels that count; None: all.
        core: the rows and columns that count; None: all.

    Raises:
        OptionError: shapes differ.
    """
    fused, reference, valid = compared(fused, reference, valid, core)
    values, counts = q2n(reference, fused, valid, SIZE, rounded=True)
    return {"count": counts.sum(dtype=torch.float64), "sum": values.sum(), **_variation(reference, valid)}


def _variation(reference: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Sums that tell how much the reference varies, from an even sample, and how many of its values are not whole."""
    reference, valid = (image[..., ::_SAMPLED, ::_SAMPLED] for image in (reference, valid))
    return {
        "pixels": valid.sum(dtype=torch.float64),
        "reference": reference.sum((0, 2, 3)),
        "square": reference.square().sum((0, 2, 3)),
        "fractions": (reference != reference.round()).sum((0, 2, 3), dtype=torch.float64),
    }


def value(tally: Tally) -> float:
    """Mean over the blocks, 0 to about 1: 1 is perfect.

    Raises:
        OptionError: no block counts, an image has NaN or infinite pixels that count, or the reference is not in
            digital numbers: not whole, and of a standard deviation of 0.5 or less in every band.
    """
    number = finite(LABEL, float(tally["sum"]) / windows(LABEL, tally["count"], SIZE))
    mean, square = (tally[key] / tally["pixels"] for key in ("reference", "square"))
    deviation = (square - mean.square()).clamp(min=0).sqrt().max()
    if tally["fractions"].any() and deviation <= _LEAST_DEVIATION:
        raise OptionError(
            f"{LABEL} rounds to whole numbers and the reference varies by {float(deviation):.3g} only (standard "
            f"deviation): give digital numbers, or use {LABEL_UNROUNDED} (q2n-unrounded)"
        )
    return number


def tally_unrounded(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """As `tally`, but images are taken as they are, in any unit.

    Raises:
        OptionError: shapes differ.
    """
    fused, reference, valid = compared(fused, reference, valid, core)
    values, counts = q2n(reference, fused, valid, SIZE, rounded=False)
    return {"count": counts.sum(dtype=torch.float64), "sum": values.sum()}


def value_unrounded(tally: Tally) -> float:
    """Mean over the blocks, 0 to about 1: 1 is perfect.

    Raises:
        OptionError: no block counts, or an image has NaN or infinite pixels that count.
    """
    return finite(LABEL_UNROUNDED, float(tally["sum"]) / windows(LABEL_UNROUNDED, tally["count"], SIZE))


Q2N = Metric(
    name="q2n",
    label=LABEL,
    unit="",
    better="high",
    perfect=1.0,
    needs="reference",
    scale_free=False,
    cite=("alparone2004", "garzelli2009"),
    tally=tally,
    value=value,
    block=SIZE,
)

Q2N_UNROUNDED = replace(
    Q2N,
    name="q2n-unrounded",
    label=LABEL_UNROUNDED,
    scale_free=True,
    tally=tally_unrounded,
    value=value_unrounded,
)
