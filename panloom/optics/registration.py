"""How far MS really lies from where the georeference puts it, to a few hundredths of an MS pixel.

The multispectral image is PAN's scene seen through softer optics, so the true position of its samples is the
one at which Gaussian-low-passed PAN is best explained by a linear mix of the bands. `measure_shift` maximises
that R2:

1. exhaustively over whole MS pixels. With the bands made orthonormal, R2 is a sum of squared correlations,
   and Fourier transforms give it for all shifts at once, with the best weights at each and no first guess;
2. then by Gauss-Newton over the real-valued sampling position. PAN is sampled anew at full resolution in each
   step: a PAN that was already decimated is aliased, and its sub-pixel position is partly lost.

Both images are high-passed first: land cover changes the mix over long distances, edges carry the position.

Sources: the observation model is that of `panloom.optics.physical`; projecting the linear weights out of a
least-squares problem is variable projection (Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973). The
combination is panloom's own.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from panloom import sensors
from panloom.compute import together
from panloom.errors import OptionError
from panloom.optics.physical import mtf_radius, mtf_sigma, replicate
from panloom.pair import Pair

#: Windows (and results) below this confidence say nothing about the position.
MIN_CONFIDENCE = 0.3

#: Mean MTF gain at MS Nyquist of a sensor that nobody measured.
GENERIC_GAIN = sensors.get("generic").bands[0].mtf_nyquist

#: Standard deviation, in MS pixels, of the Gaussian whose local mean is taken away from both images.
_HIGH_PASS = 3.0

#: MS pixels around no-data that its filling may have touched through the low-pass.
_GUARD = 2

#: Standard deviation, relative to the largest value, that rounding can give to a constant image.
_ROUNDING = 1e-5

#: Fewer usable MS pixels than this are not measured.
_MIN_PIXELS = 200

#: Principal components of MS that are kept; more add cost and noise, not position.
_MAX_BANDS = 8

#: Least squares takes residuals as white; the errors that real pairs show are larger by about this factor.
_ERROR_FACTOR = 3.0

#: Standard error, in MS pixels, that halves the confidence.
_COARSE_ERROR = 0.1

#: Gauss-Newton steps at most; three or four are usual.
_STEPS = 8

#: A position whose R2 is no more than this above the second-best one is not refined: it will not come to be believed.
_HOPELESS = 0.05


@dataclass(frozen=True, slots=True)
class Shift:
    """True position of the MS samples minus the position that the files say, in MS pixels.

    Positive = the MS samples lie further down (`row`) or to the right (`col`): the true phase is
    phase + ratio * shift.

    Attributes:
        row: along the rows.
        col: along the columns.
        confidence: 0 (says nothing) to 1; below `MIN_CONFIDENCE` row and col must not be used.
        windows: how many windows agreed on it; 0 where nothing could be measured.
        spread: MS pixels; of one window its estimated standard error, of several the robust standard
            deviation of the windows along the worse axis: a large one says that no constant shift fits.
    """

    row: float
    col: float
    confidence: float
    windows: int
    spread: float

    @property
    def distance(self) -> float:
        """Length of the shift in MS pixels."""
        return math.hypot(self.row, self.col)


#: The answer where nothing could be measured.
NOTHING = Shift(0.0, 0.0, 0.0, 0, 0.0)


def measure_shift(
    pan: Float[Tensor, "H W"],
    ms: Float[Tensor, "C h w"],
    phase: tuple[float, float],
    valid: Bool[Tensor, "h w"] | None = None,
    gain: float = GENERIC_GAIN,
    max_shift: int = 8,
) -> Shift:
    """Measure the shift of one window.

    Args:
        pan: PAN at full resolution, H = ratio * h, any units; smooth continuation under no-data (as `Pair`).
        ms: bands in or near PAN's range (no cirrus, no thermal), any units; continued likewise.
        phase: (row, col) in PAN pixels, as the files say: MS sample i lies on PAN index ratio * i + phase.
        valid: MS pixels that can be used; None: all.
        gain: mean MTF gain of the bands at MS Nyquist; a wrong one costs confidence, not accuracy.
        max_shift: whole MS pixels that are searched in each direction; at most an eighth of the smaller side.

    Returns:
        One window's `Shift`. Its confidence is R2 (of detail) less that of the second-best position, lowered
        where the standard error is large: near 0 where the window is constant, noise or repetitive, has edges
        in one direction only, or is shifted further than the search.

    Raises:
        OptionError: the sizes do not nest, or the gain is not in (0, 1).
    """
    ratio = _ratio(pan, ms, gain)
    h, w = ms.shape[-2:]
    reach = min(max_shift, min(h, w) // 8)
    if reach < 1:
        return NOTHING
    clear = _shrink(torch.ones_like(ms[0], dtype=torch.bool) if valid is None else valid, _GUARD)
    usable = clear & _interior(h, w, reach + _GUARD, ms.device)
    sampler = _Sampler.of(pan, (h, w), ratio, phase, gain, reach + 2)
    bands = _high_pass(ms.double())
    floor = _ROUNDING * ms.abs().amax((1, 2))
    basis = _orthonormal(bands, usable, floor)
    if basis is None:
        return NOTHING
    start = _search(sampler.at(0.0, 0.0)[0], basis, usable, reach, _ROUNDING * float(pan.abs().max()))
    if start is None:
        return NOTHING
    row, col, second = start
    moved = torch.roll(clear, (-round(row), -round(col)), (0, 1))  # the PAN that these pixels really show
    basis = basis if bool((moved | ~usable).all()) else _orthonormal(bands, usable & moved, floor)
    return NOTHING if basis is None else _refine(sampler, basis, (row, col), second)


def combine(shifts: Iterable[Shift]) -> Shift:
    """One shift from those of several windows: the median of those that are confident, without outliers.

    Returns:
        `windows` counts the inliers; `confidence` is their median confidence times the share of the confident
        windows that agree; `NOTHING` where no window is confident.
    """
    sure = [s for s in shifts if s.confidence >= MIN_CONFIDENCE]
    if len(sure) < 2:
        return sure[0] if sure else NOTHING
    row, col, spread = _centre(sure)
    # Terrain and uneven optics move windows by up to .2; a tiny spread must not reject them.
    near = [s for s in sure if math.hypot(s.row - row, s.col - col) <= max(3.0 * spread, 0.2)]
    if not near:
        return NOTHING
    row, col, spread = _centre(near)
    confidence = statistics.median(s.confidence for s in near) * len(near) / len(sure)
    return Shift(row, col, confidence, sum(s.windows for s in near), spread)


def measure(pairs: Iterable[Pair], max_shift: int = 8) -> Shift:
    """The shift of a scene from several windows of it, each a `Pair` (every item of a batch is one window).

    Windows of 128 x 128 MS pixels are a good size; five to nine of them are enough. Pairs without a sensor
    are measured with the generic gain.
    """
    # Of a pair no more is kept than is looked at.
    return combine(together(lambda one: one(), [window for pair in pairs for window in _windows(pair, max_shift)]))


def _windows(pair: Pair, max_shift: int) -> list[Callable[[], Shift]]:
    """The measurement of every item of a batch."""
    gains = [band.mtf_nyquist for band in pair.sensor.bands] if pair.sensor else [GENERIC_GAIN]
    valid, gain = _cells(pair.valid[:, 0], pair.ratio), statistics.fmean(gains)
    items = zip(pair.pan.mean(1), pair.ms, valid, strict=True)
    return [partial(measure_shift, pan, ms, pair.phase, mask, gain, max_shift) for pan, ms, mask in items]


def _ratio(pan: Tensor, ms: Tensor, gain: float) -> int:
    """PAN pixels per MS pixel, once the arguments are seen to fit."""
    h, w = ms.shape[-2:]
    ratio = pan.shape[0] // max(h, 1)
    if tuple(pan.shape) != (ratio * h, ratio * w) or ratio < 1:
        raise OptionError(f"PAN of {tuple(pan.shape)} is no whole multiple of MS of {(h, w)}; crop both to one area")
    if not 0 < gain < 1:
        raise OptionError(f"MTF gain {gain} must lie between 0 and 1; .30 fits an unknown sensor")
    return ratio


def _cells(valid: Bool[Tensor, "b H W"], ratio: int) -> Bool[Tensor, "b h w"]:
    """MS pixels whose PAN pixels are all valid."""
    b, H, W = valid.shape
    return valid.view(b, H // ratio, ratio, W // ratio, ratio).all(4).all(2)


def _shrink(mask: Bool[Tensor, "h w"], by: int) -> Bool[Tensor, "h w"]:
    """`mask` without the pixels that have a False within `by`."""
    return functional.max_pool2d((~mask).float()[None], 2 * by + 1, 1, by)[0] == 0


def _interior(h: int, w: int, margin: int, device: torch.device) -> Bool[Tensor, "h w"]:
    """False within `margin` of the border."""
    mask = torch.zeros(h, w, dtype=torch.bool, device=device)
    mask[margin : h - margin, margin : w - margin] = True
    return mask


def _high_pass(x: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
    """`x` minus its Gaussian local mean, borders by weights that stay inside."""
    rows, cols = (_local_mean(n, x) for n in x.shape[-2:])
    return x - rows @ x @ cols.T


def _local_mean(n: int, like: Tensor) -> Float[Tensor, "n n"]:
    """The matrix that takes the local mean along an axis of `n` pixels."""
    i = torch.arange(n, dtype=like.dtype, device=like.device)
    weights = torch.exp(-((i[:, None] - i) ** 2) / (2 * _HIGH_PASS**2))
    return weights / weights.sum(1, keepdim=True)


def _orthonormal(
    x: Float[Tensor, "C h w"], mask: Bool[Tensor, "h w"], floor: Float[Tensor, " C"]
) -> Float[Tensor, "k h w"] | None:
    """Orthonormal images of mean 0 over `mask`, zero outside, that span the bands; None without content."""
    pixels = x[:, mask]
    if pixels.shape[1] < _MIN_PIXELS:
        return None
    pixels = pixels - pixels.mean(1, keepdim=True)
    norm = pixels.norm(dim=1)
    full = norm > floor * math.sqrt(pixels.shape[1])
    if not full.any():
        return None
    pixels = pixels[full] / norm[full, None]  # bands of equal weight, whatever their units
    values, vectors = torch.linalg.eigh(pixels @ pixels.T)
    keep = values > 1e-6 * values[-1]
    vectors = (vectors[:, keep] / values[keep].sqrt())[:, -_MAX_BANDS:]
    out = x.new_zeros(vectors.shape[1], *mask.shape)
    out[:, mask] = vectors.T @ pixels
    return out


@dataclass(frozen=True)
class _Sampler:
    """PAN through the MS optics at any position, high-passed, with its derivatives."""

    pan: Tensor  # of mean 0, padded by `pad` replicated pixels; float32, for speed: its rounding moves nothing
    pad: int
    size: tuple[int, int]
    ratio: int
    phase: tuple[float, float]
    sigma: float
    radius: int

    @staticmethod
    def of(
        pan: Tensor, size: tuple[int, int], ratio: int, phase: tuple[float, float], gain: float, reach: int
    ) -> _Sampler:
        """A sampler for shifts of up to `reach` MS pixels."""
        radius = mtf_radius(gain, ratio)
        pad = radius + 1 + ratio * (reach + 1) + math.ceil(max(map(abs, phase)))
        x = pan.double()
        x = replicate((x - x.mean()).float()[None, None], pad, pad, pad, pad)
        return _Sampler(x, pad, size, ratio, phase, mtf_sigma(gain, ratio), radius)

    def at(self, row: float, col: float) -> Float[Tensor, "3 h w"]:
        """PAN at the MS positions moved by (row, col) MS pixels, and its derivatives by row and by col."""
        (top, g_row), (left, g_col) = self._kernel(0, row), self._kernel(1, col)
        taps, (h, w) = 2 * self.radius, self.size
        x = self.pan[..., top : top + self.ratio * (h - 1) + taps, left : left + self.ratio * (w - 1) + taps]
        x = functional.conv2d(x, g_row[:, None, :, None], stride=(self.ratio, 1))
        value, slope = g_col
        zero = torch.zeros_like(value)
        weights = torch.stack([torch.stack(k) for k in ((value, zero), (zero, value), (slope, zero))])
        return _high_pass(functional.conv2d(x, weights[:, :, None], stride=(1, self.ratio))[0].double())

    def _kernel(self, axis: int, shift: float) -> tuple[int, Float[Tensor, "2 taps"]]:
        """First index in the padded image, and the taps of the value and of its derivative by the shift."""
        centre = self.phase[axis] + self.ratio * shift
        base = math.floor(centre)
        k = torch.arange(1 - self.radius, self.radius + 1, dtype=torch.float64, device=self.pan.device)
        d = k - (centre - base)
        weights = torch.softmax(-(d**2) / (2 * self.sigma**2), 0)
        slope = weights * d * (self.ratio / self.sigma**2)
        return base + self.pad + 1 - self.radius, torch.stack([weights, slope - weights * slope.sum()]).to(self.pan)


def _search(
    pan: Float[Tensor, "h w"],
    basis: Float[Tensor, "k h w"],
    mask: Bool[Tensor, "h w"],
    reach: int,
    floor: float,
) -> tuple[float, float, float] | None:
    """R2 at all whole shifts: row and column of its maximum, and the height of the second-highest one."""
    n = int(mask.sum())
    spectra = torch.fft.rfft2(torch.stack([pan, pan * pan]))
    weights = torch.fft.rfft2(torch.cat([basis, mask[None].to(basis)])).conj()

    def correlate(a: Tensor, b: Tensor) -> Tensor:
        out = torch.fft.irfft2(a * b, s=pan.shape)
        return torch.roll(out, (reach, reach), (-2, -1))[..., : 2 * reach + 1, : 2 * reach + 1]

    variance = correlate(spectra[1], weights[-1]) - correlate(spectra[0], weights[-1]) ** 2 / n
    least = n * floor**2
    r2 = (correlate(spectra[0], weights[:-1]) ** 2).sum(0) / variance.clamp_min(max(least, 1e-300))
    r2 = torch.where(variance > least, r2, torch.zeros_like(r2)).clamp(0.0, 1.0)
    row, col, _ = _peak(r2)
    if not (1 <= round(row) < 2 * reach and 1 <= round(col) < 2 * reach):
        return None  # the true maximum lies outside
    return row - reach, col - reach, _second(r2)


def _second(r2: Float[Tensor, "m n"]) -> float:
    """The second-highest local maximum; the flanks of the highest one do not count."""
    peaks = r2 == functional.max_pool2d(r2[None], 3, 1, 1)[0]
    row, col = divmod(int(r2.argmax()), r2.shape[1])
    peaks[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2] = False
    if not peaks.any():
        return 0.0
    return _peak(r2, torch.where(peaks, r2, -torch.ones_like(r2)))[2]


def _peak(r2: Float[Tensor, "m n"], key: Float[Tensor, "m n"] | None = None) -> tuple[float, float, float]:
    """Row, column and height of the parabola through the highest point (of `key`) and its neighbours."""
    row, col = divmod(int((r2 if key is None else key).argmax()), r2.shape[1])
    height, offsets = float(r2[row, col]), [0.0, 0.0]
    for axis, (line, at) in enumerate(((r2[:, col], row), (r2[row], col))):
        if 0 < at < len(line) - 1:
            offsets[axis], rise = _vertex(line[at - 1 : at + 2])
            height += rise
    return row + offsets[0], col + offsets[1], min(height, 1.0)


def _vertex(y: Float[Tensor, " 3"]) -> tuple[float, float]:
    """Offset, in [-.5, .5], and rise of the parabola's vertex over the middle, highest, of three points."""
    left, mid, right = y.tolist()
    curvature = 2.0 * mid - left - right
    if curvature <= 0:
        return 0.0, 0.0
    return 0.5 * (right - left) / curvature, 0.125 * (right - left) ** 2 / curvature


def _refine(sampler: _Sampler, basis: Float[Tensor, "k h w"], start: tuple[float, float], second: float) -> Shift:
    """Gauss-Newton over the position; the band weights are projected out."""
    inside = basis.abs().sum(0) > 0
    flat, position = basis[:, inside], start
    explained = noise = error = 0.0
    for _ in range(_STEPS):
        x = sampler.at(*position)[:, inside]
        x = x - x.mean(1, keepdim=True)
        rest = x - (x @ flat.T) @ flat  # what the bands do not explain of PAN and of its derivatives
        products = (rest @ rest.T).cpu()
        if not torch.linalg.cond(products[1:, 1:]) < 1e8:
            return NOTHING  # edges in one direction only
        inverse = torch.linalg.inv(products[1:, 1:])
        step = -(inverse @ products[1:, 0]).clamp(-0.5, 0.5)
        position = (position[0] + float(step[0]), position[1] + float(step[1]))
        if math.dist(position, start) > 1.0:
            return NOTHING  # ran away from the maximum that the search found
        explained = 1.0 - float(products[0, 0]) / float(x[0] @ x[0])
        noise = float(products[0, 0]) / flat.shape[1]
        error = _ERROR_FACTOR * math.sqrt(noise * float(torch.linalg.eigvalsh(inverse)[-1]))
        if step.abs().max() < 1e-3 or explained - second < _HOPELESS:
            break
    confidence = max(explained - second, 0.0) / (1.0 + (error / _COARSE_ERROR) ** 2)
    return Shift(*position, confidence=confidence, windows=1, spread=error)


def _centre(shifts: list[Shift]) -> tuple[float, float, float]:
    """Median row and column, and the robust standard deviation (per axis) of the windows around them."""
    row, col = statistics.median(s.row for s in shifts), statistics.median(s.col for s in shifts)
    if len(shifts) < 2:
        return row, col, shifts[0].spread
    # The median of |N(0, 1)| is .6745.
    axes = [[abs(s.row - row) for s in shifts], [abs(s.col - col) for s in shifts]]
    return row, col, max(statistics.median(a) for a in axes) / 0.6745
