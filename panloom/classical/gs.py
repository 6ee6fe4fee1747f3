"""GS: Gram-Schmidt sharpening with the mean of the bands as simulated PAN.

Published: Laben and Brower, US patent 6,011,875 (2000), mode 1; as component substitution with gains: Aiazzi, Baronti
and Selva, IEEE TGRS 45 (2007). Ours: statistics on the MS grid with PAN seen through the MS optics, so that PAN is
equalised by what both images resolve. `form=toolbox` equalises with the deviation of the full PAN.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._registry import method
from panloom.classical._statistics import Form, per_band, survey, toolbox_inputs, whole
from panloom.errors import MethodError
from panloom.pair import Pair, SceneLike
from panloom.types import Traits


@dataclass(frozen=True)
class Substitution:
    """A component substitution, ready to apply: exp + gains * (scale * pan + constant - weights . exp)."""

    weights: tuple[float, ...]
    gains: tuple[float, ...]
    scale: float
    constant: float

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        weights = torch.tensor(self.weights, dtype=pair.exp.dtype, device=pair.exp.device)
        gains = per_band(torch.tensor(self.gains, dtype=torch.float64), pair.exp)
        intensity = torch.einsum("c,bchw->bhw", weights, pair.exp)[:, None]
        detail = pair.pan * self.scale + self.constant - intensity
        return torch.addcmul(pair.exp, gains, detail)


def injection_gains(covariance: Float[Tensor, "C C"], weights: Float[Tensor, " C"]) -> Float[Tensor, " C"]:
    """cov(I, band) / var(I) of the intensity I = weights . bands; zero where I is constant."""
    with_bands = covariance @ weights
    variance = float(weights @ with_bands)
    return with_bands / variance if variance > 0 else torch.zeros_like(with_bands)


@method("gs")
@dataclass(frozen=True)
class Gs:
    """Gram-Schmidt, mode 1. Not to be confused with gsa, which fits the weights of the simulated PAN.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    form: Form = "physical"
    ready: Substitution | None = field(default=None, metadata={"option": False})

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        tiling = "exact" if self.form == "physical" else "whole"
        return Traits(tiling=tiling, additive=True, cite=("laben2000", "aiazzi2007"))

    def prepare(self, scene: SceneLike, rng: Generator) -> Gs:
        """Gains and equalisation from the moments of the scene."""
        if self.form == "toolbox":
            return replace(self)
        m = survey(scene)
        bands = len(m.mean) - 1
        weights = torch.full((bands,), 1 / bands, dtype=torch.float64)
        covariance = m.covariance[1:, 1:]
        scale = float((weights @ covariance @ weights).clamp_min(0).sqrt() / m.std[0]) if m.std[0] > 0 else 0.0
        constant = float(weights @ m.mean[1:] - scale * m.mean[0])
        # A constant PAN has no detail; putting it in place of the intensity would take that of MS away.
        gains = injection_gains(covariance, weights) * float(m.std[0] > 0)
        return replace(self, ready=Substitution(tuple(weights.tolist()), tuple(gains.tolist()), scale, constant))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: exp + gains * (equalised pan - mean of the bands)."""
        if self.form == "toolbox":
            return _toolbox(pair)
        if self.ready is None:
            raise MethodError("gs has no statistics yet: call prepare(scene, rng) first")
        return self.ready(pair)


def _toolbox(pair: Pair) -> Tensor:
    pan, _, exp = toolbox_inputs(pair)
    bands = exp.shape[1]
    m = whole(pan, exp)
    weights = torch.full((bands,), 1 / bands, dtype=torch.float64)
    deviation = (weights @ m.covariance[1:, 1:] @ weights).sqrt()
    intensity = (exp - per_band(m.mean[1:], exp)).mean(1, keepdim=True)
    detail = (pan - m.mean[0]) * (deviation / m.std[0]) - intensity
    return exp + per_band(injection_gains(m.covariance[1:, 1:], weights), exp) * detail
