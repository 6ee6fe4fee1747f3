"""What a fused patch is held against when no truth at full resolution is known: four terms, and their weighted sum.

X is the fused image, M the MS, P the PAN, X0 the frozen output, D the MTF and decimation of the target sensor at the
true phase of the pair, EXP interpolation; s is the mean deviation of the bands of M. All are means over pixels and
bands that vary; pixels that are not valid do not count.

    spectral     mean |D(X) - M| / s                   over MS pixels whose support in D lies in the patch and is valid
    wald         mean |X_w - M| / s                    X_w: the model on the pair degraded once more
    spatial      mean (1 - rho) [1 - rho > 1 - rho_0]  rho: local correlation of X and P in windows of 2 ceil(r / 2)
    consistency  mean |h - EXP(D(h))| / s, h = X - X0  details that were learned before are kept

Sources. Spectral term: the common form since Wald et al., PE&RS 63 (1997); here absolute values and the `physical`
operator, PROPOSED. Spatial term: Z-PNN (Ciotola, Vitale, Mazza, Poggi and Scarpa, IEEE TGRS 60, 2022), where rho_0 is
the correlation of EXP with the low pass of PAN in windows of 4 r pixels, so that only what correlates less than the
low-resolution pair is punished; our form takes means within each window in float32, scales images first, and leaves
out windows in which PAN is flat. Consistency: PROPOSED. That Feature Tailor has a spectral, a spatial and a
consistency term is published; its formulas are not.

The first, third and fourth know nothing of the truth and can be gamed: quality indices without a reference rise while
the error explodes. The second cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from panloom.adapt._sample import band_gains, mean_gain
from panloom.compute import cut
from panloom.optics import physical
from panloom.pair import Pair
from panloom.types import Sensor, Window

#: Share of the variance of PAN in the scene that a window must have for its correlation to count, and what keeps a
#: correlation finite where the image is flat.
FLAT, TINY = 1e-4, 1e-12


@dataclass(frozen=True)
class Weights:
    """Of the terms; those of weight 0 are not computed."""

    spectral: float = 0.0
    wald: float = 0.0
    spatial: float = 0.0
    consistency: float = 0.0


@dataclass(frozen=True)
class Sum:
    """A sum over what counts, and how much that is.

    Attributes:
        total: differentiable.
        count: pixels times bands.
    """

    total: Float[Tensor, ""]
    count: int

    def __add__(self, other: Sum) -> Sum:
        """Of both."""
        return Sum(self.total + other.total, self.count + other.count)

    @property
    def mean(self) -> Float[Tensor, ""]:
        """0 where nothing counts."""
        return self.total / max(self.count, 1)

    @staticmethod
    def of(values: Float[Tensor, "b C H W"], counts: Bool[Tensor, "b 1 H W"]) -> Sum:
        """Over the pixels that count; the others may hold anything, and have no slope."""
        kept = torch.where(counts, values, torch.zeros_like(values))
        return Sum(kept.sum(), int(counts.sum()) * values.shape[1])


@dataclass(frozen=True, eq=False)
class Measure:
    """In what the error of a scene is measured.

    Attributes:
        sensor: whose MTF.
        std: of each band of MS in the scene, float64.
        pan_std: of PAN.
        varies: bands that count.
    """

    sensor: Sensor
    std: Float[Tensor, " C"]
    pan_std: float
    varies: Bool[Tensor, " C"]

    @property
    def scale(self) -> float:
        """Mean deviation of the bands that count."""
        return float(self.std[self.varies].mean())

    @property
    def gains(self) -> list[float]:
        """MTF gains of these bands."""
        return [gain for gain, v in zip(band_gains(self.sensor), self.varies.tolist(), strict=True) if v]

    def of(self, image: Float[Tensor, "b C H W"]) -> Float[Tensor, "b K H W"]:
        """The bands of an image that count."""
        return image if bool(self.varies.all()) else image[:, self.varies.to(image.device)]


@dataclass(frozen=True, eq=False)
class Full:
    """What is known of patches at full resolution.

    Attributes:
        pair: the patches.
        resting: MS pixels, without the rim that D does not reach, that rest on valid pixels only.
        usual: correlation that the low-resolution pair has at each PAN pixel; None: the spatial term is not used.
        frozen: the frozen output; None: the consistency term is not used.
    """

    pair: Pair
    resting: Bool[Tensor, "b 1 h2 w2"]
    usual: Float[Tensor, "b K H W"] | None = None
    frozen: Float[Tensor, "b C H W"] | None = None

    @staticmethod
    def of(tile: Pair, window: Window, measure: Measure, weights: Weights, frozen: Tensor) -> Full:
        """A patch of a tile.

        Args:
            tile: one item.
            window: the patch, MS pixels of the tile.
            measure: of the scene.
            weights: which terms are used.
            frozen: the frozen output of the patch.
        """
        return Full(
            pair=cut(tile, window),
            resting=resting(tile, window, measure),
            usual=usual(tile, window, measure) if weights.spatial else None,
            frozen=frozen if weights.consistency else None,
        )

    @property
    def usable(self) -> int:
        """MS pixels of the spectral term."""
        return int(self.resting.sum())

    def terms(self, image: Float[Tensor, "b C H W"], measure: Measure, weights: Weights) -> Mapping[str, Sum]:
        """The terms of fused patches that have a weight."""
        found: dict[str, Sum] = {}
        if weights.spectral:
            found["spectral"] = spectral(image, self, measure)
        if self.usual is not None and weights.spatial:
            found["spatial"] = spatial(image, self.pair, self.usual, measure)
        if self.frozen is not None and weights.consistency:
            found["consistency"] = consistency(image - self.frozen, self.pair, measure)
        return found


@dataclass(frozen=True, eq=False)
class Low:
    """What is known of patches that were degraded once more.

    Attributes:
        truth: the MS.
        learn: pixels that are learned from.
        held: pixels that are held back.
    """

    truth: Float[Tensor, "b C H W"]
    learn: Bool[Tensor, "b 1 H W"]
    held: Bool[Tensor, "b 1 H W"]

    @property
    def usable(self) -> int:
        """Pixels to learn from."""
        return int(self.learn.sum())

    def terms(self, image: Float[Tensor, "b C H W"], measure: Measure, weights: Weights) -> Mapping[str, Sum]:
        """The Wald term of fused patches, if it has a weight."""
        if not weights.wald:
            return {}
        error = measure.of(image - self.truth).abs() / measure.scale
        return {"wald": Sum.of(error, self.learn)}

    def squared(self, image: Float[Tensor, "b C H W"], measure: Measure) -> float:
        """Sum of squared errors of the pixels held back, each band in its own deviations."""
        error = measure.of(image - self.truth).double() / measure.std[measure.varies].to(image.device)[:, None, None]
        return float(Sum.of(error.square(), self.held).total)


def weighted(sums: Mapping[str, Sum], weights: Weights) -> Float[Tensor, ""]:
    """The loss: the weighted sum of the means of the terms."""
    terms = [getattr(weights, name) * term.mean for name, term in sums.items()]
    return torch.stack(terms).sum()


def rim(measure: Measure, ratio: int) -> int:
    """MS pixels beyond its own that D looks at."""
    return physical.reduce_margin(min(measure.gains), ratio)


def resting(tile: Pair, window: Window, measure: Measure) -> Bool[Tensor, "1 1 h2 w2"]:
    """MS pixels of a patch, less the rim, in whose support all is valid; empty where the patch is all rim."""
    reach = rim(measure, tile.ratio)
    known = cut(tile, window)
    if min(window.height, window.width) <= 2 * reach:
        return known.whole_cells[..., :0, :0]
    missing = functional.max_pool2d((~known.valid).float(), tile.ratio)
    support = functional.max_pool2d(missing, 2 * reach + 1, stride=1) == 0
    # Cells around the patch count too: an MS pixel may rest on a neighbour that was filled.
    own = tile.whole_cells[(..., *window.grown(-reach).inside(Window(0, 0, 0, 0)))]
    return support & own


def spectral(image: Float[Tensor, "b C H W"], full: Full, measure: Measure) -> Sum:
    """|D(X) - M| / s."""
    reach, pair = rim(measure, full.pair.ratio), full.pair
    if not full.resting.numel():
        return Sum(image.sum() * 0, 0)
    rows, cols = (
        _matrices(n, tuple(measure.gains), pair.ratio, phase, reach).to(image)
        for n, phase in zip(image.shape[-2:], pair.phase, strict=True)
    )
    seen = rows @ measure.of(image) @ cols.mT
    inner = measure.of(pair.ms)[..., reach : pair.ms.shape[-2] - reach, reach : pair.ms.shape[-1] - reach]
    return Sum.of((seen - inner).abs() / measure.scale, full.resting)


# Cached tensors must be ordinary ones, also when the first call comes from inside inference mode.
@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _matrices(pixels: int, gains: tuple[float, ...], ratio: int, phase: float, margin: int) -> Float[Tensor, "K h H"]:
    """D along an axis of a patch, for each gain: patches are small, and slopes of one product are quick."""
    every = torch.eye(pixels, dtype=torch.float64)[None, None]
    return torch.cat([physical.degrade_rows(every, gain, ratio, phase, margin)[0] for gain in gains])


def consistency(change: Float[Tensor, "b C H W"], pair: Pair, measure: Measure) -> Sum:
    """|h - EXP(D(h))| / s of what the fit changes, h; at the border of the patch its edge is repeated."""
    change = measure.of(change)
    low = physical.degrade(change, measure.gains, pair.ratio, pair.phase)
    high = change - physical.interpolate(low, pair.ratio, pair.phase)
    return Sum.of(high.abs() / measure.scale, pair.valid)


def spatial(image: Float[Tensor, "b C H W"], pair: Pair, usual: Float[Tensor, "b K H W"], measure: Measure) -> Sum:
    """1 - local correlation with PAN, where that is less than the usual one."""
    half = -(-pair.ratio // 2)
    std = measure.std[measure.varies].to(image)[:, None, None]
    rho, counts = correlation(measure.of(image) / std, pair.pan / measure.pan_std, pair.valid, 2 * half)
    # The centre of a window of even size is its lower right middle pixel.
    threshold = usual[..., half : half + rho.shape[-2], half : half + rho.shape[-1]]
    return Sum.of(torch.where(rho < threshold, 1 - rho, torch.zeros_like(rho)), counts)


def usual(tile: Pair, window: Window, measure: Measure) -> Float[Tensor, "1 K H W"]:
    """Local correlation of EXP with the low pass of PAN in windows of 4 r pixels, at the PAN pixels of a patch."""
    ratio, gain = tile.ratio, mean_gain(measure.sensor)
    size = 4 * ratio
    reach = physical.round_trip_reach(gain, ratio, tile.phase) + 2
    around = window.grown(reach).clipped(*tile.ms.shape[-2:])
    wide = cut(tile, around)
    low = physical.interpolate(physical.degrade(wide.pan, [gain], ratio, wide.phase), ratio, wide.phase)
    std = measure.std[measure.varies].to(wide.exp)[:, None, None]
    half = size // 2
    exp, low = (
        physical.replicate(x, half, half, half, half) for x in (measure.of(wide.exp) / std, low / measure.pan_std)
    )
    rho, _ = correlation(exp, low, torch.ones_like(low, dtype=torch.bool), size)
    return rho[(..., *window.scaled(ratio).inside(around.scaled(ratio)))]


def correlation(
    x: Float[Tensor, "b C H W"], y: Float[Tensor, "b 1 H W"], valid: Bool[Tensor, "b 1 H W"], size: int
) -> tuple[Float[Tensor, "b C m n"], Bool[Tensor, "b 1 m n"]]:
    """Local correlation in all windows of `size` pixels, in [-1, 1]; and those where all is valid and `y` not flat.

    Args:
        x: an image of deviation about 1.
        y: PAN, likewise.
        valid: pixels that count.
        size: of a window; those that do not fit are left out.
    """

    def mean(z: Tensor) -> Tensor:
        if min(z.shape[-2:]) < size:
            return z[..., :0, :0]
        return functional.avg_pool2d(z, size, 1)

    # About the middle of each patch, so that float32 keeps the digits of small deviations.
    x, y = (torch.where(valid, z, 0.0) for z in (x, y))
    x, y = (torch.where(valid, z - z.detach().mean((2, 3), keepdim=True), 0.0) for z in (x, y))
    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = ((mean(z * z) - m * m).clamp_min(0) for z, m in ((x, mean_x), (y, mean_y)))
    covariance = mean(x * y) - mean_x * mean_y
    rho = covariance / (variance_x * variance_y + TINY).sqrt()
    return rho.clamp(-1, 1), (mean((~valid).to(x.dtype)) == 0) & (variance_y > FLAT)
