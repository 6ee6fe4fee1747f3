"""What adapters share: the sample of a scene, the bridge in front of the network, the gate, and what is told of a fit.

    found  = framed(network, scene, options, fit, Report, rng)
    sample = tiles, each of them degraded once more, and the frozen network behind its bridge or without it
    fit(sample)                         the part that each adapter has of its own
    gate                                whether it is used; the report

Which of the two frozen networks is adapted is decided before anything is fitted, by their errors on the scene degraded
once more.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, Protocol, TypeVar, get_args, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from panloom.adapt._base import Base
from panloom.adapt._bridge import Bridge
from panloom.adapt._sample import Lowered, Statistics, lowered, places, statistics, tiles
from panloom.adapt._sharpness import as_sharp
from panloom.compute import together
from panloom.errors import OptionError, PanloomWarning, unknown
from panloom.networks import Network
from panloom.optics.alignment import NOWHERE, Aligned, Offset
from panloom.optics.moments import ROUNDING
from panloom.pair import Pair, SceneLike
from panloom.types import Decision, Sensor, Window

#: Pixels that a fit must have to learn from, and as many that were held back, to be judged by.
FEWEST = 32

#: Pixels of the scene degraded once more, as many as it has MS pixels: a fit that rests on no more is warned of.
#: On itself it seldom harms: of 100 refits to crops of training pairs of 144 or 256 such pixels 2 raised the error, by
#: 5 % at most. What else there is in the land around it they have not seen.
FEW = 256


#: When a network sees a scene in the values of its source, where they are known: if it errs less then, always, never.
Renormalise = Literal["auto", "always", "never"]

#: What keeps a ratio of errors finite where there is none.
TINY = 1e-200


class NoFitError(Exception):
    """The scene gives no fit; the message says why."""


@dataclass(frozen=True)
class Options:
    """Those that all adapters have.

    Attributes:
        tiles: of 128 x 128 MS pixels that are looked at, at most.
        gate: share of the error of the frozen output that may be left on held-back pixels; 0 always keeps it.
        renormalise: see `Renormalise`.

    Raises:
        OptionError: one of them makes no sense.
    """

    tiles: int
    gate: float
    renormalise: Renormalise

    def __post_init__(self) -> None:
        if self.tiles < 1 or not self.gate >= 0:
            raise OptionError(
                f"a fit to a scene needs 1 tile or more and a gate of 0 or more; given: tiles {self.tiles}, gate "
                f"{self.gate:g}"
            )
        if self.renormalise not in get_args(Renormalise):
            raise OptionError(unknown("value of renormalise", str(self.renormalise), get_args(Renormalise)))


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was done; each adapter adds its own.

    Attributes:
        decision: which output is used: that of the adapted network, or of the frozen one that was to be adapted.
        reason: why it is not the adapted one; empty where it is.
        validated: root mean square error on held-back pixels of the scene degraded once more, that of the adapted
            output over that of the frozen one; None where it was not found.
        gate: `validated` above this keeps the frozen output.
        places: tiles that were looked at, PAN pixels of the scene.
        renormalised: what is used sees the scene in the values of its source.
        bridged: root mean square error of the frozen network on the scene degraded once more, behind its radiometric
            bridge over without it; above 1, it was adapted without. None where there was no choice.
        unfitted: bands left as they are because they are constant.
        offset: (row, col) in PAN pixels, how far down and right of its place MS lies; PAN was moved there.
        pan_gain: MTF gain at MS Nyquist with which PAN was degraded once more: that of the sensor, or more where PAN
            is sharper than that. None: it was not.
        seconds: of `prepare`.
    """

    decision: Decision
    reason: str
    validated: float | None
    gate: float
    places: tuple[Window, ...]
    renormalised: bool
    bridged: float | None = None
    unfitted: tuple[str, ...]
    offset: Offset = NOWHERE
    pan_gain: float | None = None
    seconds: float


@dataclass(frozen=True)
class Known:
    """What a sample says of a scene.

    Attributes:
        statistics: of its values.
        varies: bands that are not constant.
    """

    statistics: Statistics
    varies: Bool[Tensor, " C"]

    @property
    def variance(self) -> Float[Tensor, " C"]:
        """Of each band; 0 of a constant one."""
        return self.statistics.std.square() * self.varies


@dataclass(frozen=True, eq=False)
class Sample:
    """What there is to be fitted to.

    Attributes:
        scene: it is not read any more.
        tiles: of the scene.
        low: these degraded once more, where they are large enough for that.
        known: what the tiles say.
        base: the frozen network, as it is to be adapted.
    """

    scene: SceneLike
    tiles: Sequence[Pair]
    low: Sequence[Lowered]
    known: Known
    base: Base


@runtime_checkable
class Fit(Protocol):
    """What was fitted to a scene."""

    @property
    def left(self) -> float:
        """Root mean square error on held-back pixels, over that of the frozen output."""
        ...


Made = TypeVar("Made", bound=Fit)
Told = TypeVar("Told", bound=Report)


@dataclass(frozen=True, eq=False)
class Framed(Generic[Made, Told]):
    """What came of a scene.

    Attributes:
        base: the frozen network, as it was to be adapted.
        made: what was fitted, used or not; None: nothing.
        report: without what the adapter adds of its own.
        began: when, seconds of `time.perf_counter`.
    """

    base: Base
    made: Made | None
    report: Told
    began: float

    @property
    def used(self) -> Made | None:
        """What was fitted, where it is used."""
        return self.made if self.report.decision == "adapted" else None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.began


@torch.no_grad()
def framed(
    network: Network | None,
    scene: Aligned,
    options: Options,
    fit: Callable[[Sample], Made],
    kind: Callable[..., Told],
    rng: Generator,
) -> Framed[Made, Told]:
    """A fit to a scene behind a gate; where there is none, a warning says why.

    Args:
        network: ready for the scene; it is not changed. None: EXP.
        scene: what is fitted to, as the network saw it.
        options: of the frame.
        fit: made of the sample; it may raise NoFitError.
        kind: of the report, whose own fields have defaults.
        rng: of the sample.
    """
    began, found = time.perf_counter(), tiles(scene, options.tiles, rng)
    base, varies, made, bridged, gain = Base(network, None, scene.offset), every_band(scene.sensor), None, None, None
    try:
        known = look(scene.sensor, found)
        varies, base = known.varies, behind(base, known, options.renormalise)
        low = degraded(found, scene.sensor, base.multiple)
        gain = _pan_gain(low)
        if options.renormalise == "auto" and base.bridge is not None:
            bridged = compared(base, low, known.variance)
            base = base.direct if bridged > 1 else base
        made = fit(Sample(scene, found, low, known, base))
        reason = refusal(made.left, options.gate)
        if not reason:
            _warn_of_few(sum(one.count for one in low), scene.grid.ratio)
    except NoFitError as stop:
        reason = f"nothing was fitted to the scene and the frozen output is used: {stop}"
        warnings.warn(reason, PanloomWarning, stacklevel=4)
    report = kind(
        decision="frozen" if reason else "adapted",
        reason=reason,
        validated=None if made is None else made.left,
        bridged=bridged,
        gate=options.gate,
        places=places(found),
        renormalised=base.bridge is not None,
        unfitted=constant(scene.sensor, varies),
        offset=scene.offset,
        pan_gain=gain,
        seconds=time.perf_counter() - began,
    )
    return Framed(base, made, report, began)


def look(sensor: Sensor, sample: Sequence[Pair]) -> Known:
    """A scene that can be fitted; constant bands are warned of.

    Raises:
        NoFitError: nothing is valid, or there is nothing but constants.
    """
    known = statistics(sample) if sample else None
    if known is None:
        raise NoFitError("no part of the scene has enough pixels that are valid in PAN and in all bands")
    if known.pan_std <= ROUNDING * abs(known.pan_mean):
        raise NoFitError(f"PAN is constant ({known.pan_mean:.4g})")
    varies = known.std > ROUNDING * known.mean.abs()
    if not bool(varies.any()):
        raise NoFitError("all bands are constant")
    flat = constant(sensor, varies)
    if flat:
        text = f"constant bands are not fitted to the scene: {', '.join(flat)}"
        warnings.warn(text, PanloomWarning, stacklevel=5)
    return Known(known, varies)


def behind(base: Base, known: Known, renormalise: Renormalise) -> Base:
    """A network behind its bridge, where it has one."""
    network = base.network
    # A network for any number of bands found the scale of the scene itself, in `prepare`, on the scene's own values.
    fixed = network is not None and network.traits.bands is not None and renormalise != "never"
    source = network.source if network is not None and fixed else None
    return replace(base, bridge=None if source is None else Bridge.of(source, known.statistics))


def degraded(sample: Sequence[Pair], sensor: Sensor, multiple: int) -> list[Lowered]:
    """The tiles of a sample degraded once more, PAN as sharp as it is in the scene.

    Raises:
        NoFitError: they hold too few pixels then.
    """
    sensor = as_sharp(sample, sensor)
    found = [lowered(tile, sensor, multiple) for tile in sample]
    low = [one for one in found if one is not None]
    count = sum(one.count for one in low)
    if count < FEWEST:
        raise NoFitError(f"degraded once more it has {count} valid pixels, less than {FEWEST}")
    return low


def _pan_gain(low: Sequence[Lowered]) -> float:
    """Of the optics that PAN was degraded with."""
    sensor = low[0].pair.sensor
    assert sensor is not None  # `lowered` told it
    return sensor.pan.mtf_nyquist


def compared(base: Base, low: Sequence[Lowered], variance: Float[Tensor, " C"]) -> float:
    """Root mean square error of the frozen output behind its bridge over that without it.

    Raises:
        NoFitError: one of them is no number.
    """
    quick = base.quick
    parts = [(told, one) for told in (quick.direct.below(low), quick.below(low)) for one in low]
    errors = together(lambda part: part[1].squared(part[0].fused(part[1].pair), variance), parts)
    before, after = (sum(half) for half in (errors[: len(low)], errors[len(low) :]))
    ratio = (after / max(before, TINY)) ** 0.5
    if not math.isfinite(ratio):
        raise NoFitError("the network's output on it is not finite")
    return ratio


def refusal(left: float, gate: float) -> str:
    """Why a gate does not let a fit pass that leaves so much of the error; empty: it does."""
    return "" if 0 < gate >= left else f"on held-back pixels {left:.3f} of the error is left, more than {gate:g}"


def _warn_of_few(count: int, ratio: int) -> None:
    """A warning where a fit rests on few pixels."""
    if count > FEW:
        return
    side = 2 * round(FEW**0.5)
    text = (
        f"the fit to the scene rests on {count} pixels of it, degraded once more, and may not hold elsewhere: take a "
        f"scene of {side} x {side} valid MS pixels ({side * ratio} x {side * ratio} PAN pixels) or more"
    )
    warnings.warn(text, PanloomWarning, stacklevel=5)


def constant(sensor: Sensor, varies: Bool[Tensor, " C"]) -> tuple[str, ...]:
    """Names of the bands that do not vary."""
    return tuple(band.name for band, v in zip(sensor.bands, varies.tolist(), strict=True) if not v)


def every_band(sensor: Sensor) -> Bool[Tensor, " C"]:
    """As long as nothing is known of a scene, all bands count as varying."""
    return torch.ones(len(sensor.bands), dtype=torch.bool)
