"""Impulse responses in frequency: amplitude, profiles, and what an analyst calls them.

Published: the ideal low-pass of an enlargement by s has its cut-off at pi / s, and the kernel sinc(n / s) (Deng et al.,
ICML 2024). Ours: the numbers that compare a network with it (the paper compares by eye), the system transfer function
of a fusion method, and the gain of injection that its response to PAN amounts to.

Frequencies are in radians per pixel of the output, in [-pi, pi).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from panloom.errors import OptionError
from panloom.optics.physical import mtf_sigma

#: Amplitude of what is not there, in dB.
SILENCE = -200.0

#: Samples between two pixels where the profile of a kernel is looked at for its side lobes.
FINE = 8

#: Input pixels along a side of the window in which a kernel is correlated with the ideal one: those of the paper's
#: experiment. A sinc has no end, so the number depends on the window.
WINDOW = 11


@dataclass(frozen=True)
class Descriptors:
    """What a low-pass is like, beside the ideal one, whose cut-off is pi / scale.

    Attributes:
        dc: sum of the kernel over scale^2; 1 keeps the level of an image.
        cutoff3: frequency at which the amplitude has lost 3 dB, in parts of pi / scale, mean of both axes; inf: nowhere
            up to pi; nan: the kernel has no DC to lose.
        cutoff6: the same for 6 dB.
        ripple: largest change of the amplitude on the axes in the lower half of the pass band, in dB; nan without DC.
        rejection: dB at the centres of the spectral images, 2 pi k / scale for k = 1 ... scale - 1, on the worse axis,
            beside DC; never less than SILENCE, nan without DC.
        outside: share of the energy outside `|row|, |column| <= pi / scale`.
        sidelobe: height of the first side lobe over that of the main one, mean of both axes; sinc: -0.217; nan: nothing
            at the centre.
        rho: correlation with the ideal low-pass around the same centre, in WINDOW x WINDOW input pixels; 1 for equal
            shapes.
    """

    dc: float
    cutoff3: float
    cutoff6: float
    ripple: float
    rejection: tuple[float, ...]
    outside: float
    sidelobe: float
    rho: float


def frequencies(size: int = 512) -> Float[Tensor, " size"]:
    """Those of `frequency_response` along an axis, in radians per pixel; 0 at size // 2."""
    return torch.fft.fftshift(torch.fft.fftfreq(size, dtype=torch.float64)) * 2 * math.pi


def frequency_response(
    kernel: Float[Tensor, "*n K K"], size: int = 512, *, centre: tuple[float, float] = (0.0, 0.0)
) -> Complex[Tensor, "*n size size"]:
    """The Fourier transform of kernels.

    Args:
        kernel: of odd size.
        size: frequencies along each axis, at least K.
        centre: (row, col), pixels from sample K // 2: where the phase is counted from.

    Returns:
        complex128; frequency 0 at [size // 2, size // 2].

    Raises:
        OptionError: the kernel is larger than `size`.
    """
    side = kernel.shape[-1]
    if side > size:
        raise OptionError(f"a kernel of {side} x {side} needs at least as many frequencies; given: {size}")
    plain = torch.fft.fftshift(torch.fft.fft2(kernel.double(), s=(size, size)), dim=(-2, -1))
    w = frequencies(size).to(kernel.device)
    row, col = (torch.exp(1j * w * (side // 2 + c)) for c in centre)
    return plain * row[:, None] * col


def centroid(kernel: Float[Tensor, "K K"]) -> tuple[float, float]:
    """(row, col) of the centre of gravity, in pixels from sample K // 2; 0 for a kernel that sums to nothing."""
    total = float(kernel.sum())
    if abs(total) <= 1e-9 * float(kernel.abs().sum()):
        return 0.0, 0.0
    place = torch.arange(kernel.shape[-1], dtype=torch.float64, device=kernel.device) - kernel.shape[-1] // 2
    weights = kernel.double() / total
    return float((weights.sum(1) * place).sum()), float((weights.sum(0) * place).sum())


def describe(kernel: Float[Tensor, "K K"], scale: int, *, centre: tuple[float, float] | None = None) -> Descriptors:
    """What one kernel is like as a low-pass of an enlargement by `scale`.

    Args:
        kernel: of odd size; one band over one channel, such as `response.kernel[0, 0]`.
        scale: output pixels per input pixel.
        centre: (row, col), pixels from sample K // 2: where the ideal low-pass would have its middle. None: the middle
            of the input pixel, (scale - 1) / 2, as resampling has it. For the MS response of a fusion method it is the
            phase of the pair.

    Raises:
        OptionError: not one kernel, or it is zero everywhere, or not finite; a scale below 1.
    """
    if kernel.ndim != 2:
        raise OptionError(
            f"one kernel (row, column) is described; given: {tuple(kernel.shape)}. Choose a band and a channel, as in "
            "kernel[0, 0]"
        )
    if scale < 1:
        raise OptionError(f"a scale is 1 or more output pixels per input pixel; given: {scale}")
    if not bool(kernel.isfinite().all()) or not bool(kernel.any()):
        raise OptionError("the kernel is zero everywhere, or not finite: it has no frequency response to describe")
    middle = (scale - 1) / 2
    where = (middle, middle) if centre is None else centre
    size = max(512, 1 << (2 * kernel.shape[-1] - 1).bit_length())
    response = frequency_response(kernel, size, centre=where)
    amplitude, dc = response.abs(), float(kernel.sum())
    axes = [axis_profile(amplitude, direction)[1] for direction in ("rows", "columns")]
    w = axis_profile(amplitude, "rows")[0]
    return Descriptors(
        dc=dc / scale**2,
        cutoff3=_mean(_cutoff(w, a, 3.0) for a in axes) * scale / math.pi,
        cutoff6=_mean(_cutoff(w, a, 6.0) for a in axes) * scale / math.pi,
        ripple=max(_ripple(w, a, math.pi / (2 * scale)) for a in axes),
        rejection=_rejection(kernel, scale),
        outside=_outside(amplitude, scale),
        sidelobe=_mean(_sidelobe(spectrum, scale) for spectrum in (response.mean(0), response.mean(1))),
        rho=_rho(kernel.double(), scale, where),
    )


def radial_profile(
    response: Complex[Tensor, "*n N N"] | Float[Tensor, "*n N N"], bins: int = 64
) -> tuple[Float[Tensor, " bins"], Float[Tensor, "*n bins"]]:
    """Frequencies and mean amplitudes of annuli of width pi / bins; the corners beyond pi are left out.

    Raises:
        OptionError: the annuli are finer than the frequencies.
    """
    size = response.shape[-1]
    if not 0 < bins <= size // 2:
        raise OptionError(f"{size} x {size} frequencies make 1 to {size // 2} annuli; given: {bins}")
    w = frequencies(size).to(response.device)
    index = (torch.hypot(w[:, None], w) * bins / math.pi).long().flatten()
    inside = index < bins
    values = response.abs().double().flatten(-2)[..., inside]
    sums = values.new_zeros(*values.shape[:-1], bins).index_add_(-1, index[inside], values)
    middle = (torch.arange(bins, dtype=torch.float64, device=response.device) + 0.5) * math.pi / bins
    return middle, sums / torch.bincount(index[inside], minlength=bins)


def axis_profile(
    response: Complex[Tensor, "*n N N"] | Float[Tensor, "*n N N"],
    direction: Literal["rows", "columns", "diagonal"] = "columns",
) -> tuple[Float[Tensor, " F"], Float[Tensor, "*n F"]]:
    """Frequencies from 0 to below pi, and amplitudes there.

    Args:
        response: frequency 0 in the middle.
        direction: "rows": detail that changes from row to row, that is vertical frequencies; "columns": horizontal
            ones; "diagonal": both alike, each as large as said.
    """
    half = response.shape[-1] // 2
    upper = response[..., half:, half:].abs().double()
    w = frequencies(response.shape[-1])[half:].to(response.device)
    if direction == "diagonal":
        return w, upper.diagonal(dim1=-2, dim2=-1)
    return w, upper[..., :, 0] if direction == "rows" else upper[..., 0, :]


def ideal_lowpass(scale: int, size: int = 127, *, centre: tuple[float, float] = (0.0, 0.0)) -> Float[Tensor, "K K"]:
    """The kernel of the ideal low-pass, sinc(row / scale) sinc(column / scale), cut to size x size; float64.

    Raises:
        OptionError: the size is not odd.
    """
    if size < 1 or size % 2 == 0:
        raise OptionError(f"a kernel has an odd size, so that it has a middle; given: {size}")
    place = torch.arange(size, dtype=torch.float64) - size // 2
    row, col = (torch.sinc((place - c) / scale) for c in centre)
    return torch.outer(row, col)


def mtf_curve(gain: float, ratio: int, frequencies: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The amplitude of a sensor's MTF: panloom's Gaussian, which has `gain` at pi / ratio.

    Args:
        gain: at the Nyquist frequency of MS.
        ratio: PAN pixels per MS pixel.
        frequencies: distance from 0, in radians per PAN pixel.
    """
    return torch.exp(-0.5 * (frequencies * mtf_sigma(gain, ratio)) ** 2)


def mtf_plane(gains: Float[Tensor, " bands"], ratio: int, size: int = 512) -> Float[Tensor, "bands size size"]:
    """`mtf_curve` of each band over the plane of frequencies of `frequency_response`."""
    w = frequencies(size)
    radius = torch.hypot(w[:, None], w)
    return torch.stack([mtf_curve(float(gain), ratio, radius) for gain in gains])


def injection_gain(
    pan: Complex[Tensor, "bands N N"], mtf: Float[Tensor, "bands N N"], ratio: int
) -> Float[Tensor, " bands"]:
    """The gain with which an MTF-GLP would inject PAN most like this: least squares of k on 1 - MTF above pi / ratio.

    Args:
        pan: frequency responses to PAN, phase counted from the pixel.
        mtf: of each band, on the same frequencies.
        ratio: PAN pixels per MS pixel.
    """
    high, lacking = high_frequencies(pan.shape[-2:], ratio).to(pan.device), 1 - mtf
    weight = lacking * high
    return (pan.real * weight).sum((-2, -1)) / (lacking * weight).sum((-2, -1))


def system_transfer(
    ms: Float[Tensor, "bands bands K K"],
    pan: Float[Tensor, "bands L L"],
    mtf: Float[Tensor, "bands N N"],
    *,
    ratio: int,
    phase: tuple[float, float],
    bands_on_band: Float[Tensor, "bands bands"],
    pan_on_band: Float[Tensor, " bands"],
) -> Float[Tensor, "bands N N"]:
    """What becomes of the detail of a band between the scene and the fused image: 1 everywhere would be true.

    `T_b = |sum_c K_bc MTF_c q_bc / ratio^2 + k_b p_b|`: the detail of band b in the scene, 1, is q_bc in band c and p_b
    in PAN. It reaches the result through the optics, the samples and K, and through PAN and k. The spectral images of
    the samples, which K lets pass, are not in it: they are in the `rejection` of K.

    Args:
        ms: kernels of the response to MS; band of the result, band of MS.
        pan: kernels of the response to PAN.
        mtf: of each band.
        ratio: PAN pixels per MS pixel.
        phase: (row, col) of MS sample (0, 0) on the PAN grid.
        bands_on_band: [b, c] is the slope of band c on band b in the scene's detail; 1 on the diagonal.
        pan_on_band: slope of PAN on each band.
    """
    size = mtf.shape[-1]
    through_ms = torch.zeros(len(ms), size, size, dtype=torch.complex128, device=ms.device)
    for band, kernels in enumerate(ms.unbind(1)):
        seen = mtf[band] * bands_on_band[:, band, None, None]
        through_ms += frequency_response(kernels, size, centre=phase) * seen / ratio**2
    return (through_ms + frequency_response(pan, size) * pan_on_band[:, None, None]).abs()


def high_frequencies(size: Sequence[int], scale: int) -> Bool[Tensor, "H W"]:
    """Which frequencies lie outside `|row|, |column| <= pi / scale`; 0 in the middle."""
    row, col = (frequencies(n).abs() > math.pi / scale * (1 + 1e-12) for n in size)
    return row[:, None] | col


# ---- descriptors ---------------------------------------------------------------------------------


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _has_dc(amplitude: Tensor) -> bool:
    """That the first number is more than rounding beside the largest."""
    return float(amplitude[0]) > 1e-9 * float(amplitude.max())


def _cutoff(w: Tensor, amplitude: Tensor, loss: float) -> float:
    """Where the amplitude first falls below that at 0 by `loss` dB."""
    if not _has_dc(amplitude):
        return math.nan
    limit = float(amplitude[0]) * 10 ** (-loss / 20)
    below = (amplitude < limit).nonzero()
    if not len(below):
        return math.inf
    after = int(below[0])
    a, b = float(amplitude[after - 1]), float(amplitude[after])
    return float(w[after - 1] + (w[after] - w[after - 1]) * (a - limit) / (a - b))


def _ripple(w: Tensor, amplitude: Tensor, end: float) -> float:
    if not _has_dc(amplitude):
        return math.nan
    band = amplitude[w <= end] / amplitude[0]
    return float((20 * torch.log10(band.clamp_min(10 ** (SILENCE / 20)))).abs().max())


def _rejection(kernel: Tensor, scale: int) -> tuple[float, ...]:
    place = torch.arange(kernel.shape[-1], dtype=torch.float64, device=kernel.device)
    waves = torch.exp(-2j * math.pi / scale * torch.outer(torch.arange(scale), place.cpu())).to(kernel.device)
    sums = torch.stack([kernel.double().sum(1), kernel.double().sum(0)]).to(waves.dtype)
    worst = (sums @ waves.T).abs().amax(0)
    if not _has_dc(worst):
        return (math.nan,) * (scale - 1)
    return tuple((20 * torch.log10((worst / worst[0]).clamp_min(10 ** (SILENCE / 20))))[1:].tolist())


def _outside(amplitude: Tensor, scale: int) -> float:
    energy = amplitude.square()
    high = high_frequencies(energy.shape, scale).to(energy.device)
    return float(energy[high].sum() / energy.sum())


def _sidelobe(spectrum: Complex[Tensor, " N"], scale: int) -> float:
    """Of the profile through the centre, whose frequencies these are, with samples between the pixels."""
    size = len(spectrum)
    wide = torch.zeros(FINE * size, dtype=spectrum.dtype, device=spectrum.device)
    start = (FINE - 1) * size // 2
    wide[start : start + size] = spectrum
    profile = torch.fft.fftshift(torch.fft.ifft(torch.fft.ifftshift(wide))).real
    distance = (torch.arange(FINE * size, device=profile.device) - FINE * size // 2).abs() / FINE
    peak = float(profile[FINE * size // 2])
    lobe = profile[(distance >= scale) & (distance <= 2 * scale)]
    return float(lobe[lobe.abs().argmax()]) / peak if peak else math.nan


def _rho(kernel: Tensor, scale: int, centre: tuple[float, float]) -> float:
    ideal = ideal_lowpass(scale, kernel.shape[-1], centre=centre).to(kernel.device)
    place = torch.arange(kernel.shape[-1], dtype=torch.float64, device=kernel.device) - kernel.shape[-1] // 2
    near = [(place - c).abs() < WINDOW * scale / 2 for c in centre]
    a, b = (x[near[0]][:, near[1]] for x in (kernel, ideal))
    return float((a * b).sum() / (a.norm() * b.norm()))
