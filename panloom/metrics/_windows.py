"""Windows that slide over an image by one pixel: sums, UQI, and small filters, in float64.

A map of windows of `size` pixels holds those that lie wholly in the image, so it is `size` - 1 rows and columns
smaller. The centre of the window whose upper left corner is pixel i is pixel i + size // 2.

A sum over a window is made by doubling (2, 4, 8, ... pixels) and never as the difference of two long sums, so
it is as exact as adding up the window itself, and for whole numbers of 16 bits it is exact.

Source of the UQI: Z. Wang and A. C. Bovik, "A universal image quality index", IEEE SPL 2002.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.metrics._blocks import SIZE, ratio

#: A variance below this part of the mean square is the rounding of a constant window.
_ROUNDING = 64 * torch.finfo(torch.float64).eps

#: Rows of windows made at once: what is in work stays in the processor's cache.
_ROWS = 128


def box_sums(x: Float64[Tensor, "*b H W"], size: int) -> Float64[Tensor, "*b m n"]:
    """The sum over every window of `size` x `size` pixels; m = H - size + 1, or 0 where the image is smaller."""
    return _run(_run(x, size, -2), size, -1)


def filtered(x: Float64[Tensor, "*b H W"], taps: Sequence[float]) -> Float64[Tensor, "*b m n"]:
    """Correlation with the same few taps along both axes, wherever they fit; m = H - len(taps) + 1."""
    for axis in (-2, -1):
        n = max(x.shape[axis] - len(taps) + 1, 0)
        out = taps[0] * x.narrow(axis, 0, n)
        for k, tap in enumerate(taps[1:], start=1):
            out.add_(x.narrow(axis, min(k, x.shape[axis] - n), n), alpha=tap)
        x = out
    return x


def whole(valid: Bool[Tensor, "b 1 H W"], size: int) -> Bool[Tensor, "b 1 m n"]:
    """Which windows of `size` x `size` pixels are valid everywhere."""
    return box_sums((~valid).double(), size) == 0


def strips(height: int, size: int) -> Iterator[slice]:
    """Rows of an image whose windows of `size` rows, put together, are all its windows, each once."""
    for start in range(0, height - size + 1, _ROWS):
        yield slice(start, min(start + _ROWS + size - 1, height))


def sliding_uqi(
    x: Shaped[Tensor, "b C H W"], y: Shaped[Tensor, "b C H W"], valid: Bool[Tensor, "b 1 H W"], size: int = SIZE
) -> tuple[Float64[Tensor, "b C m n"], Bool[Tensor, "b 1 m n"]]:
    """UQI of every window of `size` x `size` pixels, with the degenerate values of `_blocks.uqi`.

    Both images are centred by the mean of their band before they are squared.

    Args:
        x: one image, of any real type and unit.
        y: the other.
        valid: pixels that count; the others may hold anything.
        size: pixels along one side of a window, 2 or more.

    Returns:
        The values, in [-1, 1] and 0 where the window does not count; and which windows count: those of which at
        least half of the pixels are valid.
    """
    number = box_sums(valid.double(), size)
    counts = 2 * number >= size * size
    values = x.new_zeros((*x.shape[:2], *counts.shape[-2:]), dtype=torch.float64)
    for band in range(x.shape[1]):
        one, middle = _centred(x[:, band : band + 1], valid)
        other, middle_other = _centred(y[:, band : band + 1], valid)
        for rows in strips(x.shape[-2], size):
            maps = slice(rows.start, rows.stop - size + 1)
            values[:, band : band + 1, maps] = _uqi(
                (one[..., rows, :], middle), (other[..., rows, :], middle_other), number[..., maps, :], size
            )
    return values.masked_fill_(~counts, 0.0), counts


def _uqi(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], number: Tensor, size: int) -> Tensor:
    """UQI of all windows of two centred images, given with what they were centred by."""
    (x, middle_x), (y, middle_y) = one, other
    share = 1 / number.clamp(min=1)
    mean_x, mean_y = box_sums(x, size).mul_(share), box_sums(y, size).mul_(share)
    square = box_sums((x * x).addcmul_(y, y), size).mul_(share)
    variance = torch.addcmul(square, mean_x, mean_x, value=-1).addcmul_(mean_y, mean_y, value=-1)
    variance.masked_fill_(variance <= square.mul_(_ROUNDING), 0.0)
    covariance = box_sums(x * y, size).mul_(share).addcmul_(mean_x, mean_y, value=-1)
    mean_x, mean_y = mean_x.add_(middle_x), mean_y.add_(middle_y)
    means = (mean_x * mean_x).addcmul_(mean_y, mean_y)
    return ratio(covariance.mul_(2), variance).mul_(ratio(mean_x.mul_(mean_y).mul_(2), means))


def _centred(band: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The band less its mean, 0 where not valid, and that mean."""
    band = torch.where(valid, band.double(), 0.0)
    mean = band.sum((-2, -1), keepdim=True) / valid.sum((-2, -1), keepdim=True).clamp(min=1)
    # Of few binary digits: whole numbers keep their exact differences and sums.
    mantissa, exponent = torch.frexp(mean)
    middle = torch.ldexp((mantissa * 256).round() / 256, exponent)
    return torch.where(valid, band - middle, 0.0), middle


def _run(x: Tensor, size: int, axis: int) -> Tensor:
    """The sum of `size` neighbours along an axis."""
    n = max(x.shape[axis] - size + 1, 0)
    out, offset, width = None, 0, 1
    while True:
        if size & width:
            part = x.narrow(axis, min(offset, x.shape[axis]), n)
            out = part if out is None else out + part
            offset += width
        width *= 2
        if width > size:
            return torch.zeros_like(x.narrow(axis, 0, n)) if out is None else out
        rest = max(x.shape[axis] - width // 2, 0)
        x = x.narrow(axis, 0, rest) + x.narrow(axis, min(width // 2, x.shape[axis]), rest)
