"""universal: one network for any sensor: any number of bands, ratios 2 to 8, any gain and bit depth.

Published: nothing; this is panloom's own design. Known parts it stands on: GLP, GSA and HPM details (see
`panloom.classical`), weights shared over bands with a context pooled over them (Deep Sets, Zaheer et al., NeurIPS
2017), pixel shuffling (Shi et al., CVPR 2016), iterative back-projection (Irani and Peleg, 1991).

Physics first. Four classical details are made for every band; the network, which sees only quantities without units,
predicts how much of each is true where (gains), and a small remainder. Images are handled in units of each band's own
deviation in the scene, so the result follows the gain of the data exactly; one detail is a ratio and sees offsets. The
network is told how the finest octave of the MS grid compares in MS and in PAN there: both went through the same optics,
so it shows whether the bands were softer or sharper than PAN before, which no pixel of PAN alone can tell. One step of
spectral back-projection ends it: the result, seen through the band's MTF at the true phase, is brought towards the MS
that was recorded.

    pan = PAN moved to where MS lies     see `panloom.optics.alignment`
    out = exp + std_b * (w . z_b)        z_b = [gains * details, free maps, details, 1]
    out = out + U(ms - D(out))           see `panloom.optics.back_projection`

`forward` sums the head into the last layer before pixels are shuffled, which is the same number with a sixth of the
memory; `features` gives all maps, which an adapter can weigh anew.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from panloom.errors import MethodError, PanloomWarning
from panloom.networks._network import IMAGES, Network
from panloom.networks._registry import network
from panloom.optics import alignment, back_projection, physical
from panloom.optics.moments import Moments, some
from panloom.optics.octaves import EMPTY, finest_octave, in_finest_octave, unexplained
from panloom.pair import Pair, Reduced, SceneLike
from panloom.tiling import blocks
from panloom.types import Tile, Traits, Window

#: The details: PAN above the MTF by correlation, above the intensity by regression, by local slope, by modulation.
DETAILS = 4

#: MS pixels along a side of the window of local statistics; odd.
WINDOW = 5

#: Share of the scene's own slope in a local slope, in units of PAN's variance.
SHRINK = 0.02

#: Values beyond this many deviations are cut: what a network saw in training ends there.
LIMIT = 8.0

#: MS pixels of halo said as long as no scene is known: ratio 2 and the usual MTF.
USUAL_REACH = 12

#: Numbers about the scene that each band is told.
CONSTANTS = 9

#: Weights of the four details before training: a mean of the classical methods.
START = (0.25, 0.35, 0.25, 0.15)

#: Part of the pixels that a result depends on, counted from it, beyond which nothing changes it by 1e-7 of a deviation
#: of the band: the last taps of four filters in a row multiply to less.
FADED = 0.6

#: Pixels of the half grid along a side of a block that is run at once: what is in work fits the processor's cache.
BLOCK = 128

#: Windows along each axis that `prepare` looks at to see how sharp PAN is, at most, and MS pixels along their sides.
SAMPLES, SAMPLE_SIZE = 3, 48

#: Mismatches that training drew (98 % of them); what lies beyond is less and less believed, and from twice that not at
#: all: there the MTF gains are not those of the data.
DRAWN = 0.15

#: What is told of a PAN without detail: about what others have.
USUAL_SHARPNESS = -0.45


@dataclass(frozen=True)
class Look:
    """What the network knows of the whole scene, one row for each item of a batch (or one for all).

    Attributes:
        mean: of each MS band.
        std: of each MS band; of a constant one 0, and nothing is added to it.
        pan_mean: of PAN on the MS grid.
        pan_std: of PAN on the MS grid.
        correlation: of each band with PAN.
        weights: of the bands in the intensity that is nearest to PAN; bands and PAN in units of their deviation.
        slope: of the regression of each band on that intensity.
        explained: share of PAN's variance that the intensity explains.
        sharpness: log10 of the share of PAN's detail that lies in its finest octave.
        mismatch: log10 of the share of the intensity's variance that lies in the finest octave of the MS grid, less
            that of PAN there. Both went through the same optics, so it tells how much softer or sharper than PAN the
            bands were before.
        fine_slope: of the regression of each band on PAN in that octave, in deviations of band and PAN.
        energy: log10 of the share of each band's variance that lies in that octave.
        own: the same of what neither PAN nor another band explains there: noise, mostly.
        suspicious: the mismatch is so large that the MTF gains may be wrong.
    """

    mean: Float[Tensor, "n C 1 1"]
    std: Float[Tensor, "n C 1 1"]
    pan_mean: Float[Tensor, "n 1 1 1"]
    pan_std: Float[Tensor, "n 1 1 1"]
    correlation: Float[Tensor, "n C 1 1"]
    weights: Float[Tensor, "n C 1 1"]
    slope: Float[Tensor, "n C 1 1"]
    explained: Float[Tensor, "n 1 1 1"]
    sharpness: Float[Tensor, "n 1 1 1"]
    mismatch: Float[Tensor, "n 1 1 1"]
    fine_slope: Float[Tensor, "n C 1 1"]
    energy: Float[Tensor, "n C 1 1"]
    own: Float[Tensor, "n C 1 1"]
    suspicious: bool = False

    @staticmethod
    def of(moments: Moments, finest: Moments, sharpness: float) -> Look:
        """From the moments of PAN and MS on the MS grid, of all of them and of their finest octave; float64."""
        deviation = moments.std
        std = _divisor(deviation)
        related = moments.covariance / torch.outer(std, std)
        correlation, between = related[0, 1:], related[1:, 1:]
        weights = torch.linalg.solve(between + 1e-3 * torch.eye(len(between)).to(between), correlation)
        with_intensity = between @ weights
        variance = float(weights @ with_intensity)
        slope = with_intensity / variance if variance > 0 else torch.zeros_like(with_intensity)
        fine = finest.comoment / max(finest.count - 1, 1) / torch.outer(std, std)
        own = unexplained(fine)
        # Noise of the bands is no sharpness; of a single band it cannot be told from detail that PAN does not have.
        noise = weights.square() @ own if len(own) > 1 else 0.0
        fine_intensity = float(weights @ fine[1:, 1:] @ weights - noise)
        fine_pan = float(fine[0, 0])
        known = fine_pan > EMPTY and fine_intensity > EMPTY * variance and variance > 0
        mismatch = math.log10(fine_intensity / variance / fine_pan) if known else 0.0
        believed = min(max(2 - abs(mismatch) / DRAWN, 0.0), 1.0)
        fine_slope = correlation + believed * (fine[0, 1:] / fine_pan - correlation) if known else correlation

        def column(values: Tensor) -> Tensor:
            return values.reshape(1, -1, 1, 1)

        return Look(
            mean=column(moments.mean[1:]),
            std=column(deviation[1:]),
            pan_mean=column(moments.mean[0]),
            pan_std=column(deviation[0]),
            correlation=column(correlation),
            weights=column(weights),
            slope=column(slope),
            explained=column(weights @ correlation),
            sharpness=column(torch.tensor(sharpness, dtype=std.dtype)),
            mismatch=column(torch.tensor(mismatch * believed, dtype=std.dtype)),
            suspicious=believed == 0,
            fine_slope=column(fine_slope).clamp(-3, 3),
            energy=column(_decades(fine.diagonal()[1:])),
            own=column(_decades(own)),
        )

    @staticmethod
    def stack(looks: Sequence[Look]) -> Look:
        """One row for each of them."""
        rows = [vars(look) for look in looks]
        joined = {key: torch.cat([row[key] for row in rows]) for key in rows[0] if key != "suspicious"}
        return replace(looks[0], **joined)

    def to(self, like: Tensor) -> Look:
        """In the type and on the device of an image."""
        return replace(self, **{key: value.to(like) for key, value in vars(self).items() if key != "suspicious"})


@dataclass(frozen=True)
class _Seen:
    """A pair as the network sees it; `e` and the details in deviations of each band.

    Attributes:
        look: of the scene.
        details: the four details of each band on PAN's grid.
        bands: inputs of each band, on the half grid.
        pan: inputs that all bands share, on the half grid; the last is 1 where no data are.
        constants: numbers without place, of each band.
    """

    look: Look
    details: Float[Tensor, "b C 4 H W"]
    bands: Float[Tensor, "bC 20 h2 w2"]
    pan: Float[Tensor, "b 11 h2 w2"]
    constants: Float[Tensor, "bC 9"]


@network("universal")
class Universal(Network):
    """The network for any sensor.

    Args:
        width: channels of the body.
        depth: 3x3 layers of the body.
        maps: maps between body and head; half of them are gains of the details.
    """

    def __init__(self, width: int = 48, depth: int = 5, maps: int = 32) -> None:
        super().__init__()
        if width < 1 or depth < 0 or maps < 1 or maps % (2 * DETAILS):
            raise MethodError(
                f"universal needs a width of 1 or more, a depth of 0 or more and maps in a multiple of {2 * DETAILS}; "
                f"given: {width}, {depth}, {maps}"
            )
        self.maps, self.channels = maps, maps + DETAILS + 1
        self.look: Look | None = None
        self.offset = alignment.NOWHERE
        self.reach = USUAL_REACH
        self.enter = nn.Conv2d(4 * DETAILS + 4, width, 3, padding=1)
        self.enter_pan = nn.Conv2d(11, width, 3, padding=1, bias=False)
        self.enter_constants = nn.Linear(CONSTANTS, width, bias=False)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.context = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in range(depth // 2))
        self.expand = nn.Conv2d(width, 4 * maps, 1)
        self.weights = nn.Parameter(torch.cat([torch.randn(maps) * 0.02, torch.tensor([*START, 0.0])]))

    @property
    def traits(self) -> Traits:
        """Facts for the machinery; the halo is known after `prepare`."""
        return Traits(ratios=tuple(range(2, 9)), halo=self.reach, images=IMAGES, cite=("panloom",))

    def prepare(self, scene: SceneLike, rng: Generator) -> Universal:
        """The network with the statistics of a scene."""
        ready = super().prepare(scene, rng)
        assert isinstance(ready, Universal)
        scene = alignment.aligned(scene)
        ready.offset = scene.offset
        energies = [finest_octave(_detail(pair)[1], pair.valid) for pair in _spread(scene)]
        ready.look = _pooled(scene.survey(), energies, check=some)
        if ready.look.suspicious:
            warnings.warn(
                "seen through the MTF that the sensor is said to have, PAN is much softer or sharper than the bands: "
                "the gains may not be those of these data, and the result may overshoot; compare with mtf-glp-cbd",
                PanloomWarning,
                stacklevel=2,
            )
        gains = [band.mtf_nyquist for band in scene.sensor.bands]
        ready.reach = ready._reach(scene.grid.ratio, gains, scene.grid.phase)
        return ready

    def informed(self, pairs: Sequence[Pair]) -> Universal:
        """The same network with the statistics of some pairs, taken together."""
        ready = copy.copy(self)
        ready.offset = alignment.offset(pairs, pairs[0].ratio)
        seen = [(pair, *_detail(alignment.with_pan(pair, ready.offset))) for pair in pairs]
        items = [Reduced(low, pair.ms, pair.whole_cells) for pair, low, _ in seen]
        ready.look = _pooled(items, [finest_octave(detail, pair.valid) for pair, _, detail in seen])
        return ready

    def _reach(self, ratio: int, gains: list[float], phase: tuple[float, float]) -> int:
        """MS pixels around a cell that change its result, followed from the last stage to the first."""
        widest, mean, layers = min(gains), sum(gains) / len(gains), len(self.body) + 1
        cells = 0
        for p in phase:
            first, last = physical.round_trip((0, ratio - 1), widest, ratio, p, back_projection.CUBIC)
            # On the half grid whole blocks of 2 x 2 pixels belong together.
            first, last = 2 * (first // 2 - layers), 2 * (last // 2 + layers) + 1
            low = physical.round_trip((first, last), mean, ratio, p)
            window = WINDOW // 2 + 1  # local statistics, and the bilinear step back to PAN's grid
            local = physical.seen((first // ratio - window, last // ratio + window), mean, ratio, p)
            cells = max(cells, -(min(low[0], local[0]) // ratio), max(low[1], local[1]) // ratio)
        return math.ceil(FADED * cells) + alignment.halo(self.offset, ratio)

    def features(self, pair: Pair) -> Float[Tensor, "n F H W"]:
        """The maps of each band: gated details, free maps, details, 1; n is batch times bands."""
        seen = self._see(pair)
        maps = self._shuffled(self.expand(self._run(seen)), pair).to(pair.exp.dtype)
        details = seen.details.flatten(0, 1)
        gates = maps[:, : self.maps // 2].unflatten(1, (DETAILS, -1)) * details[:, :, None]
        return torch.cat([gates.flatten(1, 2), maps[:, self.maps // 2 :], details, torch.ones_like(details[:, :1])], 1)

    def head(self, features: Float[Tensor, "n F H W"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """Exp, the weighted maps, and one step of back-projection."""
        residual = torch.einsum("nfhw,f->nhw", features, self.weights.to(features.dtype))
        return self._finish(residual.unflatten(0, pair.ms.shape[:2]), self._look(pair), pair)

    def forward(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The final image: as head(features), with the head summed into the last layer."""
        seen = self._see(pair)
        return self._finish(self._residual(seen, pair), seen.look, pair)

    def _residual(self, seen: _Seen, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The weighted maps summed, in deviations; without gradients in blocks, so that layers stay in the cache."""
        folded, whole = self._folded(), Window(0, 0, *seen.bands.shape[-2:])
        if torch.is_grad_enabled():
            return self._block(seen, folded, whole, pair)[1]
        out = torch.empty_like(pair.exp)
        for window in blocks(whole, BLOCK):
            place, residual = self._block(seen, folded, window, pair)
            out[(..., *place)] = residual
        return out

    def _block(
        self, seen: _Seen, folded: tuple[Tensor, Tensor], window: Window, pair: Pair
    ) -> tuple[tuple[slice, slice], Float[Tensor, "b C H2 W2"]]:
        """The residual of a window of the half grid, and its place on PAN's."""
        whole = Window(0, 0, *seen.bands.shape[-2:])
        read = window.grown(len(self.body) + 1).clipped(whole.height, whole.width)
        cut = (..., *read.inside(whole))
        x = self._run(replace(seen, bands=seen.bands[cut], pan=seen.pan[cut]))[(..., *window.inside(read))]
        frame = window.scaled(2).shifted(*(-(start % 2) for start in pair.origin))
        inner = frame.clipped(*pair.exp.shape[-2:])
        place = inner.inside(Window(0, 0, *pair.exp.shape[-2:]))
        summed = functional.pixel_shuffle(functional.conv2d(x, *folded), 2)[(..., *inner.inside(frame))]
        summed = summed.to(pair.exp.dtype).unflatten(0, pair.ms.shape[:2])
        residual = (summed[:, :, :DETAILS] * seen.details[(..., *place)]).sum(2) + summed[:, :, DETAILS]
        return place, residual

    def _folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of `expand` with the head in it: one gain for each detail, and the rest."""
        half = self.maps // 2
        assert self.expand.bias is not None
        folded: list[Tensor] = []
        for values in (self.expand.weight.flatten(1), self.expand.bias):
            values = values.unflatten(0, (self.maps, 4))
            weighted = values * self.weights[: self.maps].view(-1, *[1] * (values.dim() - 1))
            gains = weighted[:half].unflatten(0, (DETAILS, -1)).sum(1)
            folded.append(torch.cat([gains, weighted[half:].sum(0, keepdim=True)]))
        weight, bias = folded
        bias = bias + self.weights[self.maps :, None]
        return weight.flatten(0, 1)[:, :, None, None], bias.flatten()

    def _finish(self, residual: Float[Tensor, "b C H W"], look: Look, pair: Pair) -> Float[Tensor, "b C H W"]:
        out = torch.addcmul(pair.exp, look.std, residual)
        return back_projection.back_project(
            out, pair.ms, gains=_gains(pair), phase=pair.phase, recorded=pair.whole_cells
        )

    def _look(self, pair: Pair, pan: tuple[Tensor, Tensor] | None = None) -> Look:
        """Of the scene, if `prepare` saw one, else of the items of the batch, each by itself; `pan`: from `_detail`."""
        if self.look is not None:
            return self.look.to(pair.exp)
        low, detail = pan or _detail(pair)
        rows = zip(
            low.split(1), pair.ms.split(1), pair.whole_cells.split(1), detail.split(1), pair.valid.split(1), strict=True
        )
        return Look.stack([_pooled([Reduced(p, m, v)], [finest_octave(d, f)]) for p, m, v, d, f in rows]).to(pair.exp)

    def _see(self, pair: Pair) -> _Seen:
        pair = alignment.with_pan(pair, self.offset)
        low, detail = _detail(pair)
        look = self._look(pair, (low, detail))
        std, pan_std = _divisor(look.std), _divisor(look.pan_std)
        e = (pair.exp - look.mean) / std
        q = (low - look.pan_mean) / pan_std
        local = _local((pair.ms - look.mean) / std, q, look)
        h = detail / pan_std
        u = (pair.pan - look.pan_mean) / pan_std - (look.weights * e).sum(1, keepdim=True)
        slope = functional.interpolate(local.slope, scale_factor=pair.ratio, mode="bilinear")
        details = torch.stack([look.correlation * h, look.slope * u, slope * h, _modulated(pair, detail, look)], 2)
        details, h, u = (x.clamp(-LIMIT, LIMIT) for x in (details, h, u))
        bands = [_folds(details.flatten(0, 1), pair), _half(e.clamp(-LIMIT, LIMIT), pair).flatten(0, 1)[:, None]]
        bands += [_half_of_low(x, pair).flatten(0, 1)[:, None] for x in (local.slope, local.correlation, local.energy)]
        pan = [_folds(torch.cat([h, u], 1), pair), _half_of_low(torch.cat([q, local.pan_energy], 1), pair)]
        pan += [_half((~pair.valid).to(h.dtype), pair)]
        return _Seen(look, details, torch.cat(bands, 1), torch.cat(pan, 1), _constants(pair, look))

    def _run(self, seen: _Seen) -> Float[Tensor, "bC w h2 w2"]:
        """The layers, in the type of their weights."""
        count = len(seen.bands) // len(seen.pan)
        shared = self.enter_pan(_lined(self.cast(seen.pan)))
        number = self.enter_constants(seen.constants.to(shared.dtype))
        x = self.enter(_lined(self.cast(seen.bands)))
        x = _plus(_plus(x, number[:, :, None, None]).unflatten(0, (-1, count)), shared[:, None]).flatten(0, 1)
        x = functional.relu_(x)
        for k, layer in enumerate(self.body):
            y = functional.relu_(layer(x))
            if k % 2 == 0 and k // 2 < len(self.context):
                bands = y.unflatten(0, (-1, count))
                # A reduction over the outer dimension is many times slower than a chain of sums.
                mean = reduce(torch.add, bands.unbind(1)) / count
                y = _plus(bands, self.context[k // 2](mean)[:, None]).flatten(0, 1)
            x = _plus(x, y)
        return x

    def _shuffled(self, x: Tensor, pair: Pair) -> Float[Tensor, "bC m H W"]:
        """From the half grid to PAN's, without what was added to make it even."""
        top, left = (start % 2 for start in pair.origin)
        height, width = pair.exp.shape[-2:]
        return functional.pixel_shuffle(x, 2)[..., top : top + height, left : left + width]


def _pooled(
    blocks: Iterable[Reduced],
    energies: list[tuple[float, float]],
    check: Callable[[Moments], Moments] = lambda found: found,
) -> Look:
    """From blocks of the MS grid and what `_energies` says of the PAN above it."""
    looks = [(Moments.of(block), Moments.of(in_finest_octave(block))) for block in blocks]
    whole, finest = (reduce(Moments.merge, column) for column in zip(*looks, strict=True))
    return Look.of(check(whole), finest, _sharpness(energies))


def _plus(x: Tensor, y: Tensor) -> Tensor:
    """The sum; in the memory of `x` where no gradient will ask for it."""
    return x + y if torch.is_grad_enabled() else x.add_(y)


def _lined(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Channels last where the layers are run without gradients: what follows keeps it."""
    return x if torch.is_grad_enabled() else x.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class _Local:
    """Statistics in windows of the MS grid: slope of band on PAN, correlation, log10 of variances."""

    slope: Float[Tensor, "b C h w"]
    correlation: Float[Tensor, "b C h w"]
    energy: Float[Tensor, "b C h w"]
    pan_energy: Float[Tensor, "b 1 h w"]


def _local(m: Float[Tensor, "b C h w"], q: Float[Tensor, "b 1 h w"], look: Look) -> _Local:
    def mean(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, WINDOW, 1, WINDOW // 2, count_include_pad=False)

    mean_m, mean_q = mean(m), mean(q)
    var_m, var_q = (mean(x * x) - y * y for x, y in ((m, mean_m), (q, mean_q)))
    var_m, var_q = var_m.clamp_min(0), var_q.clamp_min(0)
    covariance = mean(m * q) - mean_m * mean_q
    return _Local(
        slope=((covariance + SHRINK * look.correlation) / (var_q + SHRINK)).clamp(-LIMIT, LIMIT),
        correlation=covariance / ((var_q + 1e-3) * (var_m + 1e-3)).sqrt(),
        energy=torch.log10(var_m + 1e-3),
        pan_energy=torch.log10(var_q + 1e-3),
    )


def _divisor(std: Tensor) -> Tensor:
    """The deviation, and 1 for what is constant."""
    return torch.where(std > 0, std, torch.ones_like(std))


def _gains(pair: Pair) -> list[float]:
    if pair.sensor is None:
        raise MethodError("universal needs the MTF of the bands, and this pair has no sensor")
    return [band.mtf_nyquist for band in pair.sensor.bands]


def _detail(pair: Pair) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 H W"]]:
    """PAN on the MS grid through the mean MTF of the bands, and what it has above that."""
    gains = _gains(pair)
    low = physical.degrade(pair.pan, [sum(gains) / len(gains)], pair.ratio, pair.phase)
    return low, pair.pan - physical.interpolate(low, pair.ratio, pair.phase)


def _decades(share: Tensor) -> Tensor:
    """log10, with an end at a ten-thousandth."""
    return torch.log10(share + 1e-4)


def _spread(scene: SceneLike) -> Iterator[Pair]:
    """Windows at even places of a scene; of a small one all of it."""
    rows, cols = scene.grid.cells
    height, width = min(SAMPLE_SIZE, rows), min(SAMPLE_SIZE, cols)
    down, across = (min(-(-n // SAMPLE_SIZE), SAMPLES) for n in (rows, cols))
    for row in range(down):
        for col in range(across):
            top, left = (rows - height) * row // max(down - 1, 1), (cols - width) * col // max(across - 1, 1)
            window = Window(top, left, height, width)
            yield scene.read(Tile(0, window.scaled(scene.grid.ratio), window))


def _sharpness(energies: list[tuple[float, float]]) -> float:
    fine, whole = (sum(column) for column in zip(*energies, strict=True)) if energies else (0.0, 0.0)
    return math.log10(fine / whole) if fine > 0 else USUAL_SHARPNESS


def _modulated(pair: Pair, detail: Float[Tensor, "b 1 H W"], look: Look) -> Float[Tensor, "b C H W"]:
    """The detail of MTF-GLP-HPM: PAN's relative to its low pass times EXP, where PAN is bright enough for a ratio."""
    usual = look.mean.abs() / look.pan_mean.clamp_min(1e-12)
    low = torch.maximum(pair.pan - detail, 0.1 * look.pan_mean.clamp_min(1e-12))
    ratio = torch.minimum((pair.exp / low).clamp_min(0), 3 * usual)
    return torch.where(look.pan_mean > 0, detail * ratio / _divisor(look.std), torch.zeros_like(pair.exp))


def _constants(pair: Pair, look: Look) -> Float[Tensor, "bC 9"]:
    """What `Look` says of each band, with the ratio and the MTF gain, around 0."""
    batch, bands = pair.ms.shape[:2]
    gains = torch.tensor(_gains(pair), dtype=pair.exp.dtype, device=pair.exp.device).view(1, -1, 1, 1)
    ratio = torch.full_like(look.explained, math.log2(pair.ratio) - 1.5)
    columns = [look.correlation, look.explained, ratio, (gains - 0.3) * 5, look.sharpness + 1]
    columns += [10 * look.mismatch, look.fine_slope - look.correlation, look.energy + 1, look.own + 2]
    return torch.cat([c.expand(batch, bands, 1, 1) for c in columns], 3).flatten(0, 1).flatten(1)


def _even(x: Tensor, pair: Pair) -> Tensor:
    """The image continued to even sides, so that the half grid is the same for every tile of a scene."""
    top, left = (start % 2 for start in pair.origin)
    bottom, right = ((start + n) % 2 for start, n in ((top, x.shape[-2]), (left, x.shape[-1])))
    if not (top or left or bottom or right):
        return x
    return physical.replicate(x, top, bottom, left, right)


def _folds(x: Float[Tensor, "n c H W"], pair: Pair) -> Float[Tensor, "n c4 h2 w2"]:
    return functional.pixel_unshuffle(_even(x, pair), 2)


def _half(x: Float[Tensor, "b c H W"], pair: Pair) -> Float[Tensor, "b c h2 w2"]:
    return functional.avg_pool2d(_even(x, pair), 2)


def _half_of_low(x: Float[Tensor, "b c h w"], pair: Pair) -> Float[Tensor, "b c h2 w2"]:
    """A map of the MS grid on the half grid."""
    if pair.ratio == 2:
        return x
    if pair.ratio % 2 == 0:
        return functional.interpolate(x, scale_factor=pair.ratio // 2, mode="bilinear")
    return _half(functional.interpolate(x, scale_factor=pair.ratio, mode="bilinear"), pair)
