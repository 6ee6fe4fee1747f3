"""Responses of a fusion method: to an impulse in PAN, to one in each MS band, and what is linear in it.

Ours; the paper is about enlargement only. To first order around a pair a method adds

    d out_b = sum over c of K_bc (x) d ms_c + k_b * d pan          (x): transposed convolution with the ratio as step

K holds the way by EXP, which is made anew of the changed MS, as when a tile is read. The sums S of K are the spectral
mixing (ideal: the identity), those of k the leakage of PAN's radiometry into the bands (ideal: 0 for methods that
inject detail). Where PAN is decimated on the way (MTF-GLP), the response depends on the place of a PAN pixel in its MS
cell and repeats with it: k is kept for each of the ratio^2 places, with which a linear method is split exactly.

Impulses stand on lattices whose spacing exceeds what the halo of `Traits` lets them reach, so that one pass serves many
places. A method with statistics of the whole tile (`tiling="whole"`) has no such bound: its response is cut to a
window, and what lies beyond enters with random signs. Places beside missing data do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float
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
        pan_phases: `pan` for each [row, col] of a PAN pixel in its cell. Each is known by few places: of a method that
            is not linear they differ by chance too.
    """

    pan: Response
    ms: Response
    mixing: Float[Tensor, "bands bands"]
    leakage: Float[Tensor, " bands"]
    pan_phases: Float[Tensor, "r r bands K K"]

    def averaged(self) -> FuserResponse:
        """The same with one PAN kernel, the mean, for all places in a cell: what to split a network with."""
        return replace(self, pan_phases=self.pan.kernel[:, 0].expand_as(self.pan_phases))


def least_cells(fuser: Fuser) -> int:
    """MS pixels along each side of the smallest pair that `fuser_response` takes: one window of the response to MS."""
    return 2 * (_halo(fuser) + physical.REACH) + 1


def fuser_response(fuser: Fuser, pair: Pair, *, seed: int) -> FuserResponse:
    """First-order responses around a pair, by forward mode where the method allows it.

    `mixing` and `leakage` come from constants, at all pixels; the kernels from impulses at some of them. Where the
    method is not linear the sums of the kernels differ from them by what sampling misses.

    Args:
        fuser: prepared for the scene of the pair.
        pair: one tile of `least_cells` MS pixels along a side or more; the more, the more places.
        seed: of signs and places of the impulses, and of noise that the method draws.

    Raises:
        MethodError: the method does not take the pair, or has an output or a derivative that is not finite or of
            another shape; several pairs at once, or several PAN bands.
        OptionError: the pair is too small, or has missing data wherever the response could be looked at; or the method
            draws noise that the seed does not fix.
    """
    _check(pair)
    halo = _halo(fuser)
    known = _known(pair, least_cells(fuser), halo + physical.REACH)
    _settled(fuser, pair, seed)
    by_pan, by_ms = _slope(fuser, pair, "pan", seed), _slope(fuser, pair, "ms", seed)
    bands, ratio = pair.ms.shape[1], pair.ratio
    rng = torch.Generator().manual_seed(seed)
    pan = _pan_sums(by_pan, pair, halo, known, rng)
    ms = [_ms_sums(by_ms, pair, halo, known, band, rng) for band in range(bands)]
    away, size = (sum(part) for part in zip(*(sums.energies() for sums in ms), strict=True))
    counted = _inside(known, halo)
    columns = [_gain(by_ms, pair.ms, band, counted) for band in range(bands)]
    return FuserResponse(
        pan=Response(pan.mean[:, None], 1, _root(*pan.energies()), None, by_pan.recipe),
        ms=Response(torch.stack([sums.mean for sums in ms], 1), ratio, _root(away, size), None, by_ms.recipe),
        mixing=torch.stack(columns, 1),
        leakage=_gain(by_pan, pair.pan, 0, counted),
        pan_phases=pan.means.unflatten(0, (ratio, ratio)),
    )


def split_fuser(fuser: Fuser, pair: Pair, response: FuserResponse, *, seed: int | None = None) -> Split:
    """The fused pair, its linear part and the rest; for a linear method the rest is rounding, beside the borders.

    The linear part is F(flat) + K (x) (ms - flat ms) + k * (pan - flat pan), with flat images of the pair's means, and
    the k of each pixel's own place in its cell; what lies beyond the borders repeats the edge. A method with
    statistics of the whole tile has none of a flat one: there the constant is such that the rest has mean 0.

    Of a method that is not linear, the kernels of single places hold the chance of few samples, which counts as error
    here: split it with `response.averaged()`, too, and take what leaves less.

    Args:
        fuser: prepared for the scene of the pair.
        pair: the one of the response, or another one of the scene.
        response: of `fuser_response`.
        seed: of noise that the method draws.

    Raises:
        MethodError: as `fuser_response`.
        OptionError: the response is of other bands or another ratio; or the method draws noise that no seed fixes.
    """
    _check(pair)
    if response.ms.scale != pair.ratio or len(response.mixing) != pair.ms.shape[1]:
        raise OptionError(
            f"the response is for {len(response.mixing)} bands at ratio {response.ms.scale}; the pair has "
            f"{pair.ms.shape[1]} at ratio {pair.ratio}"
        )
    fused = _settled(fuser, pair, seed)
    output = fused(pair)[0]
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
        flat = fused(ground)[0]
    linear = flat + moved
    return Split(output, linear, output - linear, pair.ratio)


def detail_r2(parts: Split, pair: Pair, border: int = 0) -> Float[Tensor, " bands"]:
    """`1 - |G|^2 / |F - EXP|^2`: how much of the detail that a method adds is linear, per band.

    1 for a method that is linear, a learned MTF-GLP for instance; nan where it adds no more than rounding. `border`
    pixels on every side are left out.

    Raises:
        OptionError: nothing is left.
    """
    height, width = (n - 2 * border for n in parts.output.shape[1:])
    if border < 0 or min(height, width) < 1:
        raise OptionError(f"a border of {border} leaves {height} x {width} of {tuple(parts.output.shape)}")
    cut = (..., slice(border, border + height), slice(border, border + width))
    rest, detail = parts.nonlinear[cut], (parts.output - pair.exp[0])[cut]
    energy = detail.square().sum((1, 2))
    rounding = height * width * (ROUNDING * parts.output.abs().amax((1, 2))).square()
    return torch.where(energy > rounding, 1 - rest.square().sum((1, 2)) / energy, torch.nan)


def scene_details(pair: Pair) -> tuple[Float[Tensor, "images h w"], Float[Tensor, "images n"]]:
    """PAN and the bands of a scene on the MS grid, PAN first, and their detail in the MS pixels that hold data.

    Detail is what an image has above its mean in LOCAL x LOCAL MS pixels; PAN is seen through the bands' mean MTF.

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
    return images[0], (images - local).flatten(2)[0][:, keep]


def scene_slopes(pair: Pair) -> tuple[Float[Tensor, " bands"], Float[Tensor, "bands bands"]]:
    """How the details of a scene belong together: for `panloom.analysis.system_transfer`.

    Returns:
        slope of PAN on each band; [b, c] slope of band c on band b. 0 on a band without detail.

    Raises:
        MethodError: the pair has no sensor.
    """
    images, detail = scene_details(pair)
    products = detail @ detail.T
    own = products.diagonal()[1:]
    rounding = (ROUNDING * images[1:].abs().amax((1, 2))).square() * detail.shape[1]
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


def _settled(fuser: Fuser, pair: Pair, seed: int | None) -> Callable[[Pair], Tensor]:
    """The method with its noise held by the seed.

    Raises:
        MethodError: as `_fused`.
        OptionError: it gives two outputs for one pair nevertheless.
    """
    fused = seeded(partial(_fused, fuser), seed)
    check_repeats(fused(pair), fused(pair), seed)
    return fused


def _known(pair: Pair, least: int, reach: int) -> Bool[Tensor, "h w"]:
    """The cells with all their data.

    Args:
        pair: looked at.
        least: cells along a side that it must have.
        reach: cells on each side of one that belong to its window.

    Raises:
        OptionError: no window fits into the pair, or none around such a cell.
    """
    height, width = pair.ms.shape[-2:]
    if min(height, width) < least:
        raise OptionError(
            f"the response of this method reaches {reach} MS pixels to each side, so that a pair must have "
            f"{least} x {least} MS pixels or more; given: {height} x {width}"
        )
    known = pair.whole_cells[0, 0]
    if not bool(_inside(known, reach).any()):
        raise OptionError(
            f"nowhere in this pair of {height} x {width} MS pixels, {reach} or more from its border, are an MS pixel "
            "and the eight around it free of missing data: take another part of the scene"
        )
    return known


def _inside(known: Bool[Tensor, "h w"], margin: int) -> Bool[Tensor, "h w"]:
    """What is known, and `margin` or more from the border."""
    height, width = known.shape
    inner = torch.zeros_like(known)
    inner[margin : height - margin, margin : width - margin] = True
    return known & inner


def _fine(known: Bool[Tensor, "h w"], ratio: int) -> Bool[Tensor, "H W"]:
    return known.repeat_interleave(ratio, 0).repeat_interleave(ratio, 1)


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


def _gain(slope: Derivative, image: Tensor, channel: int, counted: Bool[Tensor, "h w"]) -> Float[Tensor, " bands"]:
    """What a constant 1 on a channel adds to each band, mean of the pixels of the cells that count."""
    direction = torch.zeros_like(image)
    direction[:, channel] = 1
    added = _finite(slope(torch.zeros_like(image), direction))[0]
    return added[:, _fine(counted, added.shape[1] // counted.shape[0])].mean(1)


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


def _pan_sums(slope: Derivative, pair: Pair, halo: int, known: Bool[Tensor, "h w"], rng: Generator) -> _Sums:
    """Windows around impulses in PAN, for each place in a cell."""
    ratio, fine = pair.ratio, _fine(known, pair.ratio)
    reach = halo * ratio + ratio - 1
    # One more than a multiple of the ratio, so that the impulses of one pass stand at all places in a cell.
    step = 2 * reach + 1 + -2 * reach % ratio
    sums, passes = _Sums(ratio**2), 0
    while not _enough(sums, passes):
        place = sums.missing[0] if sums.missing else int(torch.randint(ratio**2, (), generator=rng))
        rows, cols = _lattice(fine, reach, step, divmod(place, ratio), ratio, rng)
        answer, signs = _answer(slope, pair.pan, 0, rows, cols, rng)
        for row, col, sign in signs:
            if fine[row, col]:
                window = answer[:, row - reach : row + reach + 1, col - reach : col + reach + 1]
                sums.add(row % ratio * ratio + col % ratio, sign * window)
        passes += 1
    return sums


def _ms_sums(slope: Derivative, pair: Pair, halo: int, known: Bool[Tensor, "h w"], band: int, rng: Generator) -> _Sums:
    """Windows around impulses in a band of MS; those of EXP belong to them."""
    ratio, reach = pair.ratio, halo + physical.REACH
    margin, side, sums, passes = ratio - 1, 2 * (ratio * (reach + 1) - 1) + 1, _Sums(1), 0
    while not _enough(sums, passes):
        rows, cols = _lattice(known, reach, 2 * reach + 1, (0, 0), 1, rng)
        answer, signs = _answer(slope, pair.ms, band, rows, cols, rng)
        # On the upper left a window may begin before the image does.
        answer = functional.pad(answer, (margin, 0, margin, 0))
        for row, col, sign in signs:
            if known[row, col]:
                top, left = (ratio * (n - reach) for n in (row, col))
                sums.add(0, sign * answer[:, top : top + side, left : left + side])
        passes += 1
    return sums


def _lattice(
    known: Bool[Tensor, "H W"], reach: int, step: int, first: tuple[int, int], ratio: int, rng: Generator
) -> tuple[Sequence[int], Sequence[int]]:
    """Rows and columns, `step` apart, with their windows inside; one of the places is known, and `first` in its cell.

    As many as fit, if such a place is among them.
    """
    row, col = first
    inside = _inside(known, reach)[row::ratio, col::ratio]
    places = inside.nonzero().cpu() * ratio + torch.tensor(first)
    # The first place of an axis moves within what the last one leaves free.
    free = torch.tensor([(n - 1 - 2 * reach) % step for n in known.shape])
    fullest = places[((places - reach) % step <= free).all(1)]
    choice = fullest if len(fullest) else places
    chosen = choice[int(torch.randint(len(choice), (), generator=rng))].tolist()
    rows, cols = (
        range(reach + (at - reach) % step, n - reach, step) for at, n in zip(chosen, known.shape, strict=True)
    )
    return rows, cols


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
