"""The protocol of this project (`docs/protocol.md`): from a pair to problems that methods can be scored on.

`wald-toolbox` and `wald-physical` are at reduced resolution, with a truth; `full` is the pair as it is, without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom.data.pairs import Recorded, degraded, only
from panloom.errors import OptionError
from panloom.optics import wald
from panloom.scene import Scene, array_scene
from panloom.types import Sensor, corner_phase

Protocol = Literal["wald-toolbox", "wald-physical", "full"]

#: What `--protocol` asks for.
CHOICES: dict[str, tuple[Protocol, ...]] = {
    "reduced": ("wald-toolbox", "wald-physical"),
    "full": ("full",),
    "both": ("wald-toolbox", "wald-physical", "full"),
    "wald-toolbox": ("wald-toolbox",),
    "wald-physical": ("wald-physical",),
}

#: Pixels of the truth that are not scored on each side at reduced resolution: there, methods guess what lies outside.
CUT = 12

#: A truth with fewer pixels along a side is scored without a cut, so that a block of 32 is left.
SMALL = 32 + 2 * CUT


@dataclass(frozen=True)
class Problem:
    """Something to be fused and scored.

    Attributes:
        protocol: how it was made.
        scene: to be fused; in units of `full_scale`.
        truth: on PAN's grid, in DN; None at full resolution.
        truth_valid: valid pixels of the truth.
        full_scale: the DN that is 1 in the scene.
        cut: pixels on each side that are not scored.
    """

    protocol: Protocol
    scene: Scene
    truth: Float[Tensor, "1 C H W"] | None
    truth_valid: Bool[Tensor, "1 1 H W"] | None
    full_scale: float
    cut: int


def problems(pair: Recorded, protocols: Sequence[Protocol]) -> list[Problem]:
    """The problems of a pair; a pair with a truth has none at full resolution.

    Raises:
        OptionError: no band is to be sharpened, or the pair is too small to be degraded.
    """
    sharp = [k for k, band in enumerate(pair.sensor.bands) if band.role == "sharpen"]
    if not sharp:
        raise OptionError(f"{pair.name}: none of its bands is to be sharpened")
    pair = only(pair, sharp)
    return [_problem(pair, protocol) for protocol in protocols if pair.truth is None or protocol != "full"]


def at_ratio(pair: Recorded, ratio: int) -> Recorded:
    """The pair as a sensor of another ratio would record it: MS is the truth, and PAN is brought to its grid.

    Args:
        pair: at full resolution, or with a truth, which is taken then.
        ratio: PAN pixels per MS pixel of the new pair.

    Raises:
        OptionError: MS is smaller than the pair's own ratio.
    """
    low = _given(pair, "physical") if pair.truth is not None else degraded(pair, "physical")
    return replace(
        pair,
        name=f"{pair.name}-ratio-{ratio}",
        sensor=replace(pair.sensor, ratio=ratio),
        pan=low.pan,
        ms=None,
        truth=low.truth,
        ratio=ratio,
        phase=(corner_phase(ratio), corner_phase(ratio)),
        pan_valid=low.pan_valid,
        ms_valid=low.truth_valid,
    )


def _problem(pair: Recorded, protocol: Protocol) -> Problem:
    if protocol == "full":
        return _full(pair)
    form: wald.Form = "toolbox" if protocol == "wald-toolbox" else "physical"
    low = _given(pair, form) if pair.truth is not None else degraded(pair, form)
    scene = _scene(low.pan, low.ms, low.pan_valid, low.ms_valid, pair.sensor, low.phase, pair.full_scale)
    cut = CUT if min(low.truth.shape[-2:]) >= SMALL else 0
    return Problem(protocol, scene, low.truth, low.truth_valid, pair.full_scale, cut)


def _full(pair: Recorded) -> Problem:
    assert pair.ms is not None  # a pair without truth has one
    scene = _scene(pair.pan, pair.ms, pair.pan_valid, pair.ms_valid, pair.sensor, pair.phase, pair.full_scale)
    return Problem("full", scene, None, None, pair.full_scale, 0)


def _given(pair: Recorded, form: wald.Form) -> wald.Degraded:
    """A pair that comes with its truth: the MS that was delivered (toolbox form), or one made from the truth."""
    assert pair.truth is not None
    ratio = pair.ratio
    h, w = (n - n % ratio for n in pair.truth.shape[-2:])
    pan, truth = pair.pan[..., :h, :w], pair.truth[..., :h, :w]
    pan_valid, valid = pair.pan_valid[..., :h, :w], pair.ms_valid[..., :h, :w]
    centre = float(ratio // 2) if form == "toolbox" else corner_phase(ratio)
    where = (centre, centre)
    low, low_valid = wald.degrade_truth(
        truth, valid, gains=[band.mtf_nyquist for band in pair.sensor.bands], ratio=ratio, phase=where, form=form
    )
    if form == "toolbox" and pair.ms is not None:
        low = pair.ms[..., : h // ratio, : w // ratio]
    return wald.Degraded(pan, low, truth, pan_valid, low_valid, valid, where)


def _scene(
    pan: Tensor,
    ms: Tensor,
    pan_valid: Tensor,
    ms_valid: Tensor,
    sensor: Sensor,
    phase: tuple[float, float],
    full_scale: float,
) -> Scene:
    """In float32, as the product works."""
    valid = ms_valid.expand(-1, ms.shape[1], -1, -1)
    return array_scene(
        (pan / full_scale).to(torch.float32),
        (ms / full_scale).to(torch.float32),
        sensor=sensor,
        phase=phase,
        sharpen=[band.name for band in sensor.bands],
        pan_valid=None if bool(pan_valid.all()) else pan_valid,
        ms_valid=None if bool(valid.all()) else valid,
        full_scale=1.0,
    )
