"""How much of an image's detail lies in its finest octave."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


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
