"""FSDS: how alike the spectra of two images are, in decibels; as published, and twice without its corner weighting.

Published: Deng et al., "Exploring the Low-Pass Filtering Behavior in Image Super-Resolution", ICML 2024 (PMLR 235),
and the authors' code where the two differ. Both images are brought to mean 0 and standard deviation 1 over all bands;
the complex spectra are summed up from zero frequency outwards; the index is the energy of the difference of these
sums against that of the reference's. The published table divides by the prediction's instead: `denominator="pred"`.

To sum Fourier coefficients up from zero frequency is to look at the image from its pixel (0, 0). So an error there
weighs many thousand times one in the middle, and the index changes when both images are mirrored or shifted. It is
kept for comparison with published numbers. Proposed here, not published:

- `FSDS_WINDOWED`: the same behind a sine window. Along an axis of N pixels the sums give pixel n about the weight
  1 / sin^2(pi n / N), and the energy behind the window has sin^2: about the same weight everywhere. (A Hann window has
  the fourth power of the sine, and makes the borders unseen instead.) It sees where things are, and still changes
  somewhat when both images are mirrored or shifted;
- `FSDS_POWER`: sums of power over discs of spatial frequency instead of complex sums over rectangles. It stays when
  both images are mirrored, transposed or shifted around, and also when only one of them is: it knows nothing of phase.

A spectrum is one of a whole image without gaps. Tallies of tiles cannot add up to it, and a mask has no meaning, so
these indices stand beside the registry of `Metric` and not in it: `panloom evaluate` does not print them. The page
docs/fsds.md shows what they see.
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor
from torch.nn.functional import pad

from panloom.errors import OptionError, PanloomWarning, unknown

#: Whose sums the error is divided by: the reference's, or the prediction's as in the published table.
Denominator = Literal["ref", "pred"]


@dataclass(frozen=True)
class SpectrumSimilarity:
    """One index of one image, in dB: higher is better, infinite where both images are the same to the last bit.

    Attributes:
        joint: all bands at once, with one mean and one deviation for all: the published form. It sees the brightness
            and the contrast of the bands against each other.
        bands: each band by itself, with its own mean and deviation; NaN where it is constant in one of the images.
    """

    joint: float
    bands: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the bands that have a value; NaN where none has."""
        return statistics.median(self._defined or [math.nan])

    @property
    def minimum(self) -> float:
        """The worst of the bands that have a value; NaN where none has."""
        return min(self._defined, default=math.nan)

    @property
    def _defined(self) -> list[float]:
        return [value for value in self.bands if not math.isnan(value)]


@dataclass(frozen=True)
class SpectrumIndex:
    """FSDS in one variant.

    Attributes:
        name: lower case, as those of the registry of indices.
        label: the index and its variant, for print; the denominator stands in it.
        normalised: an image at mean 0 and deviation 1.
        sums: what is compared of one normalised band.
    """

    name: str
    label: str
    normalised: Callable[[Float64[Tensor, "C H W"]], Float64[Tensor, "C H W"]]
    sums: Callable[[Float64[Tensor, "H W"]], Tensor]

    def __call__(
        self,
        predicted: Shaped[Tensor, "C H W"],
        reference: Shaped[Tensor, "C H W"],
        *,
        denominator: Denominator = "ref",
    ) -> SpectrumSimilarity:
        """The index of one image of any number of bands and any real type; computed in float64.

        The unit does not matter: a positive factor and an offset on either image change nothing.

        Args:
            predicted: the image that is judged.
            reference: the truth, of the same shape.
            denominator: see `Denominator`. "pred" is the same as exchanging the images.

        Raises:
            OptionError: the shapes differ or are not (band, row, col); a pixel is NaN or infinite; or one of the
                images is constant, so that it has no spectrum to speak of.

        Warns:
            PanloomWarning: single bands are constant; they have no value of their own.
        """
        images = [_checked("predicted", predicted), _checked("reference", reference)]
        if images[0].shape != images[1].shape:
            raise OptionError(
                f"the predicted image has shape {tuple(predicted.shape)} and the reference {tuple(reference.shape)}: "
                "crop both to their common part"
            )
        if denominator not in ("ref", "pred"):
            raise OptionError(unknown("denominator", denominator, ("ref", "pred")))
        judged, truth = images if denominator == "ref" else images[::-1]
        flat = (_constant(judged.flatten(1)) | _constant(truth.flatten(1))).tolist()
        if any(flat) and len(flat) > 1:
            which = ", ".join(str(band + 1) for band, constant in enumerate(flat) if constant)
            message = f"{self.name} of single bands is not defined for band {which}: constant in one of the images"
            warnings.warn(message, PanloomWarning, stacklevel=2)
        bands = [math.nan if flat[b] else self._value(judged[b, None], truth[b, None]) for b in range(len(flat))]
        return SpectrumSimilarity(self._value(judged, truth) if len(flat) > 1 else bands[0], tuple(bands))

    def title(self, denominator: Denominator = "ref") -> str:
        """The label with the denominator, such as "FSDS[windowed,ref]"."""
        return self.label.format(denominator=denominator)

    def _value(self, judged: Float64[Tensor, "C H W"], truth: Float64[Tensor, "C H W"]) -> float:
        error = energy = 0.0
        for one, other in zip(
            self.normalised(judged), self.normalised(truth), strict=True
        ):  # spectra of one band at a time
            sums = self.sums(other)
            error += float((self.sums(one) - sums).abs().square().sum())
            energy += float(sums.abs().square().sum())
        return -10 * math.log10(error / energy) if error else math.inf


def _checked(role: str, image: Tensor) -> Float64[Tensor, "C H W"]:
    if image.ndim != 3 or image.numel() == 0:
        raise OptionError(
            f"the {role} image has shape {tuple(image.shape)}: FSDS is of one image (band, row, col); "
            "call it for each image of a batch"
        )
    if not image.isfinite().all():
        raise OptionError(
            f"FSDS is not defined: the {role} image has NaN or infinite pixels, and a spectrum needs every pixel; "
            "crop to a part without gaps"
        )
    image = image.double()
    if _constant(image.flatten()):
        raise OptionError(
            f"FSDS is not defined: the {role} image is {float(image.flatten()[0]):g} everywhere and cannot be "
            "brought to deviation 1; leave the index out"
        )
    return image


def _constant(pixels: Float64[Tensor, "*C n"]) -> Tensor:
    return pixels.amax(-1) == pixels.amin(-1)  # a deviation is not exactly 0 where the mean is rounded


def _standardised(image: Float64[Tensor, "C H W"]) -> Float64[Tensor, "C H W"]:
    """Over all bands; the deviation is the unbiased one, as published."""
    return (image - image.mean()) / image.std()


def _behind_window(image: Float64[Tensor, "C H W"]) -> Float64[Tensor, "C H W"]:
    """Mean and deviation are those that the window sees, so that nothing of the corners comes back through them."""
    window = _sine(image.shape[1], image)[:, None] * _sine(image.shape[2], image)
    mean = (window * image).sum() / (window.sum() * image.shape[0])
    seen = window * (image - mean)
    return seen / seen.square().mean().sqrt()


def _sine(size: int, like: Tensor) -> Float64[Tensor, " n"]:
    """At the centres of the pixels: symmetric, and nowhere 0."""
    places = torch.arange(size, dtype=torch.float64, device=like.device)
    return (math.pi * (places + 0.5) / size).sin()


def _quadrants(band: Float64[Tensor, "H W"]) -> Tensor:
    """Complex sums over all rectangles of frequencies from zero, rows of positive and of negative frequency apart.

    An odd number of rows gets one more at the mean, since the two halves have to be of one size. Zero frequency
    belongs to the positive rows, the highest to the negative ones; columns are those of a real transform.
    """
    spectrum = torch.fft.rfft2(pad(band, (0, 0, 0, band.shape[0] % 2)))
    positive, negative = spectrum.chunk(2)
    return torch.stack([positive, negative.flip(0)]).cumsum(1).cumsum(2)


def _discs(band: Float64[Tensor, "H W"]) -> Float64[Tensor, " rings"]:
    """Power within each radius of frequency up to the corners; radii grow by the step of the shorter side."""
    power = torch.fft.fft2(band).abs().square()
    rows, cols = (torch.fft.fftfreq(size, dtype=torch.float64, device=band.device) for size in band.shape)
    ring = ((rows[:, None].square() + cols.square()).sqrt() * min(band.shape)).round().long()
    return torch.bincount(ring.flatten(), power.flatten()).cumsum(0)


FSDS = SpectrumIndex("fsds", "FSDS[{denominator}]", _standardised, _quadrants)

FSDS_WINDOWED = SpectrumIndex("fsds-windowed", "FSDS[windowed,{denominator}]", _behind_window, _quadrants)

FSDS_POWER = SpectrumIndex("fsds-power", "FSDS[power,{denominator}]", _standardised, _discs)

#: All of them, the published one first.
SPECTRUM_INDICES = (FSDS, FSDS_WINDOWED, FSDS_POWER)
