"""Spectral back-projection: a fused image is changed so that, seen through the sensor, it gives the MS behind it.

    out = X + U P (M - D X)          D: the MTF at the true phase, U: cubic interpolation at that phase

After Irani and Peleg (CVGIP 1991), in one step. Ours: P, a short filter on the MS grid that undoes most of what U and D
together do to fine patterns there. It is the regularised inverse H / (H^2 + FLOOR) of their common response H, scaled
to leave means alone, so one step does what a plain one (P = 1) does in three or four.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from panloom.optics import physical

#: MS pixels on each side that the interpolation looks at.
CUBIC = 2

#: MS pixels on each side that the filter looks at.
TAPS = 2

#: What is added to the squared response before it divides: noise is not blown up where next to nothing passes. Chosen
#: on development pairs (benchmarks/development.txt) among .3, .1, .03, .02 and .01; below .03 little changes.
FLOOR = 0.03

#: Side of the grid on which the response is found, MS pixels.
_SIDE = 41


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
    filters = [_inverse(gain, ratio, phase) for gain in gains]
    rows, cols = (torch.stack(axis).to(wrong)[:, None] for axis in zip(*filters, strict=True))
    wide = physical.replicate(wrong, TAPS, TAPS, TAPS, TAPS)
    bands = len(filters)
    wrong = functional.conv2d(functional.conv2d(wide, rows[..., None], groups=bands), cols[:, :, None], groups=bands)
    return image + physical.interpolate(wrong, ratio, phase, reach=CUBIC)


def reach(pixels: tuple[int, int], gain: float, ratio: int, phase: float) -> tuple[int, int]:
    """First and last PAN pixel, along an axis, that a step looks at for a range of pixels."""
    first, last = physical.round_trip(pixels, gain, ratio, phase, CUBIC)
    return first - TAPS * ratio, last + TAPS * ratio


def halo(gains: Sequence[float], ratio: int, phase: tuple[float, float]) -> int:
    """MS pixels around a cell that a step looks at."""
    ends = [reach((0, ratio - 1), min(gains), ratio, p) for p in phase]
    return max(max(-(first // ratio), last // ratio) for first, last in ends)


@lru_cache(maxsize=256)
def _inverse(
    gain: float, ratio: int, phase: tuple[float, float]
) -> tuple[Float[Tensor, " taps"], Float[Tensor, " taps"]]:
    """The filter along rows and along columns."""
    # Outside of inference mode, because autograd keeps no tensor that was made so.
    with torch.inference_mode(False), torch.no_grad():
        middle = _SIDE // 2
        point = torch.zeros(1, 1, _SIDE, _SIDE, dtype=torch.float64)
        point[..., middle, middle] = 1
        there = physical.interpolate(point, ratio, phase, reach=CUBIC)
        passed = physical.degrade(there, [gain], ratio, phase)[0, 0]
        along_rows, along_cols = (_regularised(passed.sum(axis).roll(-middle)) for axis in (1, 0))
        return along_rows, along_cols


def _regularised(response: Float[Tensor, " n"]) -> Float[Tensor, " taps"]:
    """The inverse of a filter whose middle comes first."""
    passed = torch.fft.fft(response)
    taps = torch.fft.ifft(passed.conj() / (passed.abs().square() + FLOOR)).real.roll(TAPS)[: 2 * TAPS + 1]
    return taps / taps.sum()
