"""HyRA: a network as a linear, shift-invariant part and the rest, N(I) = H(I) + G(I).

Published (Deng et al., ICML 2024): H is the convolution with the network's response to an impulse, after zeros are put
between the pixels; G = N - H. Ours: the exact form, a transposed convolution with the offset, the borders and the cross
terms of all channels right, about a background (H(I) = N(b) + h * (I - b)), and energies that say how much of G only
takes away what H left behind: `Shares`. `published_split` and `sinc_upsample` are the paper's own forms, with what they
get wrong, for comparison with its pictures.

A network that is not linear has no linear part of its own: H depends on the experiment that gave the response.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional

from panloom.analysis._convolution import Padding, continued, spaced, transposed
from panloom.analysis._running import check_repeats, fitted, run, seeded
from panloom.analysis.impulse import Response, Upsampler
from panloom.analysis.spectrum import high_frequencies
from panloom.errors import OptionError
from panloom.optics.moments import ROUNDING


@dataclass(frozen=True)
class Shares:
    """How much of an image is linear. High: frequencies above pi / scale along an axis, seen through a Hann window.

    All are nan for a band that is constant up to rounding: nothing can be said of it.

    Attributes:
        r2: `1 - |G|^2 / |N - mean N|^2`, per band: 1 where the network is linear, below 0 where H is worse than a
            constant.
        high_output: energy of the high frequencies of N, in parts of that of N - mean N, per band.
        high_linear: energy of the high frequencies of H, in parts of that of N's, per band.
        high_nonlinear: the same for G.
        cancellation: `-<H, G> / (|H| |G|)` of the high frequencies, per band: 1 where G only takes away what H has too
            much; nan where one of them has none.
        injected: energy of the high frequencies of N, in parts of that of N with its mean, per band.
    """

    r2: Float[Tensor, " bands"]
    high_output: Float[Tensor, " bands"]
    high_linear: Float[Tensor, " bands"]
    high_nonlinear: Float[Tensor, " bands"]
    cancellation: Float[Tensor, " bands"]
    injected: Float[Tensor, " bands"]


@dataclass(frozen=True)
class Split:
    """An image of a network, its linear part and what remains; output = linear + nonlinear; float64.

    Attributes:
        output: N(image).
        linear: H(image).
        nonlinear: G(image).
        scale: the high frequencies are those above pi / scale.
    """

    output: Float[Tensor, "bands H W"]
    linear: Float[Tensor, "bands H W"]
    nonlinear: Float[Tensor, "bands H W"]
    scale: int

    def shares(self, border: int = 0) -> Shares:
        """Energies, without `border` pixels on every side, where the continuation of the image counts.

        Raises:
            OptionError: nothing is left.
        """
        height, width = (n - 2 * border for n in self.output.shape[1:])
        if border < 0 or min(height, width) < 2:
            raise OptionError(f"a border of {border} leaves {height} x {width} of {tuple(self.output.shape)}")
        cut = (..., slice(border, border + height), slice(border, border + width))
        output, linear, rest = (x[cut] for x in (self.output, self.linear, self.nonlinear))
        spread = (output - output.mean((1, 2), keepdim=True)).square().sum((1, 2))
        spectra = [_windowed(x, remove_mean=True) for x in (output, linear, rest)]
        high = [_high(x, self.scale) for x in spectra]
        n, h, g = ((x.abs() ** 2).sum(1) for x in high)
        between = (high[1] * high[2].conj()).sum(1).real
        whole = _windowed(output, remove_mean=False).abs().square().sum((1, 2))
        rounding = height * width * (ROUNDING * output.abs().amax((1, 2))).square()
        shares = (
            1 - rest.square().sum((1, 2)) / spread,
            n / spectra[0].abs().square().sum((1, 2)),
            h / n,
            g / n,
            -between / (h * g).sqrt(),
            n / whole,
        )
        return Shares(*(torch.where(spread > rounding, share, torch.nan) for share in shares))


def linear_part(
    image: Float[Tensor, "in h w"],
    response: Response,
    *,
    padding: Padding = "reflect",
    offset: tuple[int, int] | None = None,
) -> Float[Tensor, "out H W"]:
    """The transposed convolution of an image with a response: every pixel leaves its value times the kernel; float64.

    Args:
        image: H = scale * h, W = scale * w.
        response: one to a white impulse filters every channel by itself, as the paper does.
        padding: how the image goes on beyond its borders.
        offset: (row, col) of the kernel's sample that falls on scale times the pixel's place; None: the middle one.

    Raises:
        OptionError: channels that do not fit.
    """
    kernel = response.kernel
    middle = offset or (kernel.shape[-2] // 2, kernel.shape[-1] // 2)
    bands, inputs = kernel.shape[:2]
    if inputs == len(image):
        return transposed(image, kernel, response.scale, middle, padding)
    if not response.white or bands != len(image):
        raise OptionError(f"the response has {inputs} channels in and {bands} out; the image has {len(image)}")
    pairs = zip(image.split(1), kernel.split(1), strict=True)
    return torch.cat([transposed(channel, k, response.scale, middle, padding) for channel, k in pairs])


def split(net: Upsampler, image: Float[Tensor, "in h w"], response: Response, *, seed: int | None = None) -> Split:
    """A network's output for an image, its linear part and the rest.

    The linear part is N(b) + h * (I - b): b is the background that was subtracted where it was one number, else the
    image's own mean in each channel; h * I alone where nothing was subtracted, as the paper does.

    Args:
        net: the network of the response.
        image: in its units; of any size that it takes.
        response: with an impulse in all channels, one after the other or at once ("white").
        seed: of a network that draws noise.

    Raises:
        OptionError: the network does not take the image, is in training mode, draws noise without a seed, or its
            channels are not the response's.
    """
    x = fitted(net, image)
    net = seeded(net, seed)
    given = run(net, x[None], response.scale)
    check_repeats(given, run(net, x[None], response.scale), seed)
    output = given[0].double()
    if response.recipe == "published" or (response.recipe == "finite" and response.baseline is None):
        linear = linear_part(x, response)
    else:
        level = x.mean((1, 2), keepdim=True)
        ground = (level if response.level is None else torch.full_like(level, response.level)).expand_as(x).contiguous()
        linear = run(net, ground[None], response.scale)[0].double() + linear_part(x - ground, response)
    return Split(output, linear, output - linear, response.scale)


# ---- the paper's own forms -----------------------------------------------------------------------


def published_split(
    lr: Float[Tensor, "c h w"], sr: Float[Tensor, "c H W"], kernel: Float[Tensor, "c K K"], scale: int
) -> tuple[Float[Tensor, "c H1 W1"], Float[Tensor, "c H1 W1"]]:
    """(linear, nonlinear) by the recipe of the paper's code, for comparison with its results only.

    The image is mirrored by K // (2 scale) pixels, zeros are put between the pixels, and each channel is correlated
    (not convolved) with its kernel. So `linear` is scale - 1 pixels short and displaced by as many, and `nonlinear` is
    the output resized to it by nearest neighbours, less it.

    Args:
        lr: input of the network.
        sr: its output.
        kernel: its response to a white impulse, one per channel.
        scale: output pixels per input pixel.

    Raises:
        OptionError: the three are not of the same channels.
    """
    if not len(lr) == len(sr) == len(kernel):
        raise OptionError(f"input, output and kernel have as many channels; given: {len(lr)}, {len(sr)}, {len(kernel)}")
    inserted = spaced(continued(lr, kernel.shape[-1] // (2 * scale), "reflect"), scale)
    linear = functional.conv2d(inserted[None], kernel[:, None].to(inserted), groups=len(lr))[0]
    resized = functional.interpolate(sr[None], size=linear.shape[1:], mode="nearest")[0]
    return linear, resized - linear


def sinc_upsample(image: Float[Tensor, "c h w"], scale: int, omega: float) -> Float[Tensor, "c H W"]:
    """Enlargement by the paper's sinc, each channel rescaled to the least and largest value that it had.

    A constant channel stays as it is.

    The cut-off is pi omega / (scale (h // 2)) radians per pixel, so omega = h // 2 is the ideal pi / scale. Pixel n
    stays at scale * n, which is (scale - 1) / 2 pixels up and left of where resampling puts it.

    Args:
        image: square, as the paper's code needs it.
        scale: output pixels per input pixel.
        omega: see above.

    Raises:
        OptionError: the image is not square.
    """
    if image.shape[1] != image.shape[2]:
        raise OptionError(f"the paper's sinc is for square images; given: {tuple(image.shape)}")
    half = image.shape[1] // 2
    place = torch.linspace(-1, 1, 2 * scale * half + 1, dtype=image.dtype, device=image.device)
    line = torch.sinc(place * omega)
    inserted = spaced(continued(image, half, "reflect"), scale)[:, None]
    y = functional.conv2d(functional.conv2d(inserted, line[None, None, :, None]), line[None, None, None, :])[:, 0]
    low, high = (f(y.flatten(1), 1)[:, None, None] for f in (torch.amin, torch.amax))
    least, most = (f(image.flatten(1), 1)[:, None, None] for f in (torch.amin, torch.amax))
    return torch.where(most > least, (y - low) / (high - low) * (most - least) + least, least)


# ---- energies ------------------------------------------------------------------------------------


def _windowed(x: Float[Tensor, "c h w"], *, remove_mean: bool) -> Complex[Tensor, "c h w"]:
    """The spectrum through a Hann window, without which the borders would be high frequencies; 0 in the middle."""
    row, col = (torch.hann_window(n, periodic=True, dtype=x.dtype, device=x.device) for n in x.shape[1:])
    level = x.mean((1, 2), keepdim=True) if remove_mean else 0.0
    return torch.fft.fftshift(torch.fft.fft2((x - level) * row[:, None] * col), dim=(-2, -1))


def _high(spectrum: Complex[Tensor, "c h w"], scale: int) -> Complex[Tensor, "c n"]:
    return spectrum[:, high_frequencies(spectrum.shape[1:], scale).to(spectrum.device)]
