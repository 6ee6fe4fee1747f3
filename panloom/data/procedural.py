"""Procedural scenes with known truth: farmland that any sensor of the registry looks at.

The truth is drawn as reflectance on the PAN grid (fields, woods, a river, roads, houses, trees and their
shadows), then seen through a model of the instrument that is stated in full in `make`. No file and no image
of a real place goes in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from panloom import sensors
from panloom.data._canvas import Canvas, Floats
from panloom.data._landscape import draw
from panloom.data._spectra import haze, materials, skylight
from panloom.errors import OptionError
from panloom.types import Band, Sensor, corner_phase

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: Full scale where the sensor's file gives none.
DEFAULT_FULL_SCALE = 2047

#: DN per unit of reflectance, in full scales: bright roofs come near the top, as in real scenes.
_GAIN = 1.15
_PIXEL_M = 0.5


@dataclass(frozen=True)
class ProceduralScene:
    """A PAN and MS pair and what they are images of, all in DN.

    Attributes:
        pan: (H, W).
        ms: (C, h, w); h = ceil(H / ratio), so the last sample may lie beyond PAN.
        truth: (C, H, W) float32: the bands on the PAN grid, before any blur, noise or rounding; complete
            also where the images have no data.
        pan_valid: (H, W), False in the wedge.
        ms_valid: (h, w), False in the wedge.
        sensor: its `bands` are those of `ms`, its `full_scale` and `ratio` those of the scene.
        phase: (row, col): MS sample i is centred on PAN index ratio * i + phase, says the georeference.
        misregistration: (row, col), PAN pixels: where MS really looked, beyond what `phase` says.
        pan_weights: PAN is this mix of the truth bands.
        nodata: the number in pixels that are not valid; None without a wedge.
    """

    pan: Pixels
    ms: Pixels
    truth: Floats
    pan_valid: Mask
    ms_valid: Mask
    sensor: Sensor
    phase: tuple[float, float]
    misregistration: tuple[float, float]
    pan_weights: tuple[float, ...]
    nodata: int | None

    @property
    def ratio(self) -> int:
        """PAN pixels per MS pixel."""
        return self.sensor.ratio


@dataclass(frozen=True)
class Georeference:
    """Where the pixels lie: affine (a, b, c, d, e, f) from (col, row) corners to coordinates of `crs`."""

    crs: str
    pan: tuple[float, float, float, float, float, float]
    ms: tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Recording:
    """How the pair is recorded, where it shall differ from a plain scene of the sensor.

    Attributes:
        ratio: instead of the sensor's.
        misregistration: (row, col), PAN pixels, up to 8: MS looks that much further down and right than its
            georeference says.
        noise: standard deviation in MS in units of full scale; twice that in PAN.
        dtype: of `pan` and `ms`.
    """

    ratio: int | None = None
    misregistration: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.001
    dtype: Literal["uint8", "uint16", "float32"] = "uint16"


@dataclass(frozen=True)
class _View:
    """All that is known before anything is drawn."""

    shape: tuple[int, int]
    sensor: Sensor
    full_scale: float
    phase: tuple[float, float]
    recording: Recording
    wedge: bool
    seed: int

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of MS."""
        return math.ceil(self.shape[0] / self.sensor.ratio), math.ceil(self.shape[1] / self.sensor.ratio)

    @property
    def margin(self) -> int:
        """PAN pixels that are drawn beyond each border, for the blur of the outermost samples."""
        ratio = self.sensor.ratio
        widest = max(_sigma(band.mtf_nyquist, ratio) for band in self.sensor.bands)
        widest = max(widest, _sigma(self.sensor.pan.mtf_nyquist, 1))
        return math.ceil(4 * widest) + 3 + ratio + math.ceil(max(map(abs, self.recording.misregistration)))


def make(
    height: int,
    width: int,
    *,
    sensor: str | Sensor = "worldview-3",
    bands: int | Sequence[str] | None = None,
    phase: tuple[float, float] | None = None,
    wedge: bool = True,
    seed: int = 0,
    recording: Recording | None = None,
) -> ProceduralScene:
    """A scene of `height` x `width` PAN pixels.

    The model of the instrument, band by band on the truth x in DN:

    - MS = x through a Gaussian with the band's gain at the MS Nyquist frequency (DC gain 1), sampled at the
      real position ratio * i + phase + misregistration, plus normal noise;
    - PAN = the mix of the bands that its range covers, through a Gaussian with the PAN gain at its own
      Nyquist frequency, plus normal noise;
    - both rounded and kept in 1 .. full scale (not so in "float32"), then 0 in the wedge.

    The land goes on beyond the border, so no sample has an edge in its blur.

    Args:
        height: PAN rows; any number, not only multiples of the ratio.
        width: PAN columns.
        sensor: registry name, or a sensor of your own. Full scale 2047 where it has none; 255 in uint8.
        bands: how many (a usual product of the sensor), or which by name; None: those that PAN can sharpen.
        phase: (row, col) in [-0.5, ratio - 0.5); None: corner-aligned grids plus a quarter of a PAN pixel.
        wedge: cut a corner off along a slanted line, as at the edge of a strip.
        seed: same seed, same scene.
        recording: ratio, misregistration, noise and dtype; None: as the sensor, none, little and uint16.

    Raises:
        OptionError: a number is out of its range, or the bands are not of the sensor or not seen by PAN.
        SensorError: unknown sensor.
    """
    if height < 1 or width < 1:
        raise OptionError(f"a scene of {height} x {width} pixels cannot be made; both must be 1 or more")
    recording = recording or Recording()
    known = sensors.get(sensor) if isinstance(sensor, str) else sensor
    full_scale = 255 if recording.dtype == "uint8" else known.full_scale or DEFAULT_FULL_SCALE
    ratio = known.ratio if recording.ratio is None else recording.ratio
    chosen = replace(known, bands=_bands(known, bands), ratio=ratio, full_scale=full_scale)
    aligned = corner_phase(ratio) + 0.25
    view = _View((height, width), chosen, full_scale, phase or (aligned, aligned), recording, wedge, seed)
    _check(view)
    return _observed(view)


def georeference(scene: ProceduralScene) -> Georeference:
    """North-up transforms in EPSG:32632 with PAN pixels of 0.5 m; MS pixel (0, 0) is centred on `phase`."""
    east, north, coarse = 500_000.0, 5_000_000.0, _PIXEL_M * scene.ratio
    row, col = (_PIXEL_M * (place + 0.5 - scene.ratio / 2) for place in scene.phase)
    return Georeference(
        "EPSG:32632",
        (_PIXEL_M, 0.0, east, 0.0, -_PIXEL_M, north),
        (coarse, 0.0, east + col, 0.0, -coarse, north - row),
    )


def _bands(sensor: Sensor, wish: int | Sequence[str] | None) -> tuple[Band, ...]:
    """The bands asked for.

    Raises:
        OptionError: the sensor has them not, or they are heat.
    """
    if wish is None:
        found = tuple(band for band in sensor.bands if band.role == "sharpen")
    elif isinstance(wish, int):
        found = sensors.bands_for(sensor, wish) or ()
    else:
        named = {band.name: band for band in sensor.bands}
        found = tuple(named[name] for name in wish if name in named) if set(wish) <= named.keys() else ()
    if not found or any(band.role == "thermal" for band in found):
        usual = ", ".join(band.name for band in sensor.bands if band.role != "thermal")
        raise OptionError(f"{sensor.name} has no reflective bands {wish!r}; give a usual number or some of: {usual}")
    return found


def _check(view: _View) -> None:
    """Refuse what the model does not hold for."""
    ratio, recording = view.sensor.ratio, view.recording
    if ratio < 1:
        raise OptionError(f"ratio {ratio} must be 1 or more")
    if any(not -0.5 <= place < ratio - 0.5 for place in view.phase):
        raise OptionError(f"phase {view.phase} must lie in [-0.5, {ratio - 0.5}) for ratio {ratio}")
    if any(abs(way) > 8 for way in recording.misregistration):
        raise OptionError(f"misregistration {recording.misregistration} must lie within 8 PAN pixels")
    if recording.noise < 0:
        raise OptionError(f"noise {recording.noise} must not be negative")


def pan_weights(sensor: Sensor) -> tuple[float, ...]:
    """The share of each band in PAN: how much of the PAN range lies nearest to it; they sum to 1.

    Raises:
        OptionError: PAN covers none of the bands.
    """
    centres = np.array([band.centre_nm for band in sensor.bands])
    low, high = (sensor.pan.centre_nm + side * sensor.pan.fwhm_nm / 2 for side in (-1, 1))
    reach = np.array([(sensor.pan.fwhm_nm + band.fwhm_nm) / 2 for band in sensor.bands])
    near = np.abs(centres - sensor.pan.centre_nm) < reach
    if not near.any():
        raise OptionError(f"PAN of {sensor.name} sees {low:g} to {high:g} nm and none of the bands chosen")
    samples = np.linspace(low, high, 1001)
    far = np.abs(samples[:, None] - centres)
    far[:, ~near] = np.inf
    share = np.bincount(far.argmin(1), minlength=len(centres)) / len(samples)
    return tuple(share.tolist())


def _sigma(gain: float, ratio: int) -> float:
    """Standard deviation, in PAN pixels, of the Gaussian with `gain` at the Nyquist frequency of `ratio`."""
    return ratio / math.pi * math.sqrt(-2 * math.log(gain))


def _sampled(image: Floats, sigma: float, first: float, step: int, count: int) -> Floats:
    """The Gaussian-blurred rows of `image` at first, first + step, ...: (H, W) -> (count, W)."""
    base, radius = math.floor(first), math.ceil(4 * sigma) + 1
    places = np.arange(base - radius, base + radius + 2)
    weights = np.exp(-((places - first) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    total = np.zeros((count, image.shape[1]), np.float32)
    for place, weight in zip(places, weights, strict=True):
        total += np.float32(weight) * image[place : place + step * (count - 1) + 1 : step]
    return total


def _seen(image: Floats, gain: float, first: Sequence[float], step: int, shape: tuple[int, int]) -> Floats:
    """Blur and sampling along both axes; `first` counts from the corner of `image`."""
    sigma = _sigma(gain, step)
    rows = _sampled(image, sigma, first[0], step, shape[0])
    return _sampled(np.ascontiguousarray(rows.T), sigma, first[1], step, shape[1]).T


def _drawn(view: _View) -> Floats:
    """The land in DN, without noise: (C, H + 2 margin, W + 2 margin) float32."""
    bands, margin = view.sensor.bands, view.margin
    # Small scenes show the same things at a smaller scale, so that a test scene has them all.
    unit = min(max(min(view.shape) / 512, 0.25), 1.0)
    extended = view.shape[0] + 2 * margin, view.shape[1] + 2 * margin
    canvas = Canvas(extended, (-margin, -margin), materials(bands), unit)
    draw(canvas, view.seed)
    for band, sky, air in zip(canvas.reflectance, skylight(bands), haze(bands), strict=True):
        band *= 1 - canvas.shadow * (1 - sky)
        band += air
        band *= np.float32(_GAIN * view.full_scale)
        np.clip(band, 1, view.full_scale, out=band)
    return canvas.reflectance


def _observed(view: _View) -> ProceduralScene:
    """Draw the land and look at it."""
    land, margin, sensor = _drawn(view), view.margin, view.sensor
    weights = pan_weights(sensor)
    mixed = np.zeros_like(land[0])
    for weight, band in zip(weights, land, strict=True):
        mixed += np.float32(weight) * band
    pan = _seen(mixed, sensor.pan.mtf_nyquist, (margin, margin), 1, view.shape)
    row, col = (margin + p + m for p, m in zip(view.phase, view.recording.misregistration, strict=True))
    ms = np.stack(
        [
            _seen(band, facts.mtf_nyquist, (row, col), sensor.ratio, view.cells)
            for band, facts in zip(land, sensor.bands, strict=True)
        ]
    )
    pan_valid, ms_valid = _masks(view)
    rng = np.random.default_rng((view.seed, 100))
    return ProceduralScene(
        pan=_recorded(pan, 2 * view.recording.noise, pan_valid, view, rng),
        ms=_recorded(ms, view.recording.noise, ms_valid, view, rng),
        truth=land[:, margin : margin + view.shape[0], margin : margin + view.shape[1]].copy(),
        pan_valid=pan_valid,
        ms_valid=ms_valid,
        sensor=sensor,
        phase=view.phase,
        misregistration=view.recording.misregistration,
        pan_weights=weights,
        nodata=0 if view.wedge else None,
    )


def _masks(view: _View) -> tuple[Mask, Mask]:
    """Pixels on the right side of one slanted line on the ground, for PAN and for MS."""
    if not view.wedge:
        return np.ones(view.shape, bool), np.ones(view.cells, bool)
    rng = np.random.default_rng((view.seed, 101))
    slope, start = rng.uniform(0.15, 0.45), rng.uniform(0.06, 0.14)

    def right(rows: npt.NDArray, cols: npt.NDArray) -> Mask:
        border = (start + slope * (1 - rows / view.shape[0])) * view.shape[1]
        return cols[None, :] > border[:, None]

    ms_axes = (place + view.sensor.ratio * np.arange(n) for n, place in zip(view.cells, view.phase, strict=True))
    return right(*(np.arange(n) for n in view.shape)), right(*ms_axes)


def _recorded(image: Floats, noise: float, valid: Mask, view: _View, rng: np.random.Generator) -> Pixels:
    """Noise, rounding and range, then no-data."""
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    noisy = image + np.float32(noise * view.full_scale) * grain
    if view.recording.dtype != "float32":
        noisy = np.clip(np.rint(noisy), 1, view.full_scale)
    return np.where(valid, noisy, 0).astype(view.recording.dtype)
