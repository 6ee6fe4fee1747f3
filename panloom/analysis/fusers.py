"""Responses of a fusion method: to an impulse in PAN, to one in each MS band, and what is linear in it.

Ours; the paper is about enlargement only. To first order around a pair a method adds

    d out_b = sum over c of K_bc (x) d ms_c + k_b * d pan          (x): transposed convolution with the ratio as step

K holds the way by EXP, which is made anew of the changed MS, as when a tile is read. The sums S of K are the spectral
mixing (ideal: the identity), those of k the leakage of PAN's radiometry into the bands (ideal: 0 for methods that
inject detail). Where PAN is decimated on the way (MTF-GLP), the response depends on the place of a PAN pixel in its MS
cell and repeats with it: k is kept for each of the ratio^2 places, with which a linear method is split exactly.

Impulses stand on lattices whose spacing exceeds what the halo of `Traits` lets them reach, so that one pass serves many
places. A method with statistics of the whole tile (`tiling="whole"`) has no such bound: its response is cut to a
window, and what lies beyond enters with random signs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional

from panloom.analysis._convolution import continued, summed, transposed
from panloom.analysis._running import REFUSALS, Derivative, check_repeats, derivative, differences, doubled, seeded
from panloom.analysis.hyra import Split
from panloom.analysis.impulse import Response
from panloom.errors import MethodError, OptionError
from panloom.optics import physical
from panloom.optics.moments import ROUNDING
from panloom.pair import Fuser, Pair

#: MS pixels on each side of a cell that belong to the window of a method with statistics of the whole tile.
WHOLE_HALO = 8

#: Places that a mean is taken over, at least, where the pair is large enough for them in MAX_PASSES passes.
PLACES = 24

#: Passes with impulses of one channel; more only where the places in a cell ask for them.
MAX_PASSES = 4

#: Pixels around a cell over which detail is what an image has above its mean; odd.
LOCAL = 5


@dataclass(frozen=True)
class FuserResponse:
    """What a fusion method does to small changes of its images, around one pair.

    Attributes:
        pan: to PAN (in = 1, scale 1), the mean over the ratio^2 places of a PAN pixel in its MS cell; `spread` is over
            these and over places in the image.
        ms: to MS (in = bands, scale = ratio), EXP made anew; the sample that lies on MS pixel i is the middle one plus
            `pair.phase`.
        mixing: [b, c]: what a constant 1 on band c of MS adds to band b, mean over the image.
        leakage: the same for a constant 1 on PAN.
        pan_phases: `pan` for each [row, col] of a PAN pixel in its cell.
    """

    pan: Response
    ms: Response
    mixing: Float[Tensor, "bands bands"]
    leakage: Float[Tensor, " bands"]
    pan_phases: Float[Tensor, "r r bands K K"]


def fuser_response(fuser: Fuser, pair: Pair, *, seed: int) -> FuserResponse:
    """First-order responses around a pair, by forward mode where the method allows it.

    `mixing` and `leakage` come from constants, at all pixels; the kernels from impulses at some of them. Where the
    method is not linear the sums of the kernels differ from them by what sampling misses.

    Args:
        fuser: prepared for the scene of the pair.
        pair: one tile; at best so large that windows of twice the method's halo (and EXP's) fit into it: a smaller one
            cuts the kernels.
        seed: of signs and places of the impulses, and of noise that the method draws.

    Raises:
        MethodError: the method does not take the pair, or has an output or a derivative that is not finite or of
            another shape; several pairs at once, or several PAN bands.
        OptionError: the method draws noise that the seed does not fix.
    """
    _check_repeats(fuser, pair, seed)
    by_pan, by_ms = _slope(fuser, pair, "pan", seed), _slope(fuser, pair, "ms", seed)
    bands, ratio, halo = pair.ms.shape[1], pair.ratio, _halo(fuser)
    rng = torch.Generator().manual_seed(seed)
    pan = _pan_sums(by_pan, pair, halo, rng)
    ms = [_ms_sums(by_ms, pair, halo, band, rng) for band in range(bands)]
    away, size = (sum(part) for part in zip(*(sums.energies() for sums in ms), strict=True))
    border = min(halo * ratio, min(pair.pan.shape[-2:]) // 4)
    columns = [_gain(by_ms, pair.ms, band, border) for band in range(bands)]
    return FuserResponse(
        pan=Response(pan.mean[:, None], 1, _root(*pan.energies()), None, by_pan.recipe),
        ms=Response(torch.stack([sums.mean for sums in ms], 1), ratio, _root(away, size), None, by_ms.recipe),
        mixing=torch.stack(columns, 1),
        leakage=_gain(by_pan, pair.pan, 0, border),
        pan_phases=pan.means.unflatten(0, (ratio, ratio)),
    )


def split_fuser(fuser: Fuser, pair: Pair, response: FuserResponse) -> Split:
    """The fused pair, its linear part and the rest; for a linear method the rest is rounding, beside the borders.

    The linear part is F(flat) + K (x) (ms - flat ms) + k * (pan - flat pan), with flat images of the pair's means, and
    the k of each pixel's own place in its cell; what lies beyond the borders repeats the edge. A method with
    statistics of the whole tile has none of a flat one: there the constant is such that the rest has mean 0.

    A method that draws noise from torch's generator draws it anew for each image; seed it before.

    Raises:
        MethodError: as `fuser_response`.
        OptionError: the response is of other bands or another ratio.
    """
    _check(pair)
    if response.ms.scale != pair.ratio or len(response.mixing) != pair.ms.shape[1]:
        raise OptionError(
            f"the response is for {len(response.mixing)} bands at ratio {response.ms.scale}; the pair has "
            f"{pair.ms.shape[1]} at ratio {pair.ratio}"
        )
    output = _fused(fuser, pair)[0]
    ms_level, pan_level = (x.mean((2, 3), keepdim=True) for x in (pair.ms, pair.pan))
    middle = response.ms.kernel.shape[-1] // 2
    moved = transposed((pair.ms - ms_level)[0], response.ms.kernel, pair.ratio, (middle, middle), "replicate")
    moved = moved + _from_pan((pair.pan - pan_level)[0], response.pan_phases)
    if fuser.traits.tiling == "whole":
        flat = (output - moved).mean((1, 2), keepdim=True)
    else:
        same = ms_level.expand_as(pair.exp).contiguous()
        ground = replace(
            pair,
            pan=pan_level.expand_as(pair.pan).contiguous(),
            ms=ms_level.expand_as(pair.ms).contiguous(),
            exp=same,
        )
        flat = _fused(fuser, ground)[0]
    linear = flat + moved
    return Split(output, linear, output - linear, pair.ratio)


def detail_r2(parts: Split, pair: Pair, border: int = 0) -> Float[Tensor, " bands"]:
    """1 - |G|^2 / |F - EXP|^2: how much of the detail that a method adds is linear, per band; nan where it adds none.

    1 for a method that is linear, a learned MTF-GLP for instance; `border` pixels on every side are left out.

    Raises:
        OptionError: nothing is left.
    """
    height, width = (n - 2 * border for n in parts.output.shape[1:])
    if border < 0 or min(height, width) < 1:
        raise OptionError(f"a border of {border} leaves {height} x {width} of {tuple(parts.output.shape)}")
    cut = (..., slice(border, border + height), slice(border, border + width))
    rest, detail = parts.nonlinear[cut], (parts.output - pair.exp[0])[cut]
    energy = detail.square().sum((1, 2))
    return torch.where(energy > 0, 1 - rest.square().sum((1, 2)) / energy, torch.nan)


def scene_slopes(pair: Pair) -> tuple[Float[Tensor, " bands"], Float[Tensor, "bands bands"]]:
    """How the detail of a scene belongs together, on the MS grid: for `panloom.analysis.system_transfer`.

    Detail is what an image has above its mean in LOCAL x LOCAL MS pixels; PAN is seen through the bands' mean MTF.

    Returns:
        slope of PAN on each band; [b, c] slope of band c on band b. 0 on a band without detail.

    Raises:
        MethodError: the pair has no sensor.
    """
    if pair.sensor is None:
        raise MethodError("the slopes of a scene are seen through the MTF of its bands, and this pair has no sensor")
    gains = [band.mtf_nyquist for band in pair.sensor.bands]
    low = physical.degrade(pair.pan, [sum(gains) / len(gains)], pair.ratio, pair.phase)
    images = torch.cat([low, pair.ms], 1).double()
    keep = pair.whole_cells.flatten() if bool(pair.whole_cells.any()) else torch.ones_like(pair.whole_cells).flatten()
    local = functional.avg_pool2d(physical.replicate(images, *[LOCAL // 2] * 4), LOCAL, stride=1)
    detail = (images - local).flatten(2)[0][:, keep]
    products = detail @ detail.T
    own = products.diagonal()[1:]
    rounding = (ROUNDING * images[0, 1:].abs().amax((1, 2))).square() * detail.shape[1]
    slopes = torch.where((own > rounding)[:, None], products[1:] / own[:, None], torch.zeros_like(products[1:]))
    return slopes[:, 0], slopes[:, 1:]


# ---- a method as a function of a change ----------------------------------------------------------


def _check(pair: Pair) -> None:
    if len(pair.pan) != 1 or pair.pan.shape[1] != 1:
        raise MethodError(f"a response is that to one PAN image of one band; given: {tuple(pair.pan.shape)}")


def _fused(fuser: Fuser, pair: Pair) -> Float[Tensor, "1 C H W"]:
    """The fused pair, float64.

    Raises:
        MethodError: the method does not take it, or gives another shape or numbers that are not finite.
    """
    try:
        with torch.no_grad():
            out = fuser(pair)
    except REFUSALS as error:
        raise MethodError(
            f"the method does not take a pair of {tuple(pair.pan.shape)} and {tuple(pair.ms.shape)}: {error}"
        ) from error
    if out.shape != pair.exp.shape:
        raise MethodError(f"the method makes {tuple(out.shape)} of a pair whose EXP is {tuple(pair.exp.shape)}")
    bad = int((~out.isfinite()).sum())
    if bad:
        raise MethodError(
            f"{bad} of {out.numel()} numbers of the fused pair are not finite: the weights may be damaged, or a pair "
            "without any detail gives the method no statistics"
        )
    return out.double()


def _around(fuser: Fuser, pair: Pair, image: Literal["pan", "ms"], seed: int) -> Callable[[Tensor], Tensor]:
    """The fused pair as a function of what is added to one of its images."""

    def call(change: Tensor) -> Tensor:
        if image == "pan":
            return fuser(replace(pair, pan=pair.pan + change))
        # EXP is linear, so the change has its own; what EXP knows from beyond the tile stays.
        moved = pair.exp + physical.interpolate(change, pair.ratio, pair.phase)
        return fuser(replace(pair, ms=pair.ms + change, exp=moved))

    return seeded(call, seed)


def _check_repeats(fuser: Fuser, pair: Pair, seed: int) -> None:
    _check(pair)
    fixed = seeded(lambda _: _fused(fuser, pair), seed)
    check_repeats(fixed(pair.pan), fixed(pair.pan), seed)


def _slope(fuser: Fuser, pair: Pair, image: Literal["pan", "ms"], seed: int) -> Derivative:
    """The derivative of the fused pair with respect to one of its images, at a change of 0."""
    double = replace(pair, pan=pair.pan.double(), ms=pair.ms.double(), exp=pair.exp.double())
    ways = _around(fuser, pair, image, seed), _around(doubled(fuser), double, image, seed)
    span = float(torch.maximum(pair.pan.abs().max(), pair.ms.abs().max())) or 1.0
    values = pair.pan if image == "pan" else pair.ms
    still = torch.zeros_like(values)
    # Statistics of the tile may pass through plain numbers, whose derivative forward mode does not see.
    if fuser.traits.tiling == "whole":
        return differences(*ways, still, span)
    return derivative(*ways, still, _noise(values), span)


def _noise(like: Tensor) -> Tensor:
    """A direction of no special kind, the same each time."""
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return noise.to(like)


def _halo(fuser: Fuser) -> int:
    return WHOLE_HALO if fuser.traits.tiling == "whole" else fuser.traits.halo


def _gain(slope: Derivative, image: Tensor, channel: int, border: int) -> Float[Tensor, " bands"]:
    """What a constant 1 on a channel adds to each band, mean of the pixels inside the border."""
    direction = torch.zeros_like(image)
    direction[:, channel] = 1
    added = _finite(slope(torch.zeros_like(image), direction))[0]
    height, width = added.shape[1:]
    return added[:, border : height - border, border : width - border].mean((1, 2))


# ---- impulses ------------------------------------------------------------------------------------


class _Sums:
    """Sums of windows for each place in a cell.

    Args:
        places: in a cell.
    """

    def __init__(self, places: int) -> None:
        self.total: list[Tensor | None] = [None] * places
        self.energy = [0.0] * places
        self.count = [0] * places

    def add(self, place: int, window: Float[Tensor, "bands K K"]) -> None:
        """One more window."""
        total = self.total[place]
        self.total[place] = window.clone() if total is None else total.add_(window)
        self.energy[place] += float(window.square().sum())
        self.count[place] += 1

    @property
    def missing(self) -> list[int]:
        """Places in a cell of which nothing was seen yet."""
        return [place for place, count in enumerate(self.count) if not count]

    @property
    def means(self) -> Float[Tensor, "n bands K K"]:
        """For each place in a cell."""
        return torch.stack([t / n for t, n in zip(self.total, self.count, strict=True) if t is not None])

    @property
    def mean(self) -> Float[Tensor, "bands K K"]:
        """Over the places in a cell, each of which counts alike."""
        return self.means.mean(0)

    def energies(self) -> tuple[float, float]:
        """Mean square distance from the mean, and the mean's square."""
        size = float(self.mean.square().sum())
        mean = sum(e / n for e, n in zip(self.energy, self.count, strict=True)) / len(self.count)
        return max(mean - size, 0.0), size


def _root(away: float, size: float) -> float:
    return math.sqrt(away / size) if size else 0.0


def _enough(sums: _Sums, passes: int) -> bool:
    return not sums.missing and (sum(sums.count) >= PLACES or passes >= MAX_PASSES)


def _pan_sums(slope: Derivative, pair: Pair, halo: int, rng: Generator) -> _Sums:
    """Windows around impulses in PAN, for each place in a cell."""
    ratio, size = pair.ratio, pair.pan.shape[-2:]
    whole = halo * ratio + ratio - 1
    reach = min(whole, (min(size) - ratio) // 2)
    # One more than a multiple of the ratio, so that the impulses of one pass stand at all places in a cell.
    step = 2 * whole + 1 + -2 * whole % ratio
    sums, passes = _Sums(ratio**2), 0
    while not _enough(sums, passes):
        place = sums.missing[0] if sums.missing else int(torch.randint(ratio**2, (), generator=rng))
        starts = zip(size, divmod(place, ratio), strict=True)
        rows, cols = (_axis(n, reach, step, first, ratio, rng) for n, first in starts)
        answer, signs = _answer(slope, pair.pan, 0, rows, cols, rng)
        for row, col, sign in signs:
            window = answer[:, row - reach : row + reach + 1, col - reach : col + reach + 1]
            sums.add(row % ratio * ratio + col % ratio, sign * window)
        passes += 1
    return sums


def _ms_sums(slope: Derivative, pair: Pair, halo: int, band: int, rng: Generator) -> _Sums:
    """Windows around impulses in a band of MS; those of EXP belong to them."""
    ratio, size = pair.ratio, pair.ms.shape[-2:]
    whole = halo + physical.REACH
    reach, margin = min(whole, (min(size) - 1) // 2), ratio - 1
    side, sums, passes = 2 * (ratio * (reach + 1) - 1) + 1, _Sums(1), 0
    while not _enough(sums, passes):
        rows, cols = (_axis(n, reach, 2 * whole + 1, 0, 1, rng) for n in size)
        answer, signs = _answer(slope, pair.ms, band, rows, cols, rng)
        # On the upper left a window may begin before the image does.
        answer = functional.pad(answer, (margin, 0, margin, 0))
        for row, col, sign in signs:
            top, left = (ratio * (n - reach) for n in (row, col))
            sums.add(0, sign * answer[:, top : top + side, left : left + side])
        passes += 1
    return sums


def _axis(size: int, reach: int, step: int, first: int, ratio: int, rng: Generator) -> Sequence[int]:
    """Places along an axis, `step` apart, windows inside; the first one is `first` more than a multiple of `ratio`."""
    least, most = reach + (first - reach) % ratio, size - 1 - reach
    # The first place moves within what the last one leaves free.
    free = (most - least) % step // ratio + 1
    return range(least + ratio * int(torch.randint(free, (), generator=rng)), most + 1, step)


def _answer(
    slope: Derivative, image: Tensor, channel: int, rows: Sequence[int], cols: Sequence[int], rng: Generator
) -> tuple[Float[Tensor, "bands H W"], list[tuple[int, int, float]]]:
    """The answer to impulses at all these places at once, and (row, col, sign) of each."""
    signs = 2.0 * torch.randint(2, (len(rows), len(cols)), generator=rng) - 1
    direction = torch.zeros_like(image)
    direction[0, channel, torch.tensor(rows)[:, None], torch.tensor(cols)] = signs.to(image)
    places = [
        (row, col, sign)
        for line, row in zip(signs.tolist(), rows, strict=True)
        for sign, col in zip(line, cols, strict=True)
    ]
    return _finite(slope(torch.zeros_like(image), direction))[0], places


def _finite(tangent: Tensor) -> Tensor:
    bad = int((~tangent.isfinite()).sum())
    if bad:
        raise MethodError(
            f"the derivative of the method is not finite at {bad} of {tangent.numel()} numbers: it divides by "
            "something that this pair lacks; take a pair with more detail"
        )
    return tangent


def _from_pan(pan: Float[Tensor, "1 H W"], phases: Float[Tensor, "r r bands K K"]) -> Float[Tensor, "bands H W"]:
    """The sum of PAN's pixels, each times the kernel of its place in the cell."""
    ratio, side = phases.shape[0], phases.shape[-1]
    margin = -(-side // ratio) * ratio
    wide = continued(pan.double(), margin, "replicate")[0]

    def parts() -> Iterator[tuple[Tensor, Tensor]]:
        for row in range(ratio):
            for col in range(ratio):
                own = torch.zeros_like(wide)
                own[row::ratio, col::ratio] = wide[row::ratio, col::ratio]
                yield own, phases[row, col]

    top = margin + side // 2
    return summed(parts(), wide.shape)[:, top : top + pan.shape[1], top : top + pan.shape[2]]
