"""Wald's protocol: a pair is degraded by its own ratio, and its own MS becomes the truth.

Two named forms, as everywhere (see `docs/protocol.md`):

- `toolbox`: MS through the 41-tap MTF kernels, every ratio-th sample from ratio // 2 on; PAN by antialiased bicubic
  resampling. Published figures are made so.
- `physical`: MS through its own optics and PAN through PAN's, both sampled where the pair's grids say. PAN then lies
  on the grid of the truth whatever the phase is, which the bicubic form gives for corner-aligned pairs only.

Source: Wald, Ranchin and Mangolini, PE&RS 63 (1997); the toolbox form as in Vivone et al., IEEE GRSM 9 (2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from panloom.errors import OptionError
from panloom.optics import physical, toolbox

Form = Literal["toolbox", "physical"]

#: Part of the weight of a degraded pixel that may rest on pixels that are not valid.
LOOSE = 1e-3


@dataclass(frozen=True)
class Degraded:
    """A pair at reduced resolution, with its truth. Units are those of the inputs.

    Attributes:
        pan: PAN on the grid of the truth.
        ms: MS, `ratio` times coarser than the truth.
        truth: the MS that was degraded.
        pan_valid: pixels of `pan` that rest on valid PAN only, to a thousandth of their weight.
        ms_valid: pixels of `ms` that rest on valid pixels of the truth only, likewise.
        truth_valid: valid pixels of the truth.
        phase: (row, col), pixels of the truth: MS sample i is centred on index ratio * i + phase.
    """

    pan: Float[Tensor, "b 1 h w"]
    ms: Float[Tensor, "b C hr wr"]
    truth: Float[Tensor, "b C h w"]
    pan_valid: Bool[Tensor, "b 1 h w"]
    ms_valid: Bool[Tensor, "b 1 hr wr"]
    truth_valid: Bool[Tensor, "b 1 h w"]
    phase: tuple[float, float]


def degrade_pair(
    pan: Float[Tensor, "b 1 H W"],
    ms: Float[Tensor, "b C h w"],
    pan_valid: Bool[Tensor, "b 1 H W"],
    ms_valid: Bool[Tensor, "b 1 h w"],
    *,
    gains: Sequence[float],
    pan_gain: float,
    phase: tuple[float, float],
    form: Form,
) -> Degraded:
    """Degrade PAN and MS by their ratio.

    Args:
        pan: the sharp image, smoothly continued where it is not valid.
        ms: the spectral image, likewise; rows and columns beyond a multiple of the ratio are left out.
        pan_valid: valid pixels of PAN.
        ms_valid: pixels of MS that are valid in every band.
        gains: MTF gain of each band at MS Nyquist.
        pan_gain: that of PAN (physical form).
        phase: (row, col) in PAN pixels of MS sample (0, 0) (physical form).
        form: `toolbox` or `physical`.

    Raises:
        OptionError: MS is smaller than the ratio.
    """
    ratio = pan.shape[-2] // ms.shape[-2]
    h, w = (n - n % ratio for n in ms.shape[-2:])
    if not (h and w):
        raise OptionError(f"MS of {ms.shape[-2]} x {ms.shape[-1]} pixels is too small to be degraded by {ratio}")
    ms, ms_valid = ms[..., :h, :w], ms_valid[..., :h, :w]
    pan, pan_valid = (x[..., : h * ratio, : w * ratio] for x in (pan, pan_valid))
    where = (float(ratio // 2), float(ratio // 2)) if form == "toolbox" else phase

    def degrade(image: Tensor) -> Tensor:
        if form == "toolbox":
            return toolbox.degrade_pan(image, ratio)
        return physical.degrade(image, [pan_gain], ratio, phase)

    low, low_valid = degrade_truth(ms, ms_valid, gains=gains, ratio=ratio, phase=where, form=form)
    return Degraded(degrade(pan), low, ms, _resting(pan_valid, degrade, ratio), low_valid, ms_valid, where)


def degrade_truth(
    truth: Float[Tensor, "b C h w"],
    valid: Bool[Tensor, "b 1 h w"],
    *,
    gains: Sequence[float],
    ratio: int,
    phase: tuple[float, float],
    form: Form,
) -> tuple[Float[Tensor, "b C hr wr"], Bool[Tensor, "b 1 hr wr"]]:
    """MS as its optics would record `truth`, and where that rests on valid pixels. Sides are multiples of the ratio."""

    def degrade(image: Tensor, gains: Sequence[float]) -> Tensor:
        if form == "toolbox":
            return toolbox.degrade_ms(image, gains, ratio)
        return physical.degrade(image, gains, ratio, phase)

    return degrade(truth, gains), _resting(valid, lambda mask: degrade(mask, [min(gains)]), ratio)


def _resting(
    valid: Bool[Tensor, "b 1 H W"], degrade: Callable[[Tensor], Tensor], ratio: int
) -> Bool[Tensor, "b 1 h w"]:
    """Where a degraded image rests on valid pixels: all of its cell, and nearly all that is seen around it."""
    whole = functional.avg_pool2d(valid.float(), ratio) > 1 - 0.5 / ratio**2
    if bool(whole.all()):
        return whole
    missing = degrade(torch.ones_like(valid, dtype=torch.float64)) - degrade(valid.double())
    return whole & (missing.abs() < LOOSE)
