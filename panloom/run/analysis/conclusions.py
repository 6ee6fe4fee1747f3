"""What the numbers of an analysis say, by fixed rules: the same numbers always give the same words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from panloom.run.analysis.model import PUBLISHED, channel_names
from panloom.run.analysis.record import FuserNumbers, Likeness, NetworkNumbers, Parts, Quality

#: Changes of a level that do not count, and shares of other bands.
LEVEL, MIXED = 0.02, 0.1

#: A cut-off so near pi / scale is where it should be.
NEAR = 0.1

#: A gain that differs by less than this factor is the same.
SAME = 1.25

#: Detail that comes out so much too strong or too weak is told.
OFF = 0.15

#: R2 above which a method is linear but for rounding, and above which one filter says nearly all.
LINEAR, NEARLY = 0.9999, 0.95

#: Cancellation above which the rest only undoes.
UNDOES = 0.9

#: Decibels that do not count.
SAME_DB = 0.1

#: Relative deviations over places that do not count, and that are large.
STEADY, UNSTEADY = 0.01, 0.3

#: Parts of pi up to which detail is judged: above, PAN itself sees little.
HIGHEST = 0.75

#: Slopes below this say nothing of a gain.
FLAT = 0.05


def method_conclusions(name: str, numbers: FuserNumbers, parts: Parts, quality: Quality | None) -> list[str]:
    """Of a fusion method.

    Args:
        name: of the method.
        numbers: of its responses.
        parts: of its output.
        quality: beside a truth; None: there is none.
    """
    found = [
        _leakage(numbers),
        _level(numbers),
        _mixing(numbers.bands, numbers.mixing),
        _path([one.cutoff6 for one in numbers.ms]),
        _injection(numbers),
        *_transfer(numbers),
        _linear(parts),
        _cancelled(parts),
        _phases(numbers),
        *_compared(name, quality),
    ]
    return [text for text in found if text]


def model_conclusions(name: str, numbers: NetworkNumbers, parts: Sequence[Parts], quality: Quality | None) -> list[str]:
    """Of a super-resolution network.

    Args:
        name: of the model.
        numbers: of its responses.
        parts: of its output, by the derivative first.
        quality: beside a truth; None: there is none.
    """
    found = [
        _lowpass(numbers),
        _dot(numbers),
        _swept(numbers),
        _mixing(channel_names(len(numbers.mixing)), numbers.mixing),
        _places(numbers),
        _linear(parts[0]),
        _cancelled(parts[0]),
        *(_published(one) for one in parts if one.response == PUBLISHED),
        *_compared(name, quality),
    ]
    return [text for text in found if text]


# --- levels and bands -------------------------------------------------------------------------------------


def _leakage(numbers: FuserNumbers) -> str:
    worst = max(range(len(numbers.bands)), key=lambda b: abs(numbers.leakage[b]))
    leak = numbers.leakage[worst]
    if abs(leak) <= LEVEL:
        return (
            f"The brightness of PAN does not leak into the colours: {_amount(leak)} at most ({numbers.bands[worst]})."
        )
    return (
        f"The brightness of PAN leaks into the colours: where all of PAN is 1 brighter, {numbers.bands[worst]} changes "
        f"by {leak:+.2f}."
    )


def _level(numbers: FuserNumbers) -> str:
    worst = max(range(len(numbers.bands)), key=lambda b: abs(numbers.sums[b] - 1))
    total = numbers.sums[worst]
    if abs(total - 1) <= LEVEL:
        return "A scene that is brighter as a whole comes out brighter by as much in every band."
    return (
        f"The level of a whole scene is not kept: where PAN and all bands are 1 brighter, {numbers.bands[worst]} is "
        f"brighter by {total:.2f}."
    )


def _mixing(bands: Sequence[str], mixing: Sequence[Sequence[float]]) -> str:
    others = [(abs(row[c]), b, c) for b, row in enumerate(mixing) for c in range(len(row)) if c != b]
    if not others:
        return ""
    largest, b, c = max(others)
    if largest <= LEVEL:
        return "No band takes anything from another one."
    if largest <= MIXED:
        return f"Bands hardly mix: {bands[b]} takes {mixing[b][c]:+.2f} of {bands[c]}, and no other pair more."
    return (
        f"Bands mix: {bands[b]} takes {mixing[b][c]:+.2f} of {bands[c]}, and keeps {mixing[b][b]:.2f} of its own level."
    )


# --- frequencies ------------------------------------------------------------------------------------------


def _path(cutoffs: Sequence[float]) -> str:
    """Where MS is let through."""
    known = [cut for cut in cutoffs if not math.isnan(cut)]
    if not known:
        return "MS does not come through as a low-pass: no band has a gain at frequency 0."
    middle = statistics.median(known)
    if math.isinf(middle):
        return "MS comes through beyond where its grid ends: its amplitude nowhere falls to half, and copies stay."
    where = f"its amplitude falls to half at {middle:.2f} of where its grid ends (median of the bands; ideal: 1)"
    if middle < 1 - NEAR:
        return f"MS loses detail of its own: {where}."
    if middle > 1 + NEAR:
        return f"MS comes through beyond where its grid ends: {where}."
    return f"MS comes through as it should: {where}."


def _injection(numbers: FuserNumbers) -> str:
    pairs = zip(numbers.injection, numbers.slopes, strict=True)
    shares = [gain / slope for gain, slope in pairs if abs(slope) > FLAT]
    if not shares:
        return "What a regression would put in of PAN is about nothing in this scene: PAN does not go with any band."
    middle = statistics.median(shares)
    gain = f"{middle:.2f} times the gain of a regression on this scene (median of the bands)"
    if middle < LEVEL:
        return f"No detail of PAN is put in: {gain}."
    words = f"Detail of PAN is put in with {gain}"
    if middle < 1 / SAME:
        return f"{words}: less than makes the least error, and softer than it need be."
    if middle > SAME:
        return f"{words}: more than makes the least error, sharp at the price of detail that is not the band's own."
    return f"{words}: about as much as makes the least error."


def _transfer(numbers: FuserNumbers) -> list[str]:
    """Detail between the ground and the result, in the median band: around the end of the MS grid, and beyond."""
    places, rows = numbers.transfer.places, list(numbers.transfer.values.values())
    middle = [statistics.median(row[k] for row in rows) for k in range(len(places))]
    near = [value for place, value in zip(places, middle, strict=True) if 0.5 <= place * numbers.ratio <= 1.5]
    beyond = [value for place, value in zip(places, middle, strict=True) if 1.5 / numbers.ratio <= place <= HIGHEST]
    found: list[str] = []
    if near and max(near) > 1 + OFF:
        found.append(
            f"Around where the MS grid ends detail comes out {max(near):.2f} times as strong: it is put in twice."
        )
    if beyond:
        # No verdict: whether this is too much is the question of the gain, which `_injection` answers.
        comes, known = statistics.median(beyond), statistics.median(numbers.agreement)
        found.append(
            f"Of a detail of the ground beyond the MS grid {comes:.2f} comes out in the median band; that regression, "
            f"by what PAN shows of it, would bring {known:.2f}."
        )
    return found


def _lowpass(numbers: NetworkNumbers) -> str:
    found = numbers.jacobian
    if math.isnan(found.cutoff6):
        return (
            "On natural pictures a small change of all of the input leaves no change of level: this is no enlargement."
        )
    fall = (
        "nowhere falls to half" if math.isinf(found.cutoff6) else f"falls to half at {found.cutoff6:.2f} of pi / scale"
    )
    near = abs(found.cutoff6 - 1) <= 2 * NEAR
    words = (
        "a low-pass close to the ideal one, as the paper says" if near else "not the low-pass that the paper speaks of"
    )
    return (
        f"On natural pictures the network is, to first order, {words}: gain {found.dc:.2f}, and its amplitude {fall}."
    )


def _dot(numbers: NetworkNumbers) -> str:
    if numbers.published is None:
        return ""
    dot, mean = numbers.published, numbers.jacobian
    words = f"gain {dot.dc:.2f}, half at {dot.cutoff6:.2f} of pi / scale"
    if abs(dot.dc - mean.dc) <= MIXED and abs(dot.cutoff6 - mean.cutoff6) <= MIXED:
        return f"The paper's white dot on black tells the same ({words})."
    return f"The paper's white dot on black tells something else ({words}): it is not linear so far from pictures."


def _swept(numbers: NetworkNumbers) -> str:
    gains = [one.response.dc for one in numbers.sweep]
    if len(gains) < 2:
        return ""
    if max(gains) - min(gains) <= LEVEL:
        return "The height of the dot does not matter."
    return f"The answer to a dot depends on its height and ground: gains of {min(gains):.2f} to {max(gains):.2f}."


# --- what is linear ---------------------------------------------------------------------------------------


def _linear(parts: Parts) -> str:
    worst = min(parts.bands, key=lambda band: band.r2)
    least = worst.r2
    if least >= LINEAR:
        return "One linear filter explains all of the output: there is no nonlinear part."
    share = f"{100 * least:.1f} % of the output's variance in {worst.band}, the band that it explains least"
    if least <= 0:
        return f"One linear filter explains nothing of the output in {worst.band}: a constant would be as near."
    if least >= NEARLY:
        return f"One linear filter explains nearly all: {share}."
    return f"One linear filter explains {share}; the rest adapts to what it sees."


def _cancelled(parts: Parts) -> str:
    known = [band for band in parts.bands if math.isfinite(band.cancellation) and math.isfinite(band.high_linear)]
    if not known or min(band.r2 for band in parts.bands) >= LINEAR:
        return ""
    high = statistics.median(band.high_linear for band in known)
    undone = statistics.median(band.cancellation for band in known)
    if undone >= UNDOES and high > 1:
        return (
            f"Beyond the cut-off the linear part has {_times(high)} the energy of the output, and the rest mostly "
            f"takes that away (cancellation {undone:.2f}): it cleans up rather than adding detail."
        )
    rest = "adds to it" if undone < 0 else "undoes only some of it"
    return (
        f"Beyond the cut-off the linear part has {_times(high)} the energy of the output, and the rest {rest} "
        f"(cancellation {undone:.2f}; 1: it undoes, -1: it adds)."
    )


def _published(parts: Parts) -> str:
    """The same with the response of the paper."""
    least = min(band.r2 for band in parts.bands)
    high = statistics.median(band.high_linear for band in parts.bands)
    share = "nothing" if least <= 0 else f"{100 * least:.1f} % of the variance"
    return (
        f"With the response to the paper's white dot a filter explains {share} of the output, and has {_times(high)} "
        "its energy beyond the cut-off."
    )


def _phases(numbers: FuserNumbers) -> str:
    spread = numbers.pan_spread
    if math.isnan(spread) or spread <= STEADY:
        return "The response to PAN is the same at every place."
    size = "much" if spread > UNSTEADY else "somewhat"
    return f"The response to PAN differs {size} from place to place: by {100 * spread:.0f} % of its size."


def _places(numbers: NetworkNumbers) -> str:
    if numbers.spread <= STEADY:
        return "The response is the same at every place."
    size = "much" if numbers.spread > UNSTEADY else "somewhat"
    return (
        f"The response differs {size} from place to place: by {100 * numbers.spread:.0f} % of its size, channels apart."
    )


# --- beside a truth ---------------------------------------------------------------------------------------


def _compared(name: str, quality: Quality | None) -> list[str]:
    """The first image against the others, which are plain interpolations."""
    if quality is None or name not in quality.rows:
        return []
    rows = quality.rows[name]
    return [_against(other, rows, theirs) for other, theirs in quality.rows.items() if other != name]


def _against(other: str, rows: Sequence[Likeness], theirs: Sequence[Likeness]) -> str:
    words: list[str] = []
    for label, field in (("PSNR", "psnr"), ("windowed FSDS", "windowed")):
        gains = [getattr(a, field) - getattr(b, field) for a, b in zip(rows, theirs, strict=True)]
        known = [gain for gain in gains if math.isfinite(gain)]
        if known:
            won = sum(gain > SAME_DB for gain in known)
            words.append(f"{label} {statistics.median(known):+.1f} dB, better in {won} of {len(known)} bands")
    return f"Beside the truth, against {other}: {'; '.join(words)}." if words else ""


def _amount(value: float) -> str:
    return f"{100 * abs(value):.1f} %"


def _times(value: float) -> str:
    return f"{value:.2g} times" if value < 100 else f"{value:.0f} times"
