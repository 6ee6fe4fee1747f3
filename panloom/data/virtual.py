"""Virtual sensors: exact training pairs without end, from any image that serves as the truth.

A draw makes an instrument (bands as a subset or mixes of those of the truth, a PAN that answers positively and not
quite linearly to them, MTF gains, ratio, sub-pixel offsets, noise, bit depth) and a land (a real image, or overlapping
shapes with real spectra and textures), lets the one record the other, and keeps the truth. How sharp PAN is does not
depend on how sharp the truth is: in products they differ, and a network must not rely on it.

Ours throughout; the ranges follow the project's experiments. `docs/training.md` shows a picture.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional

from panloom.data._gaps import grown, on_pan, recorded_cells
from panloom.data._leaves import label_map
from panloom.data.example import Example
from panloom.data.procedural import pan_weights
from panloom.data.truths import Truth
from panloom.errors import OptionError
from panloom.optics import physical
from panloom.optics.continuation import continue_pan, extend
from panloom.pair import Pair
from panloom.types import Band, Sensor, corner_phase

#: MS pixels around an example that are simulated and then cut off, so that its border is like its inside.
MARGIN = 2

#: Side of a label map, and how many there are.
CANVAS, CANVASES = 640, 12

#: Deviation of the logarithm of recorded noise from band to band.
UNEVEN = 0.4

#: MTF gain, at the Nyquist frequency of the truth, through which a finer real PAN is brought to its grid.
_PAN_GAIN = 0.7

#: That of a PAN which is only moved by a part of a pixel.
_SHARP = 0.8


@dataclass(frozen=True)
class Settings:
    """What is drawn, and how often. Shares are probabilities.

    Attributes:
        ratios: ratio, its share, and PAN pixels along a side of an example.
        bands: number of bands and its share.
        batch: examples of one instrument in a draw.
        leaves: share of lands made of shapes.
        shrink: truths are made finer by up to this factor.
        mixed: share of bands that are mixes of the truth's.
        real_pan: share of lands with a real PAN whose PAN it is, at least in part.
        gamma: largest exponent of PAN's response, and inverse of the smallest.
        gain: range of the MTF gains of the bands.
        truth_gain: range of the MTF gain of the truth at its own Nyquist frequency, and its share; half of that where
            the truth was not made finer.
        pan_gain: that of PAN, and the share of examples whose PAN is blurred at all.
        shift: deviation of the offset of PAN, in PAN pixels, and its share.
        haze: deviation of what is added to a band, in means of it.
        ms_noise: largest noise of MS, in deviations of the band, as it is in MS that was made by averaging pixels.
        recorded: range of the noise of MS as instruments record it (Landsat-7: .2 to .4), in deviations of the band,
            and its share.
        pan_noise: that of PAN.
        told: deviation of the MTF gain that the network is told from the true one.
        quantised: share of examples that are rounded to 8 to 12 bits.
        gaps: share of examples with pixels that hold no data. A result counts up to a cell beyond the data of MS.
        sensor: a known instrument to imitate: its ratio, its MTF gains, its bands as the truth's bands of nearest
            wavelengths tell them, PAN as its range covers them. None: a new instrument in every draw.
        odd: largest share of a stranger in a band of the imitation.
        level: mean of the bands of an imitation, in full scales; it varies by a factor of two to each side.
    """

    ratios: tuple[tuple[int, float, int], ...] = (
        (2, 0.25, 96),
        (3, 0.12, 108),
        (4, 0.45, 128),
        (5, 0.04, 140),
        (6, 0.08, 144),
        (7, 0.02, 140),
        (8, 0.04, 160),
    )
    bands: tuple[tuple[int, float], ...] = ((1, 0.03), (2, 0.04), (3, 0.18), (4, 0.4), (6, 0.15), (8, 0.2))
    batch: int = 1
    leaves: float = 0.5
    shrink: float = 2.0
    mixed: float = 0.5
    real_pan: float = 0.6
    gamma: float = 1.3
    gain: tuple[float, float] = (0.18, 0.42)
    truth_gain: tuple[float, float, float] = (0.03, 0.5, 0.7)
    pan_gain: tuple[float, float, float] = (0.03, 0.4, 0.5)
    shift: tuple[float, float] = (0.2, 0.6)
    haze: float = 0.3
    ms_noise: float = 0.02
    recorded: tuple[float, float, float] = (0.03, 0.4, 0.4)
    pan_noise: float = 0.03
    told: float = 0.015
    quantised: float = 0.3
    gaps: float = 0.25
    sensor: Sensor | None = None
    odd: float = 0.2
    level: float = 0.15


class _Dice:
    """Numbers from a generator, one by one."""

    def __init__(self, rng: Generator) -> None:
        self.rng = rng

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.rng))

    def normal(self) -> float:
        return float(torch.randn((), generator=self.rng))

    def below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.rng))

    def happens(self, share: float) -> bool:
        return self.uniform() < share

    def one_of(self, shares: Sequence[float]) -> int:
        return int(torch.multinomial(torch.tensor(shares), 1, generator=self.rng))

    def shares(self, count: int) -> Tensor:
        """Positive weights that sum to 1 and are mostly uneven."""
        draws = torch.empty(count).exponential_(generator=self.rng) ** 1.4 + 1e-6
        return draws / draws.sum()


@dataclass(frozen=True)
class _Instrument:
    """What the examples of a batch share.

    Attributes:
        ratio: PAN pixels per MS pixel.
        side: PAN pixels along a side, margins included.
        gains: true MTF gain of each band.
        phase: of the MS samples.
        sensor: what the network is told.
    """

    ratio: int
    side: int
    gains: list[float]
    phase: tuple[float, float]
    sensor: Sensor


@dataclass(frozen=True)
class _Land:
    """A truth with its PAN, if it has one, on the same grid as last channel."""

    image: Float[Tensor, "n H W"]
    valid: Bool[Tensor, "H W"]
    centres: tuple[float, ...]

    @staticmethod
    def of(truth: Truth) -> _Land:
        centres = tuple(band.centre_nm for band in truth.bands)
        if truth.pan is None:
            return _Land(truth.image, truth.valid, centres)
        low = physical.degrade(truth.pan[None], [_PAN_GAIN], truth.pan_ratio, truth.phase)[0]
        return _Land(torch.cat([truth.image, low]), truth.valid, centres)

    @property
    def bands(self) -> int:
        """How many there are."""
        return len(self.centres)


class VirtualSensors:
    """An endless source of exact examples.

    Args:
        truths: images to look at; each has the same chance.
        settings: what is drawn.

    Raises:
        OptionError: there is no truth.
    """

    def __init__(self, truths: Sequence[Truth], settings: Settings | None = None) -> None:
        if not truths:
            raise OptionError("virtual sensors need at least one image to look at")
        self.settings = settings or Settings()
        self._lands = [_Land.of(truth) for truth in truths]

    def __repr__(self) -> str:
        return f"VirtualSensors({len(self._lands)} truths, {self.settings!r})"

    def __call__(self, rng: Generator) -> Example:
        """A batch recorded by one new instrument."""
        dice = _Dice(rng)
        tool = _instrument(dice, self.settings)
        shots = [_record(dice, self.settings, tool, self._drawn(dice, tool)) for _ in range(self.settings.batch)]
        pan, ms, exp, truth, valid = (torch.stack(parts) for parts in zip(*shots, strict=True))
        return Example(Pair(pan, ms, exp, valid, tool.phase, tool.sensor), truth)

    def _drawn(self, dice: _Dice, tool: _Instrument) -> _Scene:
        """A piece of land as large as the instrument sees it."""
        land = self._lands[dice.below(len(self._lands))]
        leaves = dice.happens(self.settings.leaves)
        finer = dice.uniform(1.2, self.settings.shrink) if leaves or dice.happens(0.65) else 1.0
        side = math.ceil(tool.side * (finer if leaves else max(min(finer, min(land.valid.shape) / tool.side), 1.0)))
        image = _real(dice, land, side)
        if leaves:
            image = _shapes(dice, land, image)
        if side != tool.side:
            mode = ("bilinear", "bicubic")[dice.below(2)]
            image = functional.interpolate(image[None], size=(tool.side, tool.side), mode=mode, antialias=True)[0]
        image = image.clamp_min(1e-4)
        return _Scene(image[: land.bands], image[land.bands :], land.centres, side > tool.side)


def _instrument(dice: _Dice, s: Settings) -> _Instrument:
    if s.sensor is not None:
        return _imitation(dice, s.sensor, s)
    ratio, _, side = s.ratios[dice.one_of([share for _, share, _ in s.ratios])]
    count = s.bands[dice.one_of([share for _, share in s.bands])][0]
    mean = dice.uniform(*s.gain)
    gains = [min(max(mean + 0.02 * dice.normal(), 0.1), 0.5) for _ in range(count)]
    phase = dice.uniform(-0.5, ratio - 0.5), dice.uniform(-0.5, ratio - 0.5)
    wrong = s.told * dice.normal()
    told = [min(max(gain + wrong + s.told / 3 * dice.normal(), 0.08), 0.6) for gain in gains]
    sensor = virtual_sensor(told, ratio)
    return _Instrument(ratio, side + 2 * MARGIN * ratio, gains, phase, sensor)


def _imitation(dice: _Dice, sensor: Sensor, s: Settings) -> _Instrument:
    """A known sensor; its phase lies around that of corner-aligned products and of published pairs (ratio // 2)."""
    side = {ratio: side for ratio, _, side in s.ratios}.get(sensor.ratio, 32 * sensor.ratio)
    low, high = corner_phase(sensor.ratio) - 0.1, sensor.ratio // 2 + 0.1
    phase = dice.uniform(low, high), dice.uniform(low, high)
    gains = [band.mtf_nyquist for band in sensor.bands]
    return _Instrument(sensor.ratio, side + 2 * MARGIN * sensor.ratio, gains, phase, sensor)


def virtual_sensor(gains: Sequence[float], ratio: int) -> Sensor:
    """A sensor of which nothing is known but the MTF gains of its bands and its ratio."""
    bands = tuple(Band(f"band{k}", 0.0, 0.0, gain, placeholder=True) for k, gain in enumerate(gains, start=1))
    return Sensor("virtual", bands, Band("pan", 0.0, 0.0, 0.15, placeholder=True), ratio, 1.0)


def _real(dice: _Dice, land: _Land, side: int) -> Float[Tensor, "n side side"]:
    """A turned crop of a real image; of one that is too small, with its mirror images beside it."""
    part = slice(0), slice(0)
    for _ in range(6):
        row, col = (dice.below(max(n - side, 0) + 1) for n in land.valid.shape)
        part = slice(row, row + side), slice(col, col + side)
        if bool(land.valid[part].all()):
            break
    crop = land.image[(slice(None), *part)]
    while min(crop.shape[-2:]) < side:
        down, right = (max(min(side - n, n - 1), 0) for n in crop.shape[-2:])
        crop = functional.pad(crop, (0, right, 0, down), mode="reflect")
    crop = torch.rot90(crop, dice.below(4), (1, 2))
    return crop.flip(2) if dice.happens(0.5) else crop


@lru_cache(maxsize=CANVASES)
def _canvas(number: int) -> Tensor:
    return torch.from_numpy(label_map(CANVAS, number))


def _shapes(dice: _Dice, land: _Land, real: Float[Tensor, "n side side"]) -> Float[Tensor, "n side side"]:
    """Overlapping shapes with spectra of the land; some are windows through which the real image shows."""
    side = real.shape[-1]
    canvas = _canvas(dice.below(CANVASES))
    row, col = dice.below(CANVAS - side + 1), dice.below(CANVAS - side + 1)
    labels = torch.rot90(canvas[row : row + side, col : col + side], dice.below(4)).long()
    _, labels = labels.unique(return_inverse=True)
    count = int(labels.max()) + 1
    pixels = torch.randint(land.valid.numel(), (count,), generator=dice.rng)
    spectra = land.image.flatten(1)[:, pixels]
    spectra = spectra * torch.exp(0.18 * torch.randn(count, generator=dice.rng))
    light = real[: land.bands].mean(0)
    texture = (light / light.mean().clamp_min(1e-6)).clamp(0.3, 3) ** dice.uniform(0, 0.8)
    painted = spectra[:, labels] * texture
    windows = torch.rand(count, generator=dice.rng) < dice.uniform(0, 0.6)
    return torch.where(windows[labels], real, painted)


@dataclass(frozen=True)
class _Scene:
    """Land on the grid of the truth: bands, a real PAN (or no channel), centres in nm, whether it was made finer."""

    bands: Float[Tensor, "C side side"]
    pan: Float[Tensor, "p side side"]
    centres: tuple[float, ...]
    finer: bool


def _mixed(dice: _Dice, s: Settings, scene: _Scene, count: int) -> Float[Tensor, "count side side"]:
    """The bands of the instrument: some of the land's, in any order, or a main one with a share of others."""
    if s.sensor is not None:
        return _imitated(dice, s, s.sensor, scene)
    have = len(scene.bands)
    order = torch.randperm(have, generator=dice.rng).tolist() * -(-count // have)
    rows: list[Tensor] = []
    for k, main in enumerate(order[:count]):
        row = torch.zeros(have)
        row[main] = 1.0
        if k >= have or dice.happens(s.mixed):
            share = dice.uniform(0, 0.6)
            row = (1 - share) * row + share * dice.shares(have)
        rows.append(row)
    return torch.einsum("kc,chw->khw", torch.stack(rows), scene.bands)


def _imitated(dice: _Dice, s: Settings, sensor: Sensor, scene: _Scene) -> Float[Tensor, "C side side"]:
    """Bands at the wavelengths of a sensor, between the nearest of the land's, each with a share of a stranger."""
    order = sorted(range(len(scene.centres)), key=scene.centres.__getitem__)
    known = [scene.centres[k] for k in order]
    rows: list[Tensor] = []
    for band in sensor.bands:
        above = min(max(bisect(known, band.centre_nm), 1), len(known) - 1) if len(known) > 1 else 0
        below = max(above - 1, 0)
        way = (band.centre_nm - known[below]) / max(known[above] - known[below], 1.0)
        row, share = torch.zeros(len(known)), dice.uniform(0, s.odd)
        row[order[below]] = 1 - min(max(way, 0.0), 1.0)
        row[order[above]] += min(max(way, 0.0), 1.0)
        rows.append((1 - share) * row + share * dice.shares(len(known)))
    bands = torch.einsum("kc,chw->khw", torch.stack(rows), scene.bands)
    return bands * (s.level * 2 ** dice.uniform(-1, 1) / bands.mean().clamp_min(1e-6))


def _panchromatic(dice: _Dice, s: Settings, scene: _Scene, bands: Tensor) -> Float[Tensor, "1 side side"]:
    """The real PAN, a positive mix of the instrument's bands, or something between; with a bent response."""
    weights = dice.shares(len(bands))
    if s.sensor is not None:
        weights = torch.tensor(pan_weights(s.sensor)) + s.odd / 4 * weights
    mix = torch.einsum("c,chw->hw", weights / weights.sum(), bands)[None]
    if s.sensor is None and len(scene.pan) and dice.happens(s.real_pan):
        real = scene.pan * (mix.mean() / scene.pan.mean().clamp_min(1e-6))
        share = dice.uniform(0, 0.8) if dice.happens(0.4) else 0.0
        mix = (1 - share) * real + share * mix
    level = mix.mean().clamp_min(1e-6)
    exponent = math.exp(dice.uniform(-1, 1) * math.log(s.gamma))
    return level * (mix / level) ** exponent


def _record(
    dice: _Dice, s: Settings, tool: _Instrument, scene: _Scene
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What the instrument makes of the land: PAN, MS, EXP, the truth and what is valid, without the margins."""
    bands = _mixed(dice, s, scene, len(tool.gains))
    pan = _panchromatic(dice, s, scene, bands)
    softest, sharpest, share = s.truth_gain
    if dice.happens(share if scene.finer else share / 2):
        bands = physical.degrade(bands[None], [dice.uniform(softest, sharpest)], 1, (0.0, 0.0))[0]
    softest, sharpest, share = s.pan_gain
    offset, gain = _offset(dice, s), dice.uniform(softest, sharpest) if dice.happens(share) else _SHARP
    if offset != (0.0, 0.0) or gain < _SHARP:
        pan = physical.degrade(pan[None], [gain], 1, offset)[0]
    level = bands.mean((1, 2), keepdim=True)
    haze = torch.randn(level.shape, generator=dice.rng).clamp_min(0) * s.haze * level
    truth = bands + haze
    pan = pan + float(haze.mean())
    ms = physical.degrade(truth[None], tool.gains, tool.ratio, tool.phase)[0]
    ms, pan = _noisy(dice, ms, s.ms_noise), _noisy(dice, pan, s.pan_noise)
    ms = _as_recorded(dice, ms, s.recorded)
    if dice.happens(s.quantised):
        step = 2.0 ** -(8 + dice.below(5)) * float(truth.max())
        ms, pan = (torch.round(x / step) * step for x in (ms, pan))
    valid = torch.ones_like(pan, dtype=torch.bool)
    if dice.happens(s.gaps):
        pan, ms, valid = _gappy(dice, tool.ratio, pan, ms)
    exp = physical.interpolate(ms[None], tool.ratio, tool.phase)[0]
    edge = MARGIN * tool.ratio
    inner = (..., slice(edge, -edge), slice(edge, -edge))
    return pan[inner], ms[..., MARGIN:-MARGIN, MARGIN:-MARGIN], exp[inner], truth[inner], valid[inner]


def _gappy(dice: _Dice, ratio: int, pan: Tensor, ms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """PAN and MS with no data in some places, continued there as scenes do, and PAN pixels whose result counts."""
    cells = recorded_cells(ms.shape[-1], dice.rng)
    known = on_pan(grown(cells, dice.below(3)), ratio)
    pan = continue_pan(pan[None], known, ratio)[0]
    ms = extend(ms[None], cells.expand(1, *ms.shape))[0]
    return pan, ms, (known & on_pan(grown(cells, 1), ratio))[0]


def _offset(dice: _Dice, s: Settings) -> tuple[float, float]:
    """Where PAN looks, in its pixels: mostly near its place, now and then far from it."""
    deviation, share = s.shift
    if not dice.happens(share):
        return 0.0, 0.0
    wide = 4 * deviation if dice.happens(0.15) else deviation
    row, col = (max(min(wide * dice.normal(), 2.0), -2.0) for _ in range(2))
    return row, col


def _noisy(dice: _Dice, image: Float[Tensor, "c h w"], most: float) -> Float[Tensor, "c h w"]:
    """With noise of up to `most` deviations of each band; little is as frequent as much is rare."""
    noise = torch.randn(image.shape, generator=dice.rng)
    return image + most * dice.uniform() ** 2 * image.std((1, 2), keepdim=True) * noise


def _as_recorded(dice: _Dice, ms: Float[Tensor, "c h w"], drawn: tuple[float, float, float]) -> Float[Tensor, "c h w"]:
    """With the noise of an instrument, now and then; more in some bands than in others."""
    least, most, share = drawn
    if not (share and dice.happens(share)):
        return ms
    level = dice.uniform(least, most) * torch.exp(UNEVEN * torch.randn(len(ms), 1, 1, generator=dice.rng))
    return ms + level * ms.std((1, 2), keepdim=True) * torch.randn(ms.shape, generator=dice.rng)
