"""BDSD and BDSD-PC: every band's detail is the combination of all bands and PAN that fits best one scale down.

Published: Garzelli, Nencini and Capobianco, IEEE TGRS 46 (2008) (BDSD), over one block, the whole scene; Vivone, IEEE
TGRS 57 (2019) (BDSD-PC: PAN adds to a band and no band does). One scale down, the band is MS, its detail is MS less
its MTF low pass, and PAN is seen through the MS optics. Ours: the real phase, statistics merged over the blocks of a
survey without the pixels whose low pass looks mostly at no-data (beyond a block its edge is repeated: to leave the rim
out costs more data than it is worth), and a regression of deviations from the means, with a detail of mean 0 over the
scene: an offset of the data changes nothing, colours keep their level, and a constant PAN gives nothing.
`form=toolbox` is the rule of the reference toolbox, which regresses the values as they are; its BDSD does not work at
ratio 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._registry import method
from panloom.classical._statistics import Form, per_band, prepared, toolbox_inputs
from panloom.classical.mtf_glp import ms_gains
from panloom.errors import MethodError, SceneError
from panloom.optics import physical, toolbox
from panloom.optics.moments import Moments
from panloom.pair import Pair, Reduced, SceneLike
from panloom.types import Traits

#: Pixels for each coefficient below which a fit is noise, and no detail is injected.
LEAST = 4

#: Share of the low pass's weight that must lie on valid MS pixels for a pixel to count.
SUPPORT = 0.5


@dataclass(frozen=True)
class Detail:
    """The detail of all bands: bands . exp + pan * PAN + constant.

    Attributes:
        bands: one row per band.
        pan: one number per band.
        constant: one number per band.
    """

    bands: tuple[tuple[float, ...], ...]
    pan: tuple[float, ...]
    constant: tuple[float, ...]

    @staticmethod
    def of(fit: Float[Tensor, "n C"], constant: Float[Tensor, " C"]) -> Detail:
        """From a column per band of coefficients of PAN and the bands."""
        rows = tuple(tuple(row) for row in fit[1:].T.tolist())
        return Detail(rows, tuple(fit[0].tolist()), tuple(constant.tolist()))

    def __call__(self, pan: Float[Tensor, "b 1 H W"], exp: Float[Tensor, "b C H W"]) -> Float[Tensor, "b C H W"]:
        """The fused image."""
        bands = torch.tensor(self.bands, dtype=exp.dtype, device=exp.device)
        gain, constant = (per_band(v, exp) for v in (self.pan, self.constant))
        return exp + torch.einsum("kc,bchw->bkhw", bands, exp) + (pan * gain + constant)


@method("bdsd")
@dataclass(frozen=True)
class Bdsd:
    """Band-dependent detail by plain least squares. Not to be confused with bdsd-pc, which fixes the signs.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    form: Form = "physical"
    ready: Detail | None = field(default=None, metadata={"option": False})
    constrained: ClassVar[bool] = False
    cite: ClassVar[tuple[str, ...]] = ("garzelli2008",)

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        if self.form == "toolbox":
            return Traits(tiling="whole", cite=self.cite)
        return Traits(additive=True, cite=self.cite)

    def prepare(self, scene: SceneLike, rng: Generator) -> Bdsd:
        """The regression one scale down.

        Raises:
            SceneError: no pixel is valid, or nowhere are enough of them together.
        """
        return replace(self, ready=None if self.form == "toolbox" else _estimate(scene, self.constrained))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: exp + the combination of exp and pan."""
        if self.form == "toolbox":
            return _toolbox(pair, self.constrained)
        return prepared(self.ready)(pair.pan, pair.exp)


@method("bdsd-pc")
@dataclass(frozen=True)
class BdsdPc(Bdsd):
    """Band-dependent detail to which PAN adds and from which bands take away: robust where bands look alike.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    constrained: ClassVar[bool] = True
    cite: ClassVar[tuple[str, ...]] = ("garzelli2008", "vivone2019")


# ---- the product ---------------------------------------------------------------------------------


def _estimate(scene: SceneLike, constrained: bool) -> Detail:
    gains, ratio = ms_gains(scene.sensor), scene.grid.ratio
    parts = ((Moments.of(block), Moments.of(_one_scale_down(block, gains, ratio))) for block in scene.survey())
    scene_m, m = reduce(lambda a, b: (a[0].merge(b[0]), a[1].merge(b[1])), parts)
    if not m.count:
        raise SceneError("nowhere are enough valid pixels together for the regression of bdsd(-pc); try method gsa")
    size = len(gains) + 1
    covariance = m.covariance
    fit = solve(covariance[:size, :size], covariance[:size, size:], constrained)
    # A constant PAN has no detail; the bands alone would only sharpen themselves.
    fit = fit * bool(scene_m.std[0] > 0 and m.count >= LEAST * size)
    return Detail.of(fit, -(scene_m.mean @ fit))


def _one_scale_down(block: Reduced, gains: list[float], ratio: int) -> Reduced:
    """PAN beside (low-passed bands, details of the bands)."""
    ms, valid = block.ms.double(), block.valid
    here = valid.to(ms.dtype).expand_as(ms)
    support = _low_pass(here, gains, ratio)
    low = _low_pass(torch.where(valid, ms, 0.0), gains, ratio) / support.clamp_min(SUPPORT)
    valid = valid & (support >= SUPPORT).all(1, keepdim=True)
    return Reduced(block.pan.double(), torch.cat([low, ms - low], 1), valid)


def _low_pass(x: Tensor, gains: list[float], ratio: int) -> Tensor:
    """Blur by the MTF of a sensor `ratio` times coarser, not decimated."""
    # The same Gaussian as a degradation by 1: its gain where the fine grid has its Nyquist frequency.
    return physical.degrade(x, [gain ** (ratio * ratio) for gain in gains], 1, (0.0, 0.0))


# ---- the toolbox ---------------------------------------------------------------------------------


def _toolbox(pair: Pair, constrained: bool) -> Tensor:
    """In float64 whatever the images are: the normal equations square the condition of the bands."""
    double = replace(pair, pan=pair.pan.double(), ms=pair.ms.double(), exp=pair.exp.double())
    pan, _, exp = toolbox_inputs(double)
    if pair.ratio == 2 and not constrained:
        raise MethodError("form=toolbox of bdsd takes PAN at phase 2, so it has none at ratio 2; use form=physical")
    if pair.sensor is None:
        raise MethodError("bdsd filters with the MTF of the sensor's bands, and this pair has no sensor")
    gains, pan_gain = ms_gains(pair.sensor), pair.sensor.pan.mtf_nyquist
    reduced = toolbox.imresize(exp, 1 / pair.ratio, "bicubic")
    low = toolbox.mtf_filter(reduced, gains, pair.ratio)
    seen = toolbox.decimate(toolbox.mtf_filter(pan, [pan_gain], pair.ratio), pair.ratio)
    design, detail = torch.cat([seen, low], 1)[0].flatten(1), (reduced - low)[0].flatten(1)
    fit = solve(design @ design.T, design @ detail.T, constrained)
    return Detail.of(fit, torch.zeros(len(gains), dtype=torch.float64))(pan, exp).to(pair.exp)


# ---- least squares -------------------------------------------------------------------------------


def solve(gram: Float[Tensor, "n n"], target: Float[Tensor, "n C"], constrained: bool = False) -> Float[Tensor, "n C"]:
    """Least squares from the normal equations gram @ fit = target; minimum norm where they are dependent.

    Args:
        gram: products of the regressors, PAN first, float64.
        target: products of the regressors and what they fit.
        constrained: no coefficient of PAN below 0, none of a band above 0; exact, by an active set.
    """
    # Regressors of one length, so that the cut-off of dependent ones is the same in any units.
    size = gram.diagonal().clamp_min(0).sqrt()
    unit = torch.where(size > 0, 1 / size, torch.zeros_like(size))
    gram, target = gram * torch.outer(unit, unit), target * unit[:, None]
    if not constrained:
        return unit[:, None] * (torch.linalg.pinv(gram, hermitian=True, rtol=1e-10) @ target)
    sign = torch.full_like(unit, -1.0)
    sign[0] = 1.0
    gram, target = gram * torch.outer(sign, sign), target * sign[:, None]
    fit = torch.stack([nonnegative(gram, column) for column in target.T], 1)
    return (unit * sign)[:, None] * fit


def nonnegative(gram: Float[Tensor, "n n"], target: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The x >= 0 with the least x . gram x / 2 - target . x: the active-set method of Lawson and Hanson (1974)."""
    free, x = torch.zeros_like(target, dtype=torch.bool), torch.zeros_like(target)
    limit = 1e-12 * float(target.abs().max())
    for _ in range(10 * len(x)):
        slope = torch.where(free, -torch.inf, target - gram @ x)
        if float(slope.max()) <= limit:
            break
        free[slope.argmax()] = True
        x, free = _descend(gram, target, x, free)
    return x


def _descend(gram: Tensor, target: Tensor, x: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """Towards the least squares of the free variables; those that would turn negative are bound at 0."""
    while True:
        best = torch.zeros_like(x)
        best[free] = torch.linalg.pinv(gram[free][:, free], hermitian=True, rtol=1e-10) @ target[free]
        out = free & (best <= 0)
        if not bool(out.any()):
            return best, free
        # Those that come to 0 first; 0 / 0 cannot be, as what is free and at 0 is not best there.
        steps = torch.where(out, x / (x - best), torch.inf)
        step = steps.min()
        x = x + step * (best - x)
        free = free & (steps > step)
        x = torch.where(free, x, torch.zeros_like(x))
