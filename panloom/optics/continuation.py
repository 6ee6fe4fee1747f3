"""Smooth continuation of valid pixels into invalid ones, so that filters need no special case for no-data."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

#: How many pixels the continuation reaches. Further away stands 0, which no valid pixel looks at.
STEPS = 12


def extend(
    image: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b c h w"], steps: int = STEPS
) -> Float[Tensor, "b c h w"]:
    """Give invalid pixels the mean of their valid or already filled neighbours, ring by ring.

    A filled value depends on pixels within `steps` of it, so windows that look that much further agree exactly.

    Args:
        image: any numbers where invalid, NaN too.
        valid: pixels to keep as they are.
        steps: rings to fill.

    Returns:
        `image` where valid, the continuation elsewhere; 0 beyond `steps` pixels.
    """
    if bool(valid.all()):
        return image
    known = valid.to(image.dtype)
    out = torch.where(valid, image, torch.zeros_like(image))
    for _ in range(steps):
        weight = functional.avg_pool2d(known, 3, stride=1, padding=1)
        ring = (weight > 0) & (known == 0)
        if not bool(ring.any()):
            break
        mean = functional.avg_pool2d(out, 3, stride=1, padding=1) / weight.clamp_min(1e-6)
        out = torch.where(ring, mean, out)
        known = torch.where(ring, torch.ones_like(known), known)
    return out


def continue_pan(pan: Float[Tensor, "b 1 H W"], valid: Bool[Tensor, "b 1 H W"], ratio: int) -> Float[Tensor, "b 1 H W"]:
    """Invalid PAN pixels take the mean of the valid ones of their cell, or of the nearest cells that have some.

    Args:
        pan: any numbers where invalid.
        valid: pixels to keep as they are.
        ratio: PAN pixels along a side of a cell; divides both sides of the image.
    """
    share = functional.avg_pool2d(valid.to(pan.dtype), ratio)
    total = functional.avg_pool2d(torch.where(valid, pan, torch.zeros_like(pan)), ratio)
    some = share > 0
    cells = extend(torch.where(some, total / share.clamp_min(1e-6), torch.zeros_like(total)), some)
    wide = cells.repeat_interleave(ratio, -2).repeat_interleave(ratio, -1)
    return torch.where(valid, pan, wide)
