"""What adapters share: the look at a scene, whether it can be fitted, the gate, and what is told of a fit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom.adapt._bridge import Bridge
from panloom.adapt._sample import Statistics, statistics
from panloom.errors import PanloomWarning
from panloom.networks import Network
from panloom.optics.moments import ROUNDING
from panloom.pair import Pair
from panloom.types import Sensor, Window

#: Pixels that a fit must have to learn from, and as many that were held back, to be judged by.
FEWEST = 32

#: What is used: the adapted network, the frozen one, behind its radiometric bridge where it has one, or, where it has
#: one, the network as it is, without that.
Decision = Literal["adapted", "frozen", "direct"]

#: What keeps a ratio of errors finite where there is none.
TINY = 1e-200


class NoFitError(Exception):
    """The scene gives no fit; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was done; each adapter adds its own.

    Attributes:
        decision: which output is used: adapted; frozen, behind the radiometric bridge where there is one; or direct,
            which is the network without the bridge that it has.
        reason: why it is not the adapted one; empty where it is.
        validated: root mean square error on held-back pixels of the scene degraded once more, that of the adapted
            output over the least without a fit; None where it was not found.
        gate: `validated` above this keeps the better of the outputs without a fit.
        places: tiles that were looked at, PAN pixels of the scene.
        renormalised: what is used sees the scene in the values of its source.
        bridged: root mean square error on the same pixels, behind the bridge over without it; None where there is no
            bridge, or it was not found.
        unfitted: bands left as they are because they are constant.
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
    seconds: float


@dataclass(frozen=True)
class Known:
    """What a sample says of a scene.

    Attributes:
        statistics: of its values.
        bridge: to the values of the source; None: the network sees the scene's own.
        varies: bands that are not constant.
    """

    statistics: Statistics
    bridge: Bridge | None
    varies: Bool[Tensor, " C"]

    @property
    def variance(self) -> Float[Tensor, " C"]:
        """Of each band; 0 of a constant one."""
        return self.statistics.std.square() * self.varies


def look(network: Network | None, sensor: Sensor, sample: Sequence[Pair], *, renormalise: bool) -> Known:
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
        warnings.warn(text, PanloomWarning, stacklevel=4)
    # A network for any number of bands found the scale of the scene itself, in `prepare`, on the scene's own values.
    fixed = network is not None and network.traits.bands is not None and renormalise
    source = network.source if network is not None and fixed else None
    return Known(known, None if source is None else Bridge.of(source, known), varies)


def over(bridged: float, plain: float) -> float:
    """Root mean square errors behind a bridge over those without it, from sums of squares of the same pixels."""
    return (bridged / max(plain, TINY)) ** 0.5


def constant(sensor: Sensor, varies: Bool[Tensor, " C"]) -> tuple[str, ...]:
    """Names of the bands that do not vary."""
    return tuple(band.name for band, v in zip(sensor.bands, varies.tolist(), strict=True) if not v)


@dataclass(frozen=True)
class Verdict:
    """What a gate says; see `Report`."""

    decision: Decision = "frozen"
    reason: str = ""
    validated: float | None = None
    bridged: float | None = None

    @staticmethod
    def of(left: float, bridged: float | None, gate: float) -> Verdict:
        """The adapted output against the better of those without a fit.

        Args:
            left: root mean square error on held-back pixels, of the adapted output over the frozen one.
            bridged: of the frozen one, behind its bridge, over the network without that; None: there is no bridge.
            gate: see `Report`.
        """
        direct = bridged is not None and bridged > 1
        validated = left * bridged if bridged is not None and direct else left
        if 0 < gate >= validated:
            return Verdict("adapted", "", validated, bridged)
        reason = f"on held-back pixels {validated:.3f} of the error is left, more than {gate:g}"
        return Verdict("direct" if direct else "frozen", reason, validated, bridged)


def refused(stop: NoFitError) -> str:
    """The warning that the frozen output is used."""
    return f"nothing was fitted to the scene and the frozen output is used: {stop}"


def every_band(sensor: Sensor) -> Bool[Tensor, " C"]:
    """As long as nothing is known of a scene, all bands count as varying."""
    return torch.ones(len(sensor.bands), dtype=torch.bool)
