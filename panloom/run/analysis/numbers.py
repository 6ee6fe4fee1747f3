"""Numbers that methods and models share: curves, parts of an output, images beside a truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Complex, Float, Shaped
from torch import Tensor

from panloom.analysis import Split
from panloom.errors import OptionError
from panloom.metrics.fsds import FSDS, FSDS_POWER, FSDS_WINDOWED, SpectrumIndex, SpectrumSimilarity
from panloom.run.analysis.record import Likeness, Lines, Parts, Quality, Share
from panloom.types import Window

#: Frequencies along a side of the plane that responses are drawn in.
PLANE = 512

#: What the axis of a profile is called; parts of pi, because that is where a grid ends.
FREQUENCY = "frequency in parts of pi per output pixel"

#: What the axis of a cut is called.
PLACE = "output pixels from the middle"

#: Pixels along a side of the smallest image that FSDS is taken of.
LEAST = 32


def on_axes(plane: Complex[Tensor, "*n N N"] | Float[Tensor, "*n N N"]) -> Float[Tensor, "*n F"]:
    """Amplitudes from frequency 0 to below pi, the mean of the row and the column axis."""
    half = plane.shape[-1] // 2
    sizes = plane.abs().double()
    return (sizes[..., half:, half] + sizes[..., half, half:]) / 2


def profile(curves: Mapping[str, Float[Tensor, " F"]]) -> Lines:
    """Amplitudes over frequencies in parts of pi, from 0."""
    count = len(next(iter(curves.values())))
    places = tuple(k / count for k in range(count))
    return Lines(FREQUENCY, places, {name: numbers(values) for name, values in curves.items()})


def cut(kernels: Mapping[str, Float[Tensor, "K K"]], row: float = 0.0) -> Lines:
    """One row of kernels, which may differ in size: beyond a smaller one there is nothing.

    Args:
        kernels: by name.
        row: pixels from the middle one, rounded down to a whole one.
    """
    reach = max(kernel.shape[-1] // 2 for kernel in kernels.values())
    rows: dict[str, tuple[float, ...]] = {}
    for name, kernel in kernels.items():
        half = kernel.shape[-1] // 2
        padded = torch.nn.functional.pad(kernel[half + math.floor(row)].double(), (reach - half, reach - half))
        rows[name] = numbers(padded)
    return Lines(PLACE, tuple(float(k) for k in range(-reach, reach + 1)), rows)


def numbers(values: Shaped[Tensor, " n"]) -> tuple[float, ...]:
    """A vector as plain numbers."""
    return tuple(float(value) for value in values)


def table(values: Shaped[Tensor, "n m"]) -> tuple[tuple[float, ...], ...]:
    """A matrix as plain numbers."""
    return tuple(numbers(row) for row in values)


def shared(done: Split, response: str, names: Sequence[str], border: int) -> Parts:
    """The energies of an output and its parts.

    Args:
        done: the output and its parts.
        response: that the linear part is made with.
        names: of the bands.
        border: pixels on each side that do not count.
    """
    found = done.shares(border)
    bands = tuple(
        Share(
            band=name,
            r2=float(found.r2[b]),
            high_output=float(found.high_output[b]),
            high_linear=float(found.high_linear[b]),
            high_nonlinear=float(found.high_nonlinear[b]),
            cancellation=float(found.cancellation[b]),
        )
        for b, name in enumerate(names)
    )
    return Parts(response, bands, border)


def compared_with_truth(
    truth: Float[Tensor, "C H W"],
    images: Mapping[str, Float[Tensor, "C H W"]],
    names: Sequence[str],
    peak: float,
    words: str,
) -> Quality:
    """PSNR and FSDS of images, band by band.

    Args:
        truth: what they should be.
        images: by name; finite.
        names: of the bands.
        peak: the full scale.
        words: what the truth is.
    """
    rows: dict[str, tuple[Likeness, ...]] = {}
    joint: dict[str, float] = {}
    for name, image in images.items():
        plain, windowed, power = (_likeness(index, image, truth) for index in (FSDS, FSDS_WINDOWED, FSDS_POWER))
        joint[name] = plain.joint
        error = (image.double() - truth.double()).square().mean((-2, -1)) / peak**2
        rows[name] = tuple(
            Likeness(band, _decibels(float(error[b])), plain.bands[b], windowed.bands[b], power.bands[b])
            for b, band in enumerate(names)
        )
    return Quality(words, rows, joint, (truth.shape[-2], truth.shape[-1]))


def _likeness(index: SpectrumIndex, image: Tensor, truth: Tensor) -> SpectrumSimilarity:
    """An index, NaN where it is not defined because an image is constant."""
    try:
        return index(image, truth)
    except OptionError:
        return SpectrumSimilarity(math.nan, (math.nan,) * len(truth))


def _decibels(error: float) -> float:
    return -10 * math.log10(error) if error > 0 else math.inf


def largest_square(valid: Bool[Tensor, "H W"]) -> Window | None:
    """The largest square of valid pixels, the first of several; None where it is smaller than an index needs.

    >>> largest_square(torch.ones(40, 50, dtype=torch.bool))
    Window(row=0, col=0, height=40, width=40)
    """
    sums = torch.nn.functional.pad(valid.long(), (1, 0, 1, 0)).cumsum(0).cumsum(1)
    low, high, best = LEAST, min(valid.shape), None
    while low <= high:  # a smaller square of pixels fits wherever a larger one does
        side = (low + high) // 2
        whole = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side] == side * side
        if bool(whole.any()):
            row, col = (int(n) for n in whole.nonzero()[0])
            best, low = Window(row, col, side, side), side + 1
        else:
            high = side - 1
    return best
