"""The frame that component substitutions share: a component of the bands gives way to PAN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._statistics import Form, per_band, prepared, toolbox_inputs
from panloom.optics.moments import Moments, survey, whole
from panloom.pair import Pair, SceneLike
from panloom.types import Traits


@dataclass(frozen=True)
class Substitution:
    """A component substitution, ready to apply: exp + gains * (scale * pan + constant - weights . exp).

    Attributes:
        weights: of the bands in the component.
        gains: what each band takes of the difference.
        scale: of PAN, to the deviation of the component.
        constant: of PAN, to the mean of the component.
    """

    weights: tuple[float, ...]
    gains: tuple[float, ...]
    scale: float
    constant: float

    @staticmethod
    def of(weights: Tensor, gains: Tensor, scale: float, constant: float) -> Substitution:
        """From tensors with one number per band."""
        return Substitution(tuple(weights.tolist()), tuple(gains.tolist()), scale, constant)

    @staticmethod
    def equalised(m: Moments, weights: Float[Tensor, " C"], gains: Float[Tensor, " C"]) -> Substitution:
        """With PAN brought to mean and deviation of the component; nothing is injected if PAN is constant."""
        deviation, varies = m.deviation(weights), bool(m.std[0] > 0)
        scale = float(deviation / m.std[0]) if varies else 0.0
        constant = float(weights @ m.mean[1:] - scale * m.mean[0])
        # A constant PAN has no detail; putting it in place of the component would take that of MS away.
        return Substitution.of(weights, gains * varies, scale, constant)

    def __call__(self, pan: Float[Tensor, "b 1 H W"], exp: Float[Tensor, "b C H W"]) -> Float[Tensor, "b C H W"]:
        """The fused image."""
        weights = torch.tensor(self.weights, dtype=exp.dtype, device=exp.device)
        gains = per_band(self.gains, exp)
        component = torch.einsum("c,bchw->bhw", weights, exp)[:, None]
        return torch.addcmul(exp, gains, pan * self.scale + self.constant - component)


def injection_gains(covariance: Float[Tensor, "C C"], weights: Float[Tensor, " C"]) -> Float[Tensor, " C"]:
    """cov(I, band) / var(I) of the intensity I = weights . bands; zero where I is constant."""
    with_bands = covariance @ weights
    variance = float(weights @ with_bands)
    return with_bands / variance if variance > 0 else torch.zeros_like(with_bands)


def mean_weights(m: Moments) -> Float[Tensor, " C"]:
    """The weights of the plain mean of the bands."""
    bands = len(m.mean) - 1
    return torch.full((bands,), 1 / bands, dtype=torch.float64)


@dataclass(frozen=True)
class ComponentSubstitution(ABC):
    """A method whose only statistics are moments: a subclass says how they make a `Substitution`.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    form: Form = "physical"
    ready: Substitution | None = field(default=None, metadata={"option": False})
    cite: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fit(self, m: Moments) -> Substitution:
        """The substitution that the moments of (PAN, bands) ask for."""

    def fit_whole(self, pair: Pair, exp: Float[Tensor, "1 C H W"]) -> Substitution:
        """The substitution of the toolbox form: statistics of all of EXP and of PAN as it is."""
        return self.fit(whole(pair.pan, exp))

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        return Traits(tiling="exact" if self.form == "physical" else "whole", additive=True, cite=self.cite)

    def prepare(self, scene: SceneLike, rng: Generator) -> ComponentSubstitution:
        """Statistics of the scene on the MS grid."""
        return replace(self, ready=None if self.form == "toolbox" else self.fit(survey(scene)))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: exp + gains * (equalised pan - component)."""
        if self.form == "toolbox":
            pan, _, exp = toolbox_inputs(pair)
            return self.fit_whole(pair, exp)(pan, exp)
        return prepared(self.ready)(pair.pan, pair.exp)
