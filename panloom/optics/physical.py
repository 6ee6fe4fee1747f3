"""The `physical` form of the sensor as linear operators: MTF blur and decimation at a real phase, and EXP.

Published facts: the Gaussian MTF with its gain stated at the Nyquist frequency of MS (Vivone et al., IEEE GRSM 2021)
and the 23-tap half-band interpolator whose envelope the EXP window continues to every ratio and phase. The shifted
sampled Gaussian and the polyphase form are panloom's own. For parity with the reference toolbox use
`panloom.optics.toolbox`.

Both operators are separable, and along one axis they are periodic: a block of `BLOCK` cells always sees the same small
matrix. So they run as matrix products over blocks, the fastest form on any processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

#: MS pixels that EXP looks at on each side of a cell.
REACH = 6

#: Cells handled by one matrix product; any value gives the same operator.
BLOCK = 8


def mtf_sigma(gain: float, ratio: float) -> float:
    """Standard deviation, in PAN pixels, of the Gaussian with `gain` at the Nyquist frequency of MS."""
    return ratio / math.pi * math.sqrt(-2.0 * math.log(gain))


def mtf_radius(gain: float, ratio: int) -> int:
    """PAN pixels the sampled Gaussian reaches on each side of its centre (4 sigma and the fractional phase)."""
    return math.ceil(4.0 * mtf_sigma(gain, ratio)) + 1


def _interpolator(t: Tensor, reach: int) -> Tensor:
    """Sinc times the envelope of the Lagrange half-band of 2 * reach points, zero for |t| >= reach."""
    inside = t.abs() < reach
    u = torch.where(inside, t, torch.zeros_like(t))
    top = 2 * torch.lgamma(torch.tensor(reach + 0.5, dtype=t.dtype))
    window = torch.exp(top - torch.lgamma(reach + 0.5 + u) - torch.lgamma(reach + 0.5 - u))
    return torch.where(inside, torch.sinc(u) * window, torch.zeros_like(t))


# Cached tensors must be ordinary ones, also when the first call comes from inside inference mode.
@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _expand_matrix(ratio: int, phase: float, reach: int) -> Tensor:
    """(ratio * BLOCK, BLOCK + 2 * reach) float64: PAN pixels of a block from its cells and `reach` more around."""
    n = torch.arange(ratio * BLOCK, dtype=torch.float64)[:, None]
    i = torch.arange(-reach, BLOCK + reach, dtype=torch.float64)[None, :]
    weights = _interpolator((n - phase) / ratio - i, reach)
    return weights / weights.sum(1, keepdim=True)


@lru_cache(maxsize=256)
@torch.inference_mode(mode=False)
def _reduce_matrix(ratio: int, phase: float, gain: float) -> Tensor:
    """(BLOCK, ratio * BLOCK + 2 * margin) float64: MS samples of a block from its PAN pixels and a margin of cells."""
    sigma, radius = mtf_sigma(gain, ratio), mtf_radius(gain, ratio)
    margin = reduce_margin(gain, ratio)
    cell = ratio * torch.arange(BLOCK, dtype=torch.float64)[:, None]
    centre = cell + phase
    n = torch.arange(-margin * ratio, (BLOCK + margin) * ratio, dtype=torch.float64)[None, :]
    base = cell + math.floor(phase)
    near = (n >= base - radius + 1) & (n <= base + radius)
    weights = torch.exp(-((n - centre) ** 2) / (2 * sigma**2)) * near
    return weights / weights.sum(1, keepdim=True)


def reduce_margin(gain: float, ratio: int) -> int:
    """Cells of PAN that a degraded sample needs on each side, for any phase in [-0.5, ratio - 0.5)."""
    return math.ceil((mtf_radius(gain, ratio) + 0.5) / ratio)


def seen(cells: tuple[int, int], gain: float, ratio: int, phase: float) -> tuple[int, int]:
    """First and last PAN pixel, along one axis, that `degrade` looks at for the cells from first to last."""
    radius = mtf_radius(gain, ratio)
    first, last = (ratio * cell + math.floor(phase) for cell in cells)
    return first - radius + 1, last + radius


def round_trip(pixels: tuple[int, int], gain: float, ratio: int, phase: float, reach: int = REACH) -> tuple[int, int]:
    """First and last PAN pixel that `interpolate(degrade(x))` looks at for the pixels from first to last."""
    first = math.floor((pixels[0] - phase) / ratio - reach) + 1
    last = math.ceil((pixels[1] - phase) / ratio + reach) - 1
    return seen((first, last), gain, ratio, phase)


def round_trip_reach(gain: float, ratio: int, phase: tuple[float, float]) -> int:
    """Cells beyond its own that a PAN pixel of `interpolate(degrade(x))` looks at, on the side where it is more."""
    ends = [round_trip((0, ratio - 1), gain, ratio, p) for p in phase]
    return max(max(-(top // ratio), bottom // ratio) for top, bottom in ends)


def _apply(x: Tensor, matrix: Tensor, step: int) -> Tensor:
    """Apply a block matrix along the rows (axis -2): blocks start every `step` rows of `x`.

    (..., n * step + extra, w) -> (..., n * matrix rows, w)
    """
    blocks = x.unfold(-2, matrix.shape[1], step).transpose(-1, -2)  # (..., n, size, w), a view
    out = matrix.to(x) @ blocks
    return out.flatten(-3, -2)


def _apply_cols(x: Tensor, matrix: Tensor, step: int) -> Tensor:
    """Apply a block matrix along the columns (axis -1)."""
    # The copy is the cheap part: a product over the strided view is seven times slower.
    blocks = x.unfold(-1, matrix.shape[1], step).contiguous()  # (..., h, n, size)
    out = blocks @ matrix.to(x).T
    return out.flatten(-2, -1)


def replicate(x: Shaped[Tensor, "b C h w"], top: int, bottom: int, left: int, right: int) -> Tensor:
    """Pad by repeating the edge pixels; any amount (negative: cut), any dtype."""
    return _repeated(_repeated(x, -2, top, bottom), -1, left, right)


def _repeated(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """`replicate` along one axis."""
    first, last = max(-before, 0), x.shape[axis] + min(after, 0)
    part = x.narrow(axis, first, last - first)
    # Edges that are joined to the whole are copied as they lie; index_select takes several times as long.
    top, bottom = [part.narrow(axis, 0, 1)] * max(before, 0), [part.narrow(axis, last - first - 1, 1)] * max(after, 0)
    return torch.cat([*top, part, *bottom], axis) if top or bottom else part


def _up(n: int) -> int:
    """Cells missing to a whole number of blocks."""
    return -n % BLOCK


def interpolate(
    ms: Float[Tensor, "b C h w"], ratio: int, phase: tuple[float, float], margin: int = 0, reach: int = REACH
) -> Float[Tensor, "b C H W"]:
    """EXP: `ms` on the PAN grid, by windowed sinc over the 12 nearest samples of each axis, DC gain 1.

    PAN index n sits at MS coordinate (n - phase) / ratio. Borders are replicated.

    Args:
        ms: the spectral image, any units.
        ratio: PAN pixels per MS pixel.
        phase: (row, col) in PAN pixels, in [-0.5, ratio - 0.5).
        margin: cells at each border of `ms` that are only looked at: the output leaves them out. REACH
            or more makes the result independent of what lies further away.
        reach: MS pixels that are looked at on each side of a cell; fewer than EXP's make a shorter, softer
            interpolation (2: cubic Lagrange).

    Returns:
        (b, C, ratio * (h - 2 * margin), ratio * (w - 2 * margin)), the units of `ms`.

    Source: specification of EXP; reduces to the 23-tap interpolator at phase ratio // 2.
    """
    h, w = ms.shape[-2] - 2 * margin, ms.shape[-1] - 2 * margin
    pad = reach - margin
    x = replicate(ms, pad, pad + _up(h), pad, pad + _up(w))
    x = _apply(x, _expand_matrix(ratio, phase[0], reach), BLOCK)[..., : ratio * h, :]
    return _apply_cols(x, _expand_matrix(ratio, phase[1], reach), BLOCK)[..., : ratio * w]


def degrade(
    x: Float[Tensor, "b C H W"],
    gains: Sequence[float],
    ratio: int,
    phase: tuple[float, float],
    margin: int = 0,
) -> Float[Tensor, "b C h w"]:
    """D: what the MS optics and detector make of `x`: the continuous Gaussian-filtered image, sampled at r * i + phase.

    DC gain 1, gain `gains[c]` at MS Nyquist, replicated borders. H and W are multiples of `ratio`.

    Args:
        x: an image on the PAN grid, any units.
        gains: one MTF gain at Nyquist per band of `x`, or one for all.
        ratio: PAN pixels per MS pixel.
        phase: (row, col) in PAN pixels.
        margin: cells at each border of `x` that are only looked at, as in `interpolate`.

    Returns:
        (b, C, H / ratio - 2 * margin, W / ratio - 2 * margin).
    """
    gains = list(gains) * (x.shape[1] if len(gains) == 1 else 1)
    groups = {gain: [c for c, g in enumerate(gains) if g == gain] for gain in gains}
    if len(groups) == 1:
        return _degrade(x, gains[0], ratio, phase, margin)
    out = [_degrade(x[:, bands], gain, ratio, phase, margin) for gain, bands in groups.items()]
    order = torch.tensor([c for bands in groups.values() for c in bands], device=x.device)
    return torch.cat(out, 1)[:, order.argsort()]


def _degrade(x: Tensor, gain: float, ratio: int, phase: tuple[float, float], margin: int) -> Tensor:
    return degrade_cols(degrade_rows(x, gain, ratio, phase[0], margin), gain, ratio, phase[1], margin)


def degrade_rows(
    x: Float[Tensor, "b C H w"], gain: float, ratio: int, phase: float, margin: int = 0
) -> Float[Tensor, "b C h w"]:
    """`degrade` along the rows alone, with one gain; h = H / ratio - 2 * margin."""
    h = x.shape[-2] // ratio - 2 * margin
    pad = ratio * (reduce_margin(gain, ratio) - margin)
    x = _repeated(x, -2, pad, pad + ratio * _up(h))
    return _apply(x, _reduce_matrix(ratio, phase, gain), ratio * BLOCK)[..., :h, :]


def degrade_cols(
    x: Float[Tensor, "b C h W"], gain: float, ratio: int, phase: float, margin: int = 0
) -> Float[Tensor, "b C h w"]:
    """`degrade` along the columns alone, with one gain; w = W / ratio - 2 * margin."""
    w = x.shape[-1] // ratio - 2 * margin
    pad = ratio * (reduce_margin(gain, ratio) - margin)
    x = _repeated(x, -1, pad, pad + ratio * _up(w))
    return _apply_cols(x, _reduce_matrix(ratio, phase, gain), ratio * BLOCK)[..., :w]


def adjoint(operator: Callable[[Tensor], Tensor], y: Tensor, shape: Sequence[int]) -> Tensor:
    """A'y of a linear operator A that takes tensors of `shape`: exact, from the operator itself by reverse mode."""
    x = torch.zeros(tuple(shape), dtype=y.dtype, device=y.device)
    return torch.func.vjp(operator, x)[1](y)[0]
