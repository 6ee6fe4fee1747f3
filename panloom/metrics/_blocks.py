"""Indices of blocks that do not overlap: UQI of each band, and the hypercomplex index Q2n of all bands at once.

Both work through one row of blocks after another in float64, so that the peak of memory is a small part of the
images, and take their moments in two passes about the block's own mean: nothing cancels, at any data scale.

Sources: Z. Wang and A. C. Bovik, "A universal image quality index", IEEE SPL 2002 (UQI); A. Garzelli and
F. Nencini, "Hypercomplex quality assessment of multi/hyperspectral images", IEEE GRSL 2009 (Q2n).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

#: Pixels along one side of a block, in every published protocol.
SIZE = 32

_EPS = torch.finfo(torch.float64).eps

#: Added before rounding down: 0.5 itself would round the number just below 0.5 up.
_BELOW_HALF = math.nextafter(0.5, 0)

#: A standard deviation below this part of the mean is the rounding of a constant block.
_ROUNDING = 8 * _EPS


def uqi(
    x: Shaped[Tensor, "b C H W"], y: Shaped[Tensor, "b C H W"], valid: Bool[Tensor, "b 1 H W"], size: int = SIZE
) -> tuple[Float64[Tensor, "b C m n"], Bool[Tensor, "b 1 m n"]]:
    """UQI of every whole block of `size` x `size` pixels from the upper left corner on.

    The product of 2 cov(x, y) / (var x + var y) and 2 mx my / (mx^2 + my^2), each taken as 1 where its
    denominator is 0: two constant blocks are compared by their means, two blocks of zeros are equal. Pixels
    right of and below the last whole block are left out, so an image smaller than a block has none.

    Args:
        x: one image, of any real type and unit.
        y: the other.
        valid: pixels that count; the others may hold anything.
        size: pixels along one side of a block, 2 or more.

    Returns:
        The values, in [-1, 1] and 0 where the block does not count; and which blocks count: those of which at
        least half of the pixels are valid.
    """
    height, width = (n - n % size for n in x.shape[-2:])
    images = (image[..., :height, :width] for image in (x, y, valid))
    values = [x.new_empty((x.shape[0], x.shape[1], 0, width // size), dtype=torch.float64)]
    counts = [valid.new_empty((x.shape[0], 1, 0, width // size))]
    for one, other, seen in zip(*(_rows(image, size) for image in images), strict=True):
        number = seen.sum(-1)
        mean, mean_other = _centre(one, seen, number), _centre(other, seen, number)
        spread = _scatter(one, mean, number) + _scatter(other, mean_other, number)
        likeness = ratio(2 * mean * mean_other, mean**2 + mean_other**2)
        value = ratio(2 * one.mul_(other).sum(-1), spread) * likeness
        enough = 2 * number >= size * size
        values.append(torch.where(enough, value, 0.0).transpose(1, 2)[:, :, None])
        counts.append(enough.transpose(1, 2)[:, :, None])
    return torch.cat(values, -2), torch.cat(counts, -2)


def q2n(
    reference: Shaped[Tensor, "b C H W"],
    test: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"],
    size: int = SIZE,
    *,
    rounded: bool,
) -> tuple[Float64[Tensor, "b m n"], Bool[Tensor, "b m n"]]:
    """The hypercomplex index of every block of `size` x `size` pixels.

    A spectrum is one hypercomplex number: bands are filled up with zeros to a power of two. Per block, both
    images are standardised with the reference's mean and deviation of the band, plus 1; the value is the modulus
    of their hypercomplex covariance times the similarity of means and of contrasts. The product is bilinear, so
    it is taken on the C x C covariance matrix of a block and not on its pixels.

    Images that are no multiple of `size` go on on the right and below by mirroring with the edge repeated, the
    mask with them, as often as it takes.

    Args:
        reference: the truth, of any real type.
        test: the image under test, in the same unit.
        valid: pixels that count; the others may hold anything.
        size: pixels along one side of a block, 2 or more.
        rounded: round both images to whole numbers first, half away from zero, and saturate at 0 and 65535: the
            published form, for digital numbers only.

    Returns:
        The values, 0 or more (1 is perfect), and 0 where the block does not count; and which blocks count: those
        of which at least half of the pixels are valid.
    """
    values, counts = [], []
    for one, other, seen in zip(*(_rows(image, size) for image in (reference, test, valid)), strict=True):
        number = seen.sum(-1)
        if rounded:
            one, other = _round(one), _round(other)
        value = _q2n((_centre(one, seen, number), one), (_centre(other, seen, number), other), number)
        enough = 2 * number[..., 0] >= size * size
        values.append(torch.where(enough, value, 0.0))
        counts.append(enough)
    return torch.stack(values, 1), torch.stack(counts, 1)


def ratio(above: Float64[Tensor, "*s"], below: Float64[Tensor, "*s"]) -> Float64[Tensor, "*s"]:
    """`above` / `below`, and 1 where `below` is 0."""
    if below.all():
        return above / below
    nothing = below == 0
    return torch.where(nothing, 1.0, above / torch.where(nothing, 1.0, below))


# ---- one row of blocks: (batch, block, band, pixel) -------------------------------------------------


def _rows(x: Tensor, size: int) -> Iterator[Tensor]:
    """Rows of blocks, (b, n, C, size * size), in float64 or bool; what is missing on the right and below is mirrored.

    Each overwrites the one before: fresh memory for every row would take longer than the arithmetic.
    """
    height, width = x.shape[-2:]
    rows, cols = _mirrored(height, size, x.device), _mirrored(width, size, x.device)
    shape = x.shape[0], len(cols) // size, x.shape[1], size, size
    room = x.new_empty(shape, dtype=torch.bool if x.dtype == torch.bool else torch.float64)
    for row in range(0, height, size):
        strip = x[..., row : row + size, :] if row + size <= height else x.index_select(-2, rows[row:])
        strip = strip if len(cols) == width else strip.index_select(-1, cols)
        yield room.copy_(strip.unflatten(-1, (-1, size)).permute(0, 3, 1, 2, 4)).flatten(-2)


def _mirrored(n: int, size: int, device: torch.device) -> Tensor:
    """Indices of n samples and of their mirror image, up to a multiple of `size`."""
    folded = torch.arange(-(-n // size) * size, device=device).remainder(2 * n)
    return torch.minimum(folded, 2 * n - 1 - folded)


def _centre(x: Tensor, seen: Tensor, number: Tensor) -> Tensor:
    """Takes the mean over the valid pixels off every block, in place, and puts 0 where not valid; returns the mean."""
    if seen.all():
        mean = x.mean(-1)
        x.sub_(mean[..., None])
        return mean
    mean = x.masked_fill_(~seen, 0.0).sum(-1) / number.clamp(min=1)
    x.sub_(mean[..., None]).masked_fill_(~seen, 0.0)
    return mean


def _scatter(centred: Tensor, mean: Tensor, number: Tensor) -> Tensor:
    """Sum of squares of what is centred, and exactly 0 where that is the rounding of a constant."""
    scatter = torch.linalg.vector_norm(centred, dim=-1).square()
    return torch.where(scatter <= number * (_ROUNDING * mean) ** 2, 0.0, scatter)


def _round(x: Tensor) -> Tensor:
    """Rounds in place, half away from zero, and saturates as uint16 does; NaN and infinite pixels become NaN."""
    if not x.sum().isfinite():
        x.masked_fill_(~x.isfinite(), torch.nan)
    return x.clamp_(0, 65535).add_(_BELOW_HALF).floor_()


# ---- hypercomplex numbers ---------------------------------------------------------------------------


def _q2n(reference: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], number: Tensor) -> Tensor:
    """The index of blocks, given as means and centred pixels of the two images, and the number of valid pixels."""
    (mean, x), (mean_test, y) = reference, test
    freedom = (number - 1).clamp(min=1)
    variance, variance_test = _scatter(x, mean, number) / freedom, _scatter(y, mean_test, number) / freedom
    deviation = torch.where(variance == 0, _EPS, variance.sqrt())
    # A constant band of the reference has no covariance: what is left there is rounding, divided by eps.
    weight = torch.where(variance == 0, 0.0, 1 / deviation)
    covariance = x @ y.transpose(-1, -2) * (weight / freedom)[..., None] / deviation[..., None, :]
    contrast = ((variance + variance_test) / deviation**2).sum(-1)
    # Every band of the standardised reference has mean 1, and so have the bands of zeros in both images.
    filled = _filled(x.shape[-2])
    square = (((mean_test - mean) / deviation + 1) ** 2).sum(-1) + filled - x.shape[-2]
    return ratio(2 * _modulus(covariance), contrast) * 2 * (filled * square).sqrt() / (filled + square)


def _filled(bands: int) -> int:
    """The power of two that is not below the number of bands."""
    return 1 << (bands - 1).bit_length()


def _modulus(product: Tensor) -> Tensor:
    """|sum over i, j of product[i, j] e_i conj(e_j)|, for matrices (b, n, C, C)."""
    bands = product.shape[-1]
    signs, component = _table(bands)
    terms = (product * signs.to(product.device)).flatten(-2)
    sums = terms.new_zeros((*terms.shape[:-1], _filled(bands)))
    return torch.linalg.vector_norm(sums.index_add_(-1, component.to(product.device), terms), dim=-1)


# Made outside inference mode even if first asked for inside it: a later backward pass may need the tensors.
@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _table(bands: int) -> tuple[Tensor, Tensor]:
    """Signs of e_i conj(e_j), and the flat list of the components i xor j that they belong to.

    The Cayley-Dickson product of the reference code: halves (a, B) and (c, E) multiply to
    (a c - conj(E) B, conj(a) conj(E) + c conj(B)).
    """
    signs = torch.ones((1, 1), dtype=torch.float64)
    while len(signs) < bands:
        conjugate = _conjugate(len(signs))
        swapped = signs.T
        signs = torch.cat(
            [
                torch.cat([signs, conjugate[:, None] * signs * conjugate], 1),
                torch.cat([swapped * conjugate[:, None], -swapped * conjugate], 1),
            ]
        )
    index = torch.arange(bands)
    signs = signs * _conjugate(len(signs))
    return signs[:bands, :bands].contiguous(), (index[:, None] ^ index).flatten()


def _conjugate(n: int) -> Tensor:
    """Signs that conjugate a number of n components."""
    return torch.cat([torch.ones(1, dtype=torch.float64), -torch.ones(n - 1, dtype=torch.float64)])
