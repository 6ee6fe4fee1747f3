"""PRACS: component substitution by partial replacement, with gains that follow the place.

Published: Choi, Yu and Kim, IEEE TGRS 49 (2011). The bands are brought to the level of PAN; the intensity I is the
regression of low-passed PAN on them; in band b PAN takes the place of a share of the band, the correlation of the
band with I; what that changes beyond the regression I_b of its low pass is the detail. It is injected with a gain of
the whole scene, GAIN * corr(I_b, band) * deviation of the band over that of all bands, and one of the pixel,
`1 - abs(1 - corr(I, band) * band / I_b)`. Ours: on the MS grid, where PAN is already seen through the MS optics, the
regression I_b is share * I + (1 - share) * levelled band and the detail is share * (PAN - I), so that moments of
the scene are enough; levelled bands are not clipped at 0; the gain of the pixel stays within 0 to 1 (it would turn
details round where I_b is almost 0), and is 0 where I_b is not positive. `form=toolbox` equals the reference toolbox.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._registry import method
from panloom.classical._statistics import Form, per_band, prepared, toolbox_inputs
from panloom.optics import toolbox
from panloom.optics.moments import Moments, survey, whole
from panloom.pair import Pair, SceneLike
from panloom.types import Traits

#: Share of the detail that is injected at best.
GAIN = 0.95


@dataclass(frozen=True)
class Replacement:
    """A partial replacement, ready to apply.

    Attributes:
        weights: of the bands in the intensity, the regression of PAN.
        constant: of the intensity.
        share: of PAN in each band's replacement: the correlation of the band with the intensity.
        scale: of each band, to the deviation of PAN.
        level: of each band, to the mean of PAN.
        gain: of the detail PAN - intensity, the same for the whole scene.
    """

    weights: tuple[float, ...]
    constant: float
    share: tuple[float, ...]
    scale: tuple[float, ...]
    level: tuple[float, ...]
    gain: tuple[float, ...]

    @staticmethod
    def of(m: Moments) -> Replacement:
        """From the moments of (PAN, bands)."""
        weights, constant = m.regression()
        covariance, std = m.covariance[1:, 1:], m.std[1:]
        with_bands = covariance @ weights
        variance = weights @ with_bands
        share = _over(with_bands, variance.clamp_min(0).sqrt() * std)
        scale = _over(m.std[0].expand_as(std), std)
        rest = (1 - share) * scale
        # Of I_b = share * I + rest * band + constant.
        own = _over(
            share * with_bands + rest * std**2,
            std * (share**2 * variance + 2 * share * rest * with_bands + rest**2 * std**2).clamp_min(0).sqrt(),
        )
        gain = GAIN * own * _over(std, std.mean()) * share
        level = m.mean[0] - scale * m.mean[1:]
        share, scale, level, gain = (tuple(values.tolist()) for values in (share, scale, level, gain))
        return Replacement(tuple(weights.tolist()), constant, share, scale, level, gain)

    def __call__(self, pan: Float[Tensor, "b 1 H W"], exp: Float[Tensor, "b C H W"]) -> Float[Tensor, "b C H W"]:
        """The fused image."""
        share, scale, level, gain = (
            per_band(values, exp) for values in (self.share, self.scale, self.level, self.gain)
        )
        weights = torch.tensor(self.weights, dtype=exp.dtype, device=exp.device)
        intensity = torch.einsum("c,bchw->bhw", weights, exp)[:, None] + self.constant
        partial = intensity * share + (exp * scale + level) * (1 - share)
        likeness = torch.where(partial > 0, share * exp / partial, torch.zeros_like(exp))
        local = (1 - (1 - likeness).abs()).clamp_min(0)
        return torch.addcmul(exp, gain * local, pan - intensity)


def _over(top: Tensor, bottom: Tensor) -> Tensor:
    """Top / bottom, and 0 where there is nothing to divide by: constant images take no part."""
    return torch.where(bottom > 0, top / bottom, torch.zeros_like(top))


@method("pracs")
@dataclass(frozen=True)
class Pracs:
    """Partial replacement. Not to be confused with gsa, whose intensity it shares, but whose gains are regressions.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    form: Form = "physical"
    ready: Replacement | None = field(default=None, metadata={"option": False})

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        return Traits(tiling="exact" if self.form == "physical" else "whole", cite=("choi2011",))

    def prepare(self, scene: SceneLike, rng: Generator) -> Pracs:
        """Regression, shares and gains from the moments of the scene."""
        return replace(self, ready=None if self.form == "toolbox" else Replacement.of(survey(scene)))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: exp + gain of the scene * gain of the pixel * (pan - regression of pan on the bands)."""
        if self.form == "toolbox":
            return _toolbox(pair)
        return prepared(self.ready)(pair.pan, pair.exp)


def _toolbox(pair: Pair) -> Tensor:
    pan, _, exp = toolbox_inputs(pair)
    bands, m = exp.shape[1], whole(pan, exp)
    levelled = (exp - per_band(m.mean[1:], exp)) * per_band(m.std[0] / m.std[1:], exp) + m.mean[0]
    levelled = levelled.clamp_min(0)
    # All regressions are on the levelled bands, so one set of moments holds them.
    low = _down_up(torch.cat([pan, levelled], 1), pair.ratio)
    m = whole(low, levelled, exp)
    lows, those, raw = slice(0, bands + 1), slice(bands + 1, 2 * bands + 1), slice(2 * bands + 1, None)
    among, with_raw, std = m.covariance[those, those], m.covariance[raw, those], m.std
    fits = torch.linalg.pinv(among, hermitian=True, rtol=1e-10) @ m.covariance[those, lows]
    deviation = (fits[:, 0] @ among @ fits[:, 0]).sqrt()
    share = among @ fits[:, 0] / (deviation * std[those])
    # The low pass of share * PAN + (1 - share) * band, by its regression on the bands; column b for band b.
    weights = fits[:, :1] * share + fits[:, 1:] * (1 - share)
    constant = m.mean[0] * share + m.mean[1 : bands + 1] * (1 - share) - m.mean[those] @ weights
    partial = torch.einsum("kc,bkhw->bchw", weights.to(exp), levelled) + per_band(constant, exp)
    shares = per_band(share, exp)
    detail = pan * shares + levelled * (1 - shares) - partial
    own = (with_raw @ weights).diagonal() / (std[raw] * (weights * (among @ weights)).sum(0).sqrt())
    likeness = per_band(with_raw @ fits[:, 0] / (deviation * std[raw]), exp) * exp / partial
    gain = per_band(GAIN * own * std[raw] / std[raw].mean(), exp)
    return exp + gain * (1 - (1 - likeness).abs()) * (detail - detail.mean((2, 3), keepdim=True))


def _down_up(x: Tensor, ratio: int) -> Tensor:
    return toolbox.imresize(toolbox.imresize(x, 1 / ratio, "bicubic"), ratio, "bicubic")
