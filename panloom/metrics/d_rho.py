"""D_rho: how far each fused band is from following PAN within a few pixels; 1 less their local correlation.

With w = ceil(ratio / 2) the window has 2w x 2w pixels, from w - 1 above and left of the pixel to w below and right of
it. Every pixel first loses the mean of its own window; the products of what is left are then summed over the window.
(So it is not quite Pearson's correlation of the window.) Beyond the border of the scene stands 0, in both steps.
Anti-correlation counts as no correlation. A window in which one image is constant has correlation 0, one in which both
are has 1: the public code cuts covariance and variances at 1e-20 instead, to the same effect for exact sums.

Sources: G. Scarpa and M. Ciotola, "Full-resolution quality assessment for pansharpening", Remote Sensing 2022, and
the authors' public code, from which the details are. Sums are taken over each window and not as differences of
integral images, so flat areas of bright images come out right; agreement is with an independent implementation in
the tests, as no published value is at hand.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor
from torch.nn import functional

from panloom.metrics._full import FullMetric, FullScene, on_pan
from panloom.metrics._metric import Core, Tally, compared, counted, finite
from panloom.metrics._windows import box_sums

LABEL = "D_rho[w=ceil(r/2)]"

#: Residuals below this part of the values are the rounding of a constant window.
_ROUNDING = 64 * torch.finfo(torch.float64).eps


def tally(fused: Shaped[Tensor, "b C H W"], full: FullScene, *, core: Core | None = None) -> dict[str, Tensor]:
    """Sum per band of 1 - correlation, over the pixels around which all is valid that their windows look at.

    Args:
        fused: the result, in the unit of `full`.
        full: the scene.
        core: the MS rows and columns that count; None: all.

    Raises:
        OptionError: shapes differ, or the core is not in the image.
    """
    full.check(fused)
    half = -(-full.ratio // 2)
    area = on_pan(core, full.ratio)
    valid = _windows_valid(full.valid, half)
    pan = torch.where(full.valid, full.pan.double(), 0.0)
    low = full.once("d-rho", lambda: _residual(pan, half))
    _, _, counts = compared(pan, pan, valid, area)
    sums = []
    for band in fused.split(1, 1):  # one after another, so that the maps of one band only are in memory
        high = _residual(torch.where(full.valid, band.double(), 0.0), half)
        loss, _, _ = compared(1 - _correlation(high, low, half), pan, valid, area)
        sums.append(loss.sum())
    return {"sum": torch.stack(sums), "count": counts.sum(dtype=torch.float64)}


def _residual(x: Float64[Tensor, "b 1 H W"], half: int) -> tuple[Tensor, Tensor]:
    """What is left of each pixel less the mean of its window, and the part of it that may be rounding, squared."""
    residual = x - _around(x, half) / (2 * half) ** 2
    return residual, _around(x.square(), half) * _ROUNDING**2


def _correlation(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], half: int) -> Float64[Tensor, "b 1 H W"]:
    (x, noise_x), (y, noise_y) = one, other
    square_x, square_y = _around(x.square(), half), _around(y.square(), half)
    flat_x, flat_y = square_x <= noise_x, square_y <= noise_y
    product = torch.where(flat_x | flat_y, 1.0, square_x.sqrt() * square_y.sqrt())
    correlation = (_around(x * y, half) / product).clamp(0, 1)
    return torch.where(flat_x | flat_y, (flat_x & flat_y).double(), correlation)


def _around(x: Float64[Tensor, "b 1 H W"], half: int) -> Float64[Tensor, "b 1 H W"]:
    """Sum over the window of each pixel, 0 beyond the border."""
    return box_sums(functional.pad(x, (half - 1, half, half - 1, half)), 2 * half)


def _windows_valid(valid: Bool[Tensor, "b 1 H W"], half: int) -> Bool[Tensor, "b 1 H W"]:
    """Pixels whose windows of both steps are valid; outside the image all is."""
    bad = (~valid).double()
    return _around(_around(bad, half), half) == 0


def per_band(tally: Tally) -> Float64[Tensor, " C"]:
    """The index of each band.

    Raises:
        OptionError: no pixel counts.
    """
    return tally["sum"] / counted(LABEL, tally["count"])


def value(tally: Tally) -> float:
    """Mean over the bands: 0 is perfect, 1 is no correlation.

    Raises:
        OptionError: as `per_band`, or an image has NaN or infinite pixels that count.
    """
    return finite(LABEL, float(per_band(tally).mean()))


D_RHO = FullMetric(
    name="d-rho",
    label=LABEL,
    unit="",
    better="low",
    perfect=0.0,
    needs="pair",
    scale_free=True,
    cite=("scarpa2022",),
    tally=tally,
    value=value,
    bands=per_band,
    halo=2,
)
