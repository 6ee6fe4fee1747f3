"""The `toolbox` form of the sensor as operators: for parity with published values, not for the product.

Conventions (those of the reference data sets and their indices): images are (b, C, H, W) in digital numbers,
float32 or float64; nothing is clipped, rounded or renormalised; MS sample i lies on PAN index ratio * i +
ratio // 2. Borders differ by operator: MTF, Gaussian and box filters replicate the edge, the 23-tap
interpolator wraps around, resizing and the wavelet low pass mirror with the edge repeated.

Tolerances, held by tests against stored values of the reference toolbox: kernels 1e-15 absolute; images 1e-6
relative + 1e-4 DN in float64, 1e-4 relative + 0.05 DN in float32.

Sources: Vivone et al., "A critical comparison among pansharpening algorithms", IEEE TGRS 2015, and "A new
benchmark based on recent advances in multispectral pansharpening", IEEE GRSM 2021 (protocol, gains,
interpolator); Aiazzi et al., "MTF-tailored multiscale fusion", PE&RS 2006 (MTF kernels); Wald et al., PE&RS
1997 (degradation protocol). The product uses `panloom.optics.physical`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.errors import OptionError

#: The 23 interpolator taps at distances 1, 3, ..., 11 from the centre, which is 1; the others are zero.
HALF_BAND = (
    0.610668182370,
    -0.145397186478,
    0.043619155884,
    -0.010385513306,
    0.001615524292,
    -0.000120162964,
)

#: The B-spline low pass of the undecimated wavelet, the same at every level.
SPLINE = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)

Border = Literal["replicate", "mirror", "wrap"]
Resampling = Literal["bicubic", "bilinear", "nearest"]


# ---- kernels --------------------------------------------------------------------------------------


def mtf_kernel(gain: float, ratio: int, size: int = 41) -> Float[Tensor, "n n"]:
    """The MTF low pass of one band, by the window method; float64.

    The frequency response is a Gaussian that is `gain` at (N - 1) / (2 ratio) of N frequency bins; its
    inverse transform is cut by a Kaiser window (beta 0.5) rotated about the centre. The sum is a little below
    1 (0.998 at ratio 4) and is left so, and the true gain at Nyquist is gain ** (N / (N - 1)) ** 2. Within
    1e-15 of the stored kernels for `size` 41.

    Args:
        gain: of the MTF at the Nyquist frequency of MS, in (0, 1).
        ratio: PAN pixels per MS pixel.
        size: N, rows and columns of the kernel; odd, 3 or more.

    Raises:
        OptionError: an argument is out of its range.
    """
    return _window_method(gain, size - 1, ratio, size)


def generic_gaussian(ratio: int, gain: float = 0.3, size: int = 41) -> Float[Tensor, "n n"]:
    """The low pass that some fusion rules use for PAN whatever the sensor; float64.

    As `mtf_kernel`, but the response is `gain` at N / (2 ratio) bins: the two families differ by N for N - 1.
    Within 1e-15 of the stored kernels.

    Raises:
        OptionError: an argument is out of its range.
    """
    return _window_method(gain, size, ratio, size)


def _window_method(gain: float, span: int, ratio: int, size: int) -> Tensor:
    if not 0 < gain < 1:
        raise OptionError(f"gain {gain} is not an MTF gain at Nyquist; give a number between 0 and 1")
    if size < 3 or size % 2 == 0:
        raise OptionError(f"kernel size {size} has no centre; give an odd number of 3 or more")
    if ratio < 1:
        raise OptionError(f"ratio {ratio} is no ratio of pixels; give a positive number")
    nyquist = span / (2 * ratio)
    u = torch.arange(size, dtype=torch.float64) - size // 2
    square = u[:, None] ** 2 + u[None, :] ** 2
    response = torch.exp(square * math.log(gain) / nyquist**2)
    response[response < torch.finfo(torch.float64).eps] = 0
    kernel = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(response)).real)
    return kernel * _rotated_kaiser(square.sqrt(), size)


def _rotated_kaiser(radius: Tensor, size: int) -> Tensor:
    """The Kaiser window over the radius in pixels: linear between its samples, zero further out."""
    half = size // 2
    samples = torch.kaiser_window(size, periodic=False, beta=0.5, dtype=torch.float64)[half:]
    below = radius.floor().clamp(max=half - 1).long()
    window = torch.lerp(samples[below], samples[below + 1], radius - below)
    return torch.where(radius <= half, window, torch.zeros_like(window))


# Made outside inference mode even if first asked for inside it: a later backward pass may need the tensor.
@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _cached_mtf(gain: float, ratio: int) -> Tensor:
    return mtf_kernel(gain, ratio)


# ---- filters --------------------------------------------------------------------------------------


def mtf_filter(x: Float[Tensor, "b C H W"], gains: Sequence[float], ratio: int) -> Float[Tensor, "b C H W"]:
    """Blur each band with its MTF; replicated borders, not decimated, not renormalised.

    Args:
        x: an image on the fine grid, in digital numbers.
        gains: one MTF gain at Nyquist per band of `x`.
        ratio: fine pixels per coarse pixel.

    Raises:
        OptionError: the number of gains is not the number of bands, or a gain is out of (0, 1).
    """
    if len(gains) != x.shape[1]:
        raise OptionError(f"{len(gains)} MTF gains for an image of {x.shape[1]} bands; give one gain per band")
    return correlate(x, torch.stack([_cached_mtf(gain, ratio) for gain in gains]))


def correlate(x: Float[Tensor, "b C H W"], kernel: Float[Tensor, "*k n n"]) -> Float[Tensor, "b C H W"]:
    """Correlate with an odd kernel, one (n, n) for all bands or one each (C, n, n); replicated borders.

    Runs through the discrete Fourier transform of the padded image: exact to rounding (about 1e-15 of the
    largest value in float64), and far cheaper than 41 x 41 sums.

    Raises:
        OptionError: the kernels do not match the bands, or have no centre.
    """
    if kernel.shape[:-2].numel() not in (1, x.shape[1]) or kernel.shape[-1] % 2 == 0:
        raise OptionError(
            f"kernel of shape {tuple(kernel.shape)} for an image of {x.shape[1]} bands; give one kernel of "
            f"odd size, or one per band"
        )
    margin = kernel.shape[-1] // 2
    padded = _pad(_pad(x, margin, "replicate", -2), margin, "replicate", -1)
    size = padded.shape[-2:]
    transfer = torch.fft.rfft2(kernel.to(x), s=size).conj()
    full = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer, s=size)
    return full[..., : x.shape[-2], : x.shape[-1]]


def box_filter(x: Float[Tensor, "b C H W"], size: int) -> Float[Tensor, "b C H W"]:
    """Mean over `size` x `size` pixels; replicated borders.

    Raises:
        OptionError: `size` is even, so that the box has no centre.
    """
    if size < 1 or size % 2 == 0:
        raise OptionError(f"box size {size} has no centre; give an odd number of 1 or more")
    taps = (1 / size,) * size
    for axis in (-2, -1):
        x = slide(_pad(x, size // 2, "replicate", axis), taps, axis)
    return x


def atrous(x: Float[Tensor, "b C H W"], ratio: int) -> Float[Tensor, "b C H W"]:
    """The low pass of the undecimated wavelet: the approximation at level log2(ratio), transformed back.

    [1 4 6 4 1] / 16 along both axes, never dilated, log2(ratio) times in the analysis and as often in the
    synthesis. Each analysis step mirrors 4 samples (edge repeated) on every side and keeps the valid ones, so
    the signal grows by 2 on every side; each synthesis step takes that back.

    Raises:
        OptionError: `ratio` is not a power of two.
    """
    levels = wavelet_levels(ratio)
    for axis in (-2, -1):
        for _ in range(levels):
            x = slide(_pad(x, 4, "mirror", axis), SPLINE, axis)
        for _ in range(levels):
            x = slide(x, SPLINE, axis)
    return x


def wavelet_levels(ratio: int) -> int:
    """Levels of the undecimated wavelet between the two grids: log2(ratio).

    Raises:
        OptionError: `ratio` is not a power of two.
    """
    levels = ratio.bit_length() - 1
    if ratio < 2 or ratio != 1 << levels:
        raise OptionError(f"ratio {ratio} has no dyadic wavelet level; the wavelet low pass works at 2, 4, 8, ...")
    return levels


def wavelet_planes(x: Float[Tensor, "b C H W"], levels: int) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """The undecimated wavelet transform with the filters and borders of `atrous`, in two directions.

    Returns:
        The approximation, 2 * levels pixels larger on every side, and the details of each level, finest first:
        high along columns, along rows, along both. The high pass is what the low pass takes away.
    """
    details = []
    for _ in range(levels):
        low, high = _split(x, -2)
        (x, columns), (rows, both) = _split(low, -1), _split(high, -1)
        details.append((columns, rows, both))
    return x, details


def wavelet_image(low: Tensor, details: list[tuple[Tensor, Tensor, Tensor]]) -> Float[Tensor, "b C H W"]:
    """The image of its planes: inverse of `wavelet_planes`."""
    for columns, rows, both in reversed(details):
        low = _merge(_merge(low, columns, -1), _merge(rows, both, -1), -2)
    return low


def _split(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """One step of the analysis along an axis: 2 samples more at both ends."""
    low = slide(_pad(x, 4, "mirror", axis), SPLINE, axis)
    return low, _pad(x, 2, "mirror", axis) - low


def _merge(low: Tensor, high: Tensor, axis: int) -> Tensor:
    """One step of the synthesis: h * low + (1 + h) * high with the low pass h."""
    inner = high.narrow(axis, 2, high.shape[axis] - 4)
    return slide(low + high, SPLINE, axis) + inner


def _pad(x: Tensor, margin: int, border: Border, axis: int) -> Tensor:
    """`margin` samples more at both ends of an axis, of any size."""
    index = torch.arange(-margin, x.shape[axis] + margin, device=x.device)
    return x.index_select(axis, _inside(index, x.shape[axis], border))


def _inside(index: Tensor, n: int, border: Border) -> Tensor:
    """Where the border rule finds the samples of indices that may lie outside [0, n)."""
    if border == "replicate":
        return index.clamp(0, n - 1)
    if border == "wrap":
        return index.remainder(n)
    folded = index.remainder(2 * n)
    return torch.minimum(folded, 2 * n - 1 - folded)


def slide(x: Tensor, taps: Sequence[float], axis: int) -> Tensor:
    """Correlate with a few taps along an axis, without borders: the output is len(taps) - 1 samples shorter."""
    n = x.shape[axis] - len(taps) + 1
    out = taps[0] * x.narrow(axis, 0, n)
    for k, tap in enumerate(taps[1:], start=1):
        out.add_(x.narrow(axis, k, n), alpha=tap)
    return out


# ---- changes of the grid --------------------------------------------------------------------------


def decimate(x: Float[Tensor, "b C H W"], ratio: int) -> Float[Tensor, "b C h w"]:
    """Keep samples ratio // 2, ratio // 2 + ratio, ... of both axes (0-based); a view."""
    return x[..., ratio // 2 :: ratio, ratio // 2 :: ratio]


def degrade_ms(x: Float[Tensor, "b C H W"], gains: Sequence[float], ratio: int) -> Float[Tensor, "b C h w"]:
    """MS of Wald's protocol: `mtf_filter`, then `decimate`.

    Raises:
        OptionError: as `mtf_filter`.
    """
    return decimate(mtf_filter(x, gains, ratio), ratio)


def degrade_pan(pan: Float[Tensor, "b C H W"], ratio: int) -> Float[Tensor, "b C h w"]:
    """PAN of Wald's protocol: bicubic `imresize` by 1 / ratio, the almost ideal filter; no PAN MTF."""
    return imresize(pan, 1 / ratio, "bicubic")


def interp23(x: Float[Tensor, "b C h w"], ratio: int) -> Float[Tensor, "b C H W"]:
    """EXP: the 23-tap half-band interpolator, in stages of 2; wrapped borders.

    Sample i lands unchanged on index ratio * i + ratio // 2. A border is felt 11 PAN pixels inside the image
    at ratio 2, and 33 at ratio 4.

    Args:
        x: the image on the coarse grid.
        ratio: 2 or 4. The published cascade is wrong for any other.

    Returns:
        (b, C, ratio * h, ratio * w).

    Raises:
        OptionError: another ratio.
    """
    if ratio not in (2, 4):
        raise OptionError(f"ratio {ratio}: the 23-tap interpolator is defined for 2 and 4; use the physical EXP")
    x = _double(_double(x, -2, first=True), -1, first=True)
    if ratio == 4:
        x = _double(_double(x, -2, first=False), -1, first=False)
    return x


def _double(x: Tensor, axis: int, *, first: bool) -> Tensor:
    """One stage along one axis: samples go to the odd indices in the first stage, to the even ones later."""
    n, reach = x.shape[axis], len(HALF_BAND)
    padded = _pad(x, reach, "wrap", axis)
    # A new sample of the first stage comes before the old one of the same number, later after it.
    left = reach - 1 if first else reach
    between = torch.zeros_like(x)
    for k, tap in enumerate(HALF_BAND):
        between.add_(padded.narrow(axis, left - k, n) + padded.narrow(axis, left + 1 + k, n), alpha=tap)
    pair = (between, x) if first else (x, between)
    axis = axis % x.ndim
    return torch.stack(pair, axis + 1).flatten(axis, axis + 1)


def imresize(x: Float[Tensor, "b C H W"], scale: float, kind: Resampling) -> Float[Tensor, "b C h w"]:
    """Resize as MATLAB's `imresize` does; mirrored borders (edge repeated).

    Output sample i is centred on (i + 0.5) / scale - 0.5. When shrinking, the bicubic (Keys, a = -1/2) and
    bilinear kernels are widened by 1 / scale against aliasing; "nearest" picks samples. The weights of a
    sample sum to 1.

    Args:
        x: an image.
        scale: factor of both axes, positive.
        kind: the kernel.

    Returns:
        (b, C, ceil(scale * H), ceil(scale * W)).

    Raises:
        OptionError: `scale` is not a positive number.
    """
    if not (scale > 0 and math.isfinite(scale)):
        raise OptionError(f"scale {scale} is no factor of size; give a positive number")
    rows = _resize_matrix(x.shape[-2], scale, kind).to(x)
    cols = _resize_matrix(x.shape[-1], scale, kind).to(x)
    return rows @ x @ cols.T


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _resize_matrix(n: int, scale: float, kind: Resampling) -> Tensor:
    """(ceil(scale * n), n) float64: the weights of all samples along one axis."""
    kernel, reach = _KERNELS[kind]
    shrink = min(scale, 1.0) if kind != "nearest" else 1.0
    # 1-based positions, in MATLAB's order of operations: ties at x.5 must round the same way.
    position = torch.arange(1, math.ceil(scale * n) + 1, dtype=torch.float64) / scale + 0.5 * (1 - 1 / scale)
    first = torch.floor(position - reach / shrink)
    index = first[:, None] + torch.arange(math.ceil(2 * reach / shrink) + 2, dtype=torch.float64)
    weights = kernel((position[:, None] - index) * shrink)
    weights = weights / weights.sum(1, keepdim=True)
    matrix = torch.zeros(len(position), n, dtype=torch.float64)
    return matrix.scatter_add_(1, _inside(index.long() - 1, n, "mirror"), weights)


def _keys(t: Tensor) -> Tensor:
    """The cubic convolution kernel with a = -1/2."""
    t = t.abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t <= 1, near, torch.where(t <= 2, far, torch.zeros_like(t)))


def _triangle(t: Tensor) -> Tensor:
    return (1 - t.abs()).clamp(min=0)


def _box(t: Tensor) -> Tensor:
    return ((t >= -0.5) & (t < 0.5)).to(t)


_KERNELS = {"bicubic": (_keys, 2.0), "bilinear": (_triangle, 1.0), "nearest": (_box, 0.5)}


# ---- statistics -----------------------------------------------------------------------------------


def percentile(x: Float[Tensor, "b C H W"], p: float) -> Float[Tensor, "b C"]:
    """The p-th percentile of each band by Hazen's rule.

    Sorted sample k of n, counted from 1, is the percentile 100 (k - 0.5) / n. Linear between samples,
    constant beyond the first and the last.

    Args:
        x: an image.
        p: in [0, 100].

    Raises:
        OptionError: `p` is out of its range.
    """
    if not 0 <= p <= 100:
        raise OptionError(f"percentile {p} does not exist; give a number between 0 and 100")
    flat = x.flatten(-2).sort(-1).values
    last = flat.shape[-1] - 1
    position = min(max(flat.shape[-1] * p / 100 - 0.5, 0.0), float(last))
    below = math.floor(position)
    return torch.lerp(flat[..., below], flat[..., min(below + 1, last)], position - below)
