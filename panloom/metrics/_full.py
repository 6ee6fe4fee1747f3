"""What an index without reference looks at: a pair at full resolution, in DN, and what the sensor makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Bool, Float, Float64, Shaped
from torch import Tensor
from torch.nn import functional

from panloom.errors import OptionError
from panloom.metrics._metric import Core, Metric, Tally
from panloom.metrics._registry import get, names
from panloom.optics import physical, toolbox
from panloom.pair import Pair
from panloom.sensors import generic_bands
from panloom.sensors import get as sensor_named

#: How the sensor is modelled: as published figures are made, or at the true phase of the pair.
Form = Literal["toolbox", "physical"]

#: MS pixels around the core of a tile that the physical operators look at, at any ratio and gain.
HALO = 16

#: The largest standard deviation of values within a range of 1.
_LEAST_DEVIATION = 0.5

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class FullMetric(Metric):
    """An index without reference: `tally(fused, full, core=None)`, `full` a `FullScene`.

    The fused image has the unit of `full`, the size of its PAN and the bands of its MS. `core`, `block` and
    `halo` are counted in MS pixels. Each variant is a metric of its own, so that its label cannot be wrong;
    `variant` finds the one that fits a scene.

    Attributes:
        form: the model of the sensor; None where the index needs none.
        tiling: "exact": tallies of tiles add up to that of the whole; "whole": the index is defined on whole
            images only, since the interpolator of the toolbox form wraps around the borders. `core` is refused.
    """

    form: Form | None = None
    tiling: Literal["exact", "whole"] = "exact"


@dataclass(frozen=True, eq=False)
class FullScene:
    """A pair at full resolution, or a tile of it with the halo of the index.

    What is derived from it is made once and kept, in float64, since many fused images are scored on one scene.
    Pixels that are not valid hold a smooth continuation, as in `panloom.pair.Pair`; the fused image may hold
    anything there.

    A sample of the degraded image counts where its cell is valid and so is every PAN pixel that the widest MTF
    of the bands and PAN reaches (4 sigma).

    Attributes:
        pan: the sharp image, in DN (corrected for the offset, where the product has one).
        ms: the spectral image, in the same unit; H = ratio * h, W = ratio * w.
        valid: PAN pixels where PAN and every band are valid.
        ms_valid: MS pixels that are valid in every band.
        phase: (row, col), PAN pixels: MS sample i is centred on PAN index ratio * i + phase. The toolbox form
            supposes ratio // 2 whatever is given here.
        gains: MTF gain at MS Nyquist of each band.
        pan_gain: that of PAN.
        notes: what a reader of the values must know.
    """

    pan: Float[Tensor, "b 1 H W"]
    ms: Float[Tensor, "b C h w"]
    valid: Bool[Tensor, "b 1 H W"]
    ms_valid: Bool[Tensor, "b 1 h w"]
    phase: tuple[float, float]
    gains: tuple[float, ...]
    pan_gain: float
    notes: tuple[str, ...] = ()
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            OptionError: they do not.
        """
        if self.pan.shape[-2:] != tuple(self.ratio * n for n in self.ms.shape[-2:]):
            raise OptionError(
                f"PAN of {tuple(self.pan.shape[-2:])} pixels is no whole multiple of MS of {tuple(self.ms.shape[-2:])}"
            )
        for mask, image in ((self.valid, self.pan), (self.ms_valid, self.ms)):
            if mask.shape != (image.shape[0], 1, *image.shape[2:]):
                raise OptionError(f"a mask of shape {tuple(mask.shape)} for an image of shape {tuple(image.shape)}")
        if len(self.gains) != self.ms.shape[1]:
            raise OptionError(f"{len(self.gains)} MTF gains for {self.ms.shape[1]} bands; give one per band")
        if not all(0 < gain < 1 for gain in (*self.gains, self.pan_gain)):
            raise OptionError(f"MTF gains {self.gains}, PAN {self.pan_gain} must lie between 0 and 1")

    @classmethod
    def of(cls, pair: Pair, full_scale: float, ms_valid: Bool[Tensor, "b 1 h w"] | None = None) -> FullScene:
        """The scene of a pair.

        Args:
            pair: with a PAN of one band; its values times `full_scale` are DN, corrected for the offset.
            full_scale: the DN that is 1 in the pair.
            ms_valid: valid MS pixels; None: those whose PAN pixels are all valid.

        Raises:
            OptionError: the parts do not belong together.
        """
        bands, pan, notes = _optics(pair)
        if ms_valid is None:
            ms_valid = functional.max_pool2d((~pair.valid).float(), pair.ratio) == 0
        return cls(
            pan=pair.pan.double() * full_scale,
            ms=pair.ms.double() * full_scale,
            valid=pair.valid,
            ms_valid=ms_valid,
            phase=pair.phase,
            gains=bands,
            pan_gain=pan,
            notes=notes,
        )

    @property
    def ratio(self) -> int:
        """PAN pixels per MS pixel."""
        return self.pan.shape[-2] // self.ms.shape[-2]

    @property
    def digital(self) -> bool:
        """The values are digital numbers, so that rounding them to whole numbers changes little."""
        return self.once("digital", lambda: digital(spread(self.ms.double(), self.ms_valid)))

    def once(self, key: str, make: Callable[[], _Made]) -> _Made:
        """`make()`, kept under that key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    # ---- what the sensor makes of the pair ---------------------------------------------------------

    def exp(self, form: Form) -> Float64[Tensor, "b C H W"]:
        """MS on the PAN grid."""
        return self.once(f"exp {form}", lambda: self._expanded(self.ms.double(), form))

    def low_pan(self, form: Form) -> Float64[Tensor, "b 1 h w"]:
        """PAN on the MS grid: by bicubic resampling in the toolbox form, through its own MTF in the physical one."""
        return self.once(f"low_pan {form}", lambda: self._low_pan(form))

    def smooth_pan(self, form: Form) -> Float64[Tensor, "b 1 H W"]:
        """`low_pan` on the PAN grid again: PAN as sharp as EXP."""
        return self.once(f"smooth_pan {form}", lambda: self._expanded(self.low_pan(form), form))

    def continued(self, fused: Shaped[Tensor, "b C H W"], form: Form) -> Float64[Tensor, "b C H W"]:
        """The fused image, and EXP where it is not valid.

        Raises:
            OptionError: it has another shape than EXP.
        """
        self.check(fused)
        fused = fused.double()
        return fused if bool(self.valid.all()) else torch.where(self.valid, fused, self.exp(form))

    def degraded(self, fused: Shaped[Tensor, "b C H W"], form: Form) -> Float64[Tensor, "b C h w"]:
        """The fused image as the MS optics would record it.

        Raises:
            OptionError: it has another shape than EXP.
        """
        x = self.continued(fused, form)
        if form == "toolbox":
            return toolbox.degrade_ms(x, self.gains, self.ratio)
        return physical.degrade(x, self.gains, self.ratio, self.phase)

    def blurred(self, fused: Shaped[Tensor, "b C H W"], form: Form) -> Float64[Tensor, "b C H W"]:
        """The fused image as blurred as MS, on the PAN grid.

        Raises:
            OptionError: it has another shape than EXP.
        """
        x = self.continued(fused, form)
        if form == "toolbox":
            return toolbox.mtf_filter(x, self.gains, self.ratio)
        return torch.cat([_blurred(x[:, c : c + 1], gain, self.ratio) for c, gain in enumerate(self.gains)], 1)

    def check(self, fused: Tensor) -> None:
        """See that an image fits the scene.

        Raises:
            OptionError: its shape is not that of EXP.
        """
        shape = (*self.ms.shape[:2], *self.pan.shape[2:])
        if fused.shape != shape:
            raise OptionError(f"the fused image has shape {tuple(fused.shape)}; this scene needs {shape}")

    def _expanded(self, x: Tensor, form: Form) -> Tensor:
        if form == "toolbox":
            return toolbox.interp23(x, self.ratio)
        return physical.interpolate(x, self.ratio, self.phase)

    def _low_pan(self, form: Form) -> Tensor:
        pan = self.pan.double()
        if form == "toolbox":
            return toolbox.degrade_pan(pan, self.ratio)
        return physical.degrade(pan, [self.pan_gain], self.ratio, self.phase)

    # ---- where that rests on valid pixels ----------------------------------------------------------

    @property
    def blurred_valid(self) -> Bool[Tensor, "b 1 H W"]:
        """PAN pixels of which the neighbourhood is valid that the widest MTF reaches; outside the image all is."""
        radius = max(physical.mtf_radius(gain, self.ratio) for gain in (*self.gains, self.pan_gain))
        return self.once("blurred_valid", lambda: _eroded(self.valid, radius))

    def low_valid(self, form: Form) -> Bool[Tensor, "b 1 h w"]:
        """MS pixels that are valid and rest on valid PAN pixels when an image is degraded."""
        phase = (float(self.ratio // 2),) * 2 if form == "toolbox" else self.phase
        rows, cols = (
            (torch.arange(n, device=self.valid.device) * self.ratio + int(p // 1)).clamp(min=0)
            for n, p in zip(self.ms.shape[-2:], phase, strict=True)
        )
        return self.once(f"low_valid {form}", lambda: self.ms_valid & self.blurred_valid[..., rows[:, None], cols])

    def smooth_valid(self, form: Form) -> Bool[Tensor, "b 1 H W"]:
        """PAN pixels that are valid and lie in a cell of `low_valid`: where PAN, EXP and `smooth_pan` compare."""
        low, ratio = self.low_valid(form), self.ratio
        return self.valid & low.repeat_interleave(ratio, -2).repeat_interleave(ratio, -1)


def variant(name: str, full: FullScene, form: Form) -> FullMetric:
    """The variant of an index that fits a scene: its form, and without rounding where the data are not digital.

    Args:
        name: of the toolbox variant, such as "hqnr".
        full: the scene.
        form: how the sensor is modelled.

    Raises:
        OptionError: there is no such index without reference.
    """
    suffix = "-physical" if form == "physical" else ""
    wanted = [name + suffix + "-unrounded"] if not full.digital else []
    known = names()
    found = get(next((each for each in (*wanted, name + suffix) if each in known), name))
    if not isinstance(found, FullMetric):
        raise OptionError(f"the index {name!r} compares with a reference; at full resolution there is none")
    return found


# ---- parts of tallies ------------------------------------------------------------------------------


def on_pan(core: Core | None, ratio: int) -> Core | None:
    """A core in MS pixels as one in PAN pixels."""
    if core is None:
        return None
    rows, cols = (slice((part.start or 0) * ratio, part.stop and part.stop * ratio) for part in core)
    return rows, cols


def whole_only(label: str, form: Form, core: Core | None) -> None:
    """Refuse the tile of an index of the toolbox form.

    Raises:
        OptionError: there is a core.
    """
    if form == "toolbox" and core is not None:
        raise OptionError(
            f"{label} is defined on whole images only, since its interpolator wraps around the borders; leave out "
            "`core`, or use the variant of the physical form"
        )


def spread(ms: Float64[Tensor, "b C h w"], valid: Bool[Tensor, "b 1 h w"]) -> dict[str, Tensor]:
    """Sums that tell how much MS varies and whether it holds whole numbers, for `digital`."""
    ms = torch.where(valid, ms, 0.0)
    return {
        "ms pixels": valid.sum(dtype=torch.float64),
        "ms sum": ms.sum((0, 2, 3)),
        "ms square": ms.square().sum((0, 2, 3)),
        "ms fractions": (ms != ms.round()).sum(dtype=torch.float64),
    }


def digital(sums: Tally) -> bool:
    """Whether the values of these sums are whole, or vary by more than one number."""
    pixels = sums["ms pixels"].clamp(min=1)
    variance = (sums["ms square"] / pixels - (sums["ms sum"] / pixels).square()).max()
    return not (float(sums["ms fractions"]) > 0 and float(variance) <= _LEAST_DEVIATION**2)


def in_digital_numbers(image: Shaped[Tensor, "b C h w"], valid: Bool[Tensor, "b 1 h w"]) -> bool:
    """Whether the valid values are whole or vary by more than one, so that rounding them changes little."""
    return digital(spread(image.double(), valid))


def named(name: str, sums: Tally) -> dict[str, Tensor]:
    """A tally under the name of its index, so that those of several indices stand in one without clashing."""
    return {f"{name}:{key}": value for key, value in sums.items()}


def own(name: str, tally: Tally) -> dict[str, Tensor]:
    """The part of a tally that stands under that name.

    Raises:
        OptionError: there is none.
    """
    found = {key.removeprefix(f"{name}:"): value for key, value in tally.items() if key.startswith(f"{name}:")}
    if not found:
        raise OptionError(f"this tally holds nothing of {name}; it is one of {', '.join(sorted(tally)) or 'nothing'}")
    return found


# ---- operators -------------------------------------------------------------------------------------


def _optics(pair: Pair) -> tuple[tuple[float, ...], float, tuple[str, ...]]:
    """MTF gains of the bands and of PAN, and what is to be said about them."""
    sensor, count = pair.sensor, pair.ms.shape[1]
    if sensor is not None and sensor.name != "generic":
        return tuple(band.mtf_nyquist for band in sensor.bands), sensor.pan.mtf_nyquist, ()
    bands = generic_bands(count) if sensor is None else sensor.bands
    pan = sensor_named("generic").pan if sensor is None else sensor.pan
    gains: Sequence[float] = [band.mtf_nyquist for band in bands]
    told = "/".join(f"{gain:g}" for gain in sorted(set(gains)))
    note = (
        f"the sensor is not known, so the MTF gains are those of a generic one (MS {told}, PAN {pan.mtf_nyquist:g}): "
        "indices that degrade an image (D_lambda[khan], HQNR, D_s) depend on them; name the sensor to have its own"
    )
    return tuple(gains), pan.mtf_nyquist, (note,)


def _blurred(x: Float64[Tensor, "b 1 H W"], gain: float, ratio: int) -> Float64[Tensor, "b 1 H W"]:
    """Through the Gaussian MTF of the physical form, not decimated; DC gain 1, replicated borders."""
    sigma, radius = physical.mtf_sigma(gain, ratio), physical.mtf_radius(gain, ratio)
    n = torch.arange(-radius, radius + 1, dtype=torch.float64, device=x.device)
    taps = torch.exp(-(n**2) / (2 * sigma**2))
    taps = taps / taps.sum()
    x = physical.replicate(x, radius, radius, radius, radius)
    return functional.conv2d(functional.conv2d(x, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))


def _eroded(valid: Bool[Tensor, "b 1 H W"], radius: int) -> Bool[Tensor, "b 1 H W"]:
    """Pixels with no invalid one within `radius` rows and columns."""
    if bool(valid.all()):
        return valid
    bad = (~valid).float()
    bad = functional.max_pool2d(bad, (2 * radius + 1, 1), stride=1, padding=(radius, 0))
    return functional.max_pool2d(bad, (1, 2 * radius + 1), stride=1, padding=(0, radius)) == 0
