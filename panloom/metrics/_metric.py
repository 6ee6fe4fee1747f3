"""What a quality index is: sums over pixels that add up over tiles, and a formula for the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.errors import OptionError

Tally = Mapping[str, Tensor]

#: Rows and columns of an image that a tally counts; it may look at the pixels around them.
Core = tuple[slice, slice]


@dataclass(frozen=True)
class Metric:
    """One index in one variant.

    The images are (batch, band, row, col) of any real type and unit; a batch counts as one image. Sums are
    float64, because a float32 sum over a scene loses the digits that tell two methods apart.

    **Tiles.** The tallies of the tiles of an image add up to that of the whole. A tile is given with `halo` pixels
    around its core, and with fewer only where the scene ends: there, and nowhere else, the rules for borders
    apply. `tally(..., core=(rows, cols))` then counts each window once, in the tile that its centre lies in
    (that of an even window is the pixel right of and below its middle). Where `block` is not 1, cores start on
    multiples of it and end on them or with the scene; the last core along an axis is one block large at least.
    So cores of 32 n pixels, and last ones of 32 pixels or more, serve every index with a reference.

    Attributes:
        name: registry name, lower case.
        label: the index and its variant, because variants differ by more than methods do; a setting that belongs
            to the variant stands in braces. `title` is what is printed.
        unit: unit of the value; "" for a pure number.
        better: which end of the scale is good.
        perfect: the value of a perfect result.
        needs: "reference": `tally(fused, reference, valid, ...)`, with a truth of the same shape;
            "pair": `tally(fused, pair, ...)`, at full resolution without a truth.
        scale_free: the value stays when all images, and the setting "full_scale" where there is one, are
            multiplied by one positive number.
        cite: keys of `panloom/references.toml`.
        tally: sums only, so that the tallies of tiles add up to that of the whole (see `added`).
        value: the index of a tally.
        bands: the index of each band, where it has one.
        settings: keywords that `tally` takes besides the images and the core, such as "ratio".
        block: pixels along one side of the blocks that the core of a tile is made of; 1: any core.
        halo: pixels around the core that the tally of a tile reads.
    """

    name: str
    label: str
    unit: str
    better: Literal["high", "low"]
    perfect: float
    needs: Literal["reference", "pair"]
    scale_free: bool
    cite: tuple[str, ...]
    tally: Callable[..., Tally]
    value: Callable[[Tally], float]
    bands: Callable[[Tally], Float64[Tensor, " C"]] | None = None
    settings: tuple[str, ...] = ()
    block: int = 1
    halo: int = 0

    def __call__(self, *images: object, **settings: float) -> float:
        """The index of whole images: `value` of `tally` with these arguments, `settings` by name."""
        return self.value(self.tally(*images, **settings))

    def title(self, **settings: float) -> str:
        """The label with the values of the settings that belong to it, such as "PSNR[peak=2047,band-mean]"."""
        return self.label.format(**settings)


def added(tallies: Iterable[Tally]) -> dict[str, Tensor]:
    """The tally of a whole image from those of its tiles.

    Raises:
        OptionError: there is no tally, or they come from different indices.
    """
    total: dict[str, Tensor] = {}
    for tally in tallies:
        if total and total.keys() != tally.keys():
            raise OptionError(f"cannot add tallies of {sorted(total)} and of {sorted(tally)}: two indices")
        total = {key: total[key] + value if key in total else value for key, value in tally.items()}
    if not total:
        raise OptionError("no tally to add: give that of one tile at least")
    return total


def compared(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None,
    core: Core | None = None,
    window: int = 1,
) -> tuple[Float64[Tensor, "b C h w"], Float64[Tensor, "b C h w"], Bool[Tensor, "b 1 h w"]]:
    """Both images in float64 with 0 where nothing is compared, and the mask of what is.

    They are not copied where nothing has to change: do not write into them.

    Args:
        fused: the result.
        reference: the truth, in the same unit.
        valid: the pixels that count; None: all of them.
        core: the rows and columns of which the windows are counted; None: all.
        window: pixels along one side of the windows; 1: pixels are counted.

    Returns:
        The part of the images whose windows are those centred in the core, so the core itself where `window` is 1.

    Raises:
        OptionError: the shapes differ, or the core is not in the image.
    """
    if fused.ndim != 4 or fused.shape != reference.shape:
        raise OptionError(
            f"the fused image has shape {tuple(fused.shape)} and the reference {tuple(reference.shape)}: "
            "both must be (batch, band, row, col) of the same size; crop them to their common part"
        )
    shape = (fused.shape[0], 1, *fused.shape[2:])
    if valid is None:
        valid = torch.ones(shape, dtype=torch.bool, device=fused.device)
    if valid.shape != shape:
        raise OptionError(f"the mask has shape {tuple(valid.shape)}; these images need {shape}")
    rows, cols = around(core, shape[2], shape[3], window)
    fused, reference, valid = (image[..., rows, cols] for image in (fused, reference, valid))
    fused, reference = fused.double(), reference.double()
    if not valid.all():
        fused, reference = torch.where(valid, fused, 0.0), torch.where(valid, reference, 0.0)
    return fused, reference, valid


def squared_error(fused: Float64[Tensor, "b C H W"], reference: Float64[Tensor, "b C H W"]) -> Float64[Tensor, " C"]:
    """Sum of the squared differences of each band."""
    # Band by band, because fresh memory for whole images takes longer than the arithmetic.
    return torch.stack([(fused[:, band] - reference[:, band]).square_().sum() for band in range(fused.shape[1])])


def around(core: Core | None, height: int, width: int, window: int = 1) -> Core:
    """The rows and columns of an image that the windows centred in its core read.

    Args:
        core: None: the whole image.
        height: rows of the image.
        width: columns.
        window: pixels along one side of the windows; 1: the core itself.

    Raises:
        OptionError: the core is not in the image.
    """
    rows, cols = core or (slice(None), slice(None))
    return _reach(rows, height, window), _reach(cols, width, window)


def _reach(core: slice, size: int, window: int) -> slice:
    start, stop = core.start or 0, size if core.stop is None else core.stop
    if not 0 <= start < stop <= size or core.step not in (None, 1):
        raise OptionError(f"the core {core} is no part of {size} pixels; give slice(first, last + 1)")
    return slice(max(start - window // 2, 0), min(stop + (window - 1) // 2, size))


def counted(label: str, count: Tensor) -> float:
    """The number of pixels compared.

    Raises:
        OptionError: none is; an average over nothing is no quality.
    """
    number = float(count)
    if number == 0:
        raise OptionError(f"{label} has no pixel to compare: all are no-data or zero in every band")
    return number


def windows(label: str, count: Tensor, size: int, share: str = "half") -> float:
    """The number of windows or blocks compared, of `size` x `size` pixels.

    Raises:
        OptionError: none is: the image is too small, or too little of it is valid.
    """
    number = float(count)
    if number == 0:
        raise OptionError(
            f"{label} has nothing to compare: no window of {size} x {size} pixels fits into the image with {share} "
            "of its pixels valid; give a larger image or leave this index out"
        )
    return number


def positive(name: str, number: float) -> float:
    """A setting that has to be a positive number.

    Raises:
        OptionError: it is none.
    """
    if not (number > 0 and math.isfinite(number)):
        raise OptionError(f"{name} {number} must be a positive number, such as 2047 for data of 11 bits")
    return number


def finite(label: str, value: float) -> float:
    """The value itself.

    Raises:
        OptionError: it is NaN or infinite, since a pixel that counts was.
    """
    if not math.isfinite(value):
        raise OptionError(f"{label} is {value}: an image has NaN or infinite pixels; mask them with `valid`")
    return value


def divisor(label: str, reference: Float64[Tensor, " C"], error: Float64[Tensor, " C"]) -> Float64[Tensor, " C"]:
    """What relative errors are divided by: `reference`, or 1 in bands where it and the error are 0.

    So a band without light and without error is perfect and not 0 / 0.

    Raises:
        OptionError: a band has an error and a reference of 0.
    """
    dark = reference == 0
    if (dark & (error != 0)).any():
        wrong = ", ".join(str(index + 1) for index in (dark & (error != 0)).nonzero().flatten().tolist())
        raise OptionError(f"{label} is not defined: the reference has mean 0 in band {wrong}; leave it out")
    return torch.where(dark, torch.ones_like(reference), reference)
