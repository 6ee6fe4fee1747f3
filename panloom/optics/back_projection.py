"""Spectral back-projection: a fused image is changed so that, seen through the sensor, it gives the MS behind it.

    out = X + U (M - D X)          D: the MTF at the true phase, U: cubic interpolation at that phase

After Irani and Peleg (CVGIP 1991), in one step. More steps, or an inverse filter on M - D X, bring the image nearer to
MS and lower the error where MTF and MS are exact, as they are in simulations; on real products, whose MTF is known
roughly and whose MS holds noise and resampling, they draw ripples. So there is one plain step.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from panloom.optics import physical

#: MS pixels on each side that the interpolation looks at.
CUBIC = 2


def back_project(
    image: Float[Tensor, "b C H W"],
    ms: Float[Tensor, "b C h w"],
    gains: Sequence[float],
    phase: tuple[float, float],
    recorded: Bool[Tensor, "b 1 h w"],
) -> Float[Tensor, "b C H W"]:
    """One step.

    Args:
        image: fused.
        ms: what the sensor recorded, in the same units.
        gains: MTF gain of each band at MS Nyquist.
        phase: (row, col) of MS sample (0, 0) on the PAN grid.
        recorded: MS pixels that hold data; the others have no say.
    """
    ratio = image.shape[-1] // ms.shape[-1]
    wrong = (ms - physical.degrade(image, gains, ratio, phase)) * recorded.to(ms.dtype)
    return image + physical.interpolate(wrong, ratio, phase, reach=CUBIC)


def halo(gains: Sequence[float], ratio: int, phase: tuple[float, float]) -> int:
    """MS pixels around a cell that a step looks at."""
    ends = [physical.round_trip((0, ratio - 1), min(gains), ratio, p, CUBIC) for p in phase]
    return max(max(-(first // ratio), last // ratio) for first, last in ends)
