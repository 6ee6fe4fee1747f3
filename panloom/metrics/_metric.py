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


@dataclass(frozen=True)
class Metric:
    """One index in one variant.

    The images are (batch, band, row, col) of any real type and unit; a batch counts as one image. Sums are
    float64, because a float32 sum over a scene loses the digits that tell two methods apart.

    Attributes:
        name: registry name, lower case.
        label: what is printed: the index and its variant, because variants differ by more than methods do.
        unit: unit of the value; "" for a pure number.
        better: which end of the scale is good.
        perfect: the value of a perfect result.
        needs: "reference": `tally(fused, reference, valid, ...)`, with a truth of the same shape;
            "pair": `tally(fused, pair, ...)`, at full resolution without a truth.
        scale_free: the value stays when all images are multiplied by one positive number.
        cite: keys of `panloom/references.toml`.
        tally: sums only, so that the tallies of tiles add up to that of the whole (see `added`).
        value: the index of a tally.
        bands: the index of each band, where it has one.
        settings: keywords that `tally` takes besides the images, such as "ratio".
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

    def __call__(self, *images: object, **settings: int) -> float:
        """The index of whole images: `value` of `tally` with these arguments, `settings` by name."""
        return self.value(self.tally(*images, **settings))


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
) -> tuple[Float64[Tensor, "b C H W"], Float64[Tensor, "b C H W"], Bool[Tensor, "b 1 H W"]]:
    """Both images in float64 with 0 where nothing is compared, and the mask of what is.

    Args:
        fused: the result.
        reference: the truth, in the same unit.
        valid: the pixels that count; None: all of them.

    Raises:
        OptionError: the shapes differ.
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
    zero = torch.zeros((), dtype=torch.float64, device=fused.device)
    return torch.where(valid, fused.double(), zero), torch.where(valid, reference.double(), zero), valid


def counted(label: str, count: Tensor) -> float:
    """The number of pixels compared.

    Raises:
        OptionError: none is; an average over nothing is no quality.
    """
    number = float(count)
    if number == 0:
        raise OptionError(f"{label} has no pixel to compare: all are no-data or zero in every band")
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
