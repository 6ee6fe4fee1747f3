"""Examples from real pairs by Wald's protocol: random crops, degraded on the fly, with their own MS as the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional

from panloom.data.example import Example
from panloom.data.orientation import Orientation
from panloom.data.pairs import Recorded, degraded, only
from panloom.errors import OptionError
from panloom.optics import physical, wald
from panloom.optics.continuation import extend
from panloom.pair import Pair
from panloom.types import Sensor, corner_phase

#: Share of a crop's pixels that must be valid.
VALID = 0.75

#: PAN pixels that the kernels of the toolbox reach.
_TOOLBOX_REACH = 21


@dataclass(frozen=True)
class _Ground:
    """A place with its truth, in units of full scale: what crops are cut from.

    Attributes:
        pan: on the grid of the truth.
        truth: smoothly continued where it is not valid.
        pan_valid: pixels of PAN that hold data.
        truth_valid: pixels of the truth that hold data.
        phase: where degraded samples are taken, in pixels of the truth.
        corners: (n, 2) rows and columns at which a crop may begin.
    """

    pan: Float[Tensor, "1 1 H W"]
    truth: Float[Tensor, "1 C H W"]
    pan_valid: Bool[Tensor, "1 1 H W"]
    truth_valid: Bool[Tensor, "1 1 H W"]
    phase: tuple[float, float]
    corners: Tensor


@dataclass(frozen=True)
class _Group:
    """Places that one sensor recorded; their crops can stand in one batch."""

    sensor: Sensor
    ratio: int
    size: int
    grounds: tuple[_Ground, ...]

    @property
    def pixels(self) -> int:
        return sum(len(ground.corners) for ground in self.grounds)


class WaldExamples:
    """An endless supply of batches of random crops of real pairs; see `panloom.data.Source`.

    PAN is degraded to the grid of MS, which is the truth, and the crop of the truth is degraded to the MS of the
    example. The crop's surroundings are looked at, so its borders are not those of an image. A pair that came with its
    truth is used with it: only MS is made. Bands outside the visible and near infrared are left out.

    The crops of a batch are of one sensor and ratio, and each is turned and mirrored for itself, before MS is made: so
    the phase is always one of the sensor's own, that of the first crop. In the toolbox form it is ratio // 2.

    In the example, pixels are `valid` that rest on data in PAN, MS and truth; the others hold a smooth continuation,
    and a loss should leave them out.
    """

    def __init__(
        self,
        pairs: Sequence[Recorded],
        *,
        size: int = 64,
        batch: int = 8,
        form: wald.Form = "physical",
        turn: bool = True,
        even: bool = False,
        noise: float = 0.0,
    ) -> None:
        """Degrade every PAN once, and find where crops may lie.

        Args:
            pairs: in DN, as `panloom.data.read_folder` or `Splits.training` gives them.
            size: pixels of the truth along a side of a crop; fewer where a sensor's smallest image has fewer, and whole
                MS pixels only.
            batch: crops in one example.
            form: how is degraded, `physical` or `toolbox`.
            turn: turn and mirror crops.
            even: all sensors equally often; else in proportion to the pixels there are.
            noise: largest noise that is added to MS, in deviations of each band of a crop; little is as frequent as
                much is rare. MS that was made by averaging pixels holds less noise than MS that was recorded.

        Raises:
            OptionError: no pair, or none that can be used: too small for two MS pixels, or mostly without data.
        """
        if size < 4 or batch < 1 or noise < 0:
            raise OptionError(f"size {size} must be 4 or more, batch {batch} 1 or more, and noise {noise} 0 or more")
        self._batch, self._turn, self._noise = batch, turn, noise
        told = f"size={size}, batch={batch}, form={form!r}, turn={turn}, even={even}, noise={noise}"
        self._words = f"WaldExamples({len(pairs)} pairs, {told})"
        self._form: wald.Form = form
        self._groups = _grouped([_sharp(pair) for pair in pairs], size, form)
        if not self._groups:
            raise OptionError(
                f"no crop can be cut from these {len(pairs)} pairs: they have no visible or near infrared band, are "
                f"too small for two MS pixels, or less than {VALID:.0%} of every crop holds data"
            )
        shares = [1.0 if even else float(group.pixels) for group in self._groups]
        self._shares = torch.tensor(shares, dtype=torch.float64)

    def __repr__(self) -> str:
        return self._words

    def __call__(self, rng: Generator) -> Example:
        """The next batch."""
        group = self._groups[int(torch.multinomial(self._shares, 1, generator=rng))]
        shares = torch.tensor([len(ground.corners) for ground in group.grounds], dtype=torch.float64)
        drawn = torch.multinomial(shares, self._batch, replacement=True, generator=rng).tolist()
        margin = _margin(group, self._form)
        crops = [_crop(group.grounds[k], group.size, margin * group.ratio, rng, turn=self._turn) for k in drawn]
        return _example(crops, group, margin, self._form, self._noise, rng)


def _sharp(pair: Recorded) -> Recorded:
    return only(pair, [k for k, band in enumerate(pair.sensor.bands) if band.role == "sharpen"])


def _grouped(pairs: Sequence[Recorded], size: int, form: wald.Form) -> list[_Group]:
    """The pairs by sensor and ratio, in the order of the first of each."""
    sorts: dict[tuple[Sensor, int], list[Recorded]] = {}
    for pair in pairs:
        if pair.sensor.bands and min(_truth_shape(pair)) >= 2 * pair.ratio:
            sorts.setdefault((pair.sensor, pair.ratio), []).append(pair)
    groups: list[_Group] = []
    for (sensor, ratio), members in sorts.items():
        side = min(size, *(n for pair in members for n in _truth_shape(pair)))
        side -= side % ratio
        if not side:
            raise OptionError(f"size {size} must be {ratio} or more: one MS pixel at ratio {ratio}")
        grounds = tuple(ground for pair in members if len((ground := _ground(pair, side, form)).corners))
        if grounds:
            groups.append(_Group(sensor, ratio, side, grounds))
    return groups


def _truth_shape(pair: Recorded) -> tuple[int, int]:
    """Rows and columns, in whole MS pixels of the example."""
    height, width = pair.ms_valid.shape[-2:]
    return height - height % pair.ratio, width - width % pair.ratio


def _ground(pair: Recorded, size: int, form: wald.Form) -> _Ground:
    """PAN and truth on one grid, in float32."""
    if pair.truth is None:
        low = degraded(pair, form)
        pan, truth, pan_valid, truth_valid, phase = low.pan, low.truth, low.pan_valid, low.truth_valid, low.phase
    else:
        pan, truth, pan_valid, truth_valid = pair.pan, pair.truth, pair.pan_valid, pair.ms_valid
        centre = float(pair.ratio // 2) if form == "toolbox" else corner_phase(pair.ratio)
        phase = (centre, centre)
    held = functional.avg_pool2d((pan_valid & truth_valid).double(), (size, 1), stride=1)
    share = functional.avg_pool2d(held, (1, size), stride=1)[0, 0]
    return _Ground(
        pan=(extend(pan, pan_valid) / pair.full_scale).float(),
        truth=(truth / pair.full_scale).float(),
        pan_valid=pan_valid,
        truth_valid=truth_valid,
        phase=phase,
        corners=(share >= VALID - 1e-9).nonzero(),
    )


def _margin(group: _Group, form: wald.Form) -> int:
    """MS pixels around a crop on which its MS, and that interpolated, depend."""
    if form == "toolbox":
        return -(-_TOOLBOX_REACH // group.ratio) + physical.REACH
    reach = max(physical.reduce_margin(band.mtf_nyquist, group.ratio) for band in group.sensor.bands)
    return reach + physical.REACH


def _crop(ground: _Ground, size: int, margin: int, rng: Generator, *, turn: bool) -> _Ground:
    """A part of a place with its surroundings, turned at random; beyond the border the edge is repeated."""
    row, col = ground.corners[int(torch.randint(len(ground.corners), (), generator=rng))].tolist()
    turned = Orientation.draw(rng) if turn else Orientation()
    height, width = ground.truth.shape[-2:]
    sides = (margin - row, row + size + margin - height, margin - col, col + size + margin - width)

    def cut(image: Tensor) -> Tensor:
        return turned.image(physical.replicate(image, *sides))

    return replace(
        ground,
        pan=cut(ground.pan),
        truth=cut(ground.truth),
        pan_valid=cut(ground.pan_valid),
        truth_valid=cut(ground.truth_valid),
    )


def _example(
    crops: Sequence[_Ground], group: _Group, margin: int, form: wald.Form, noise: float, rng: Generator
) -> Example:
    """The batch; `margin` MS pixels of the crops are only looked at."""
    ratio, phase = group.ratio, crops[0].phase
    truth, truth_valid = torch.cat([c.truth for c in crops]), torch.cat([c.truth_valid for c in crops])
    pan, pan_valid = torch.cat([c.pan for c in crops]), torch.cat([c.pan_valid for c in crops])
    gains = [band.mtf_nyquist for band in group.sensor.bands]
    low, low_valid = wald.degrade_truth(truth, truth_valid, gains=gains, ratio=ratio, phase=phase, form=form)
    if noise:
        amount = noise * torch.rand(len(low), 1, 1, 1, generator=rng) ** 2 * low.std((2, 3), keepdim=True)
        low = low + amount * torch.randn(low.shape, generator=rng)
    low = extend(low, low_valid.expand_as(low))
    exp = physical.interpolate(low, ratio, phase, margin=margin)
    ms, ms_valid = (x[..., margin:-margin, margin:-margin] for x in (low, low_valid))
    edge = margin * ratio
    pan, pan_valid, truth, truth_valid = (x[..., edge:-edge, edge:-edge] for x in (pan, pan_valid, truth, truth_valid))
    on_pan = ms_valid.repeat_interleave(ratio, -2).repeat_interleave(ratio, -1)
    pair = Pair(
        pan=pan.contiguous(),
        ms=ms.contiguous(),
        exp=exp,
        valid=pan_valid & truth_valid & on_pan,
        phase=phase,
        sensor=group.sensor,
    )
    return Example(pair, truth.contiguous())
