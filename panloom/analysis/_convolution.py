"""Transposed convolution with large kernels, through the Fourier transform: exact, and cheap for any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Padding = Literal["zeros", "reflect", "replicate"]


def continued(image: Float[Tensor, "c h w"], margin: int, padding: Padding) -> Float[Tensor, "c h2 w2"]:
    """The image with `margin` more pixels on every side; mirrored without repeating the edge, any number of times."""
    if padding == "zeros":
        return torch.nn.functional.pad(image, (margin,) * 4)
    for axis in (1, 2):
        n = image.shape[axis]
        place = torch.arange(-margin, n + margin, device=image.device)
        if padding == "replicate":
            place = place.clamp(0, n - 1)
        else:
            place = place.remainder(max(2 * n - 2, 1))
            place = torch.minimum(place, max(2 * n - 2, 1) - place)
        image = image.index_select(axis, place)
    return image


def transposed(
    image: Float[Tensor, "in h w"],
    kernel: Float[Tensor, "out in K K"],
    scale: int,
    offset: tuple[int, int],
    padding: Padding,
) -> Float[Tensor, "out H W"]:
    """Sum over n of image[n] kernel[. - scale n + offset], float64; H = scale h.

    Args:
        image: where nothing is, it is continued as `padding` says.
        kernel: from each channel to each band.
        scale: output pixels per input pixel.
        offset: (row, col) of the kernel's sample that falls on scale * n.
        padding: see `continued`.
    """
    side = kernel.shape[-1]
    margin = -(-side // scale)
    wide = continued(image.double(), margin, padding)
    size = [scale * n for n in wide.shape[1:]]
    full = summed(((spaced(c, scale), k) for c, k in zip(wide, kernel.unbind(1), strict=True)), size)
    top, left = (scale * margin + o for o in offset)
    height, width = (scale * n for n in image.shape[1:])
    return full[:, top : top + height, left : left + width]


def spaced(image: Float[Tensor, "*c h w"], scale: int) -> Float[Tensor, "*c H W"]:
    """With zeros between the pixels: n at scale * n."""
    out = image.new_zeros(*image.shape[:-2], *(scale * n for n in image.shape[-2:]))
    out[..., ::scale, ::scale] = image
    return out


def summed(parts: Iterable[tuple[Float[Tensor, "h w"], Float[Tensor, "out K K"]]], size: Sequence[int]) -> Tensor:
    """The sum of full convolutions of images of `size` with kernels, at least (out, h + K - 1, w + K - 1); float64.

    One part after the other, or the spectra of all kernels would stand in memory at once.
    """
    total: Tensor | None = None
    shape: list[int] = []
    for image, kernels in parts:
        # Multiples of 64 transform quickly.
        shape = [-(-(n + kernels.shape[-1] - 1) // 64) * 64 for n in size]
        part = torch.fft.rfft2(image.double(), s=shape) * torch.fft.rfft2(kernels.double(), s=shape)
        total = part if total is None else total.add_(part)
    assert total is not None
    return torch.fft.irfft2(total, s=shape)
