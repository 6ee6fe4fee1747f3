"""Brovey: every band times PAN over a weighted sum of the bands.

Published: Gillespie, Kahle and Walker (1987); weighted form as used by GIS tools. Ours: the weights are fitted on the
scene (least squares without a constant, PAN seen through the MS optics), so that colours keep their level.
`form=toolbox` is the rule of the reference toolbox: the mean of the bands as intensity and PAN equalised to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._registry import method
from panloom.classical._statistics import EPS, Form, safe_ratio, toolbox_inputs
from panloom.errors import MethodError
from panloom.optics.moments import survey, whole
from panloom.pair import Pair, SceneLike
from panloom.types import Traits


@method("brovey")
@dataclass(frozen=True)
class Brovey:
    """Ratio sharpening with an intensity that is a weighted sum of the bands.

    Attributes:
        weights: one per sharpened band; None: fitted on the scene.
        form: `physical` or `toolbox`.
        ready: the weights in use, made by `prepare`.
    """

    weights: tuple[float, ...] | None = None
    form: Form = "physical"
    ready: tuple[float, ...] | None = field(default=None, metadata={"option": False})

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        tiling = "exact" if self.form == "physical" else "whole"
        return Traits(tiling=tiling, cite=("gillespie1987",))

    def prepare(self, scene: SceneLike, rng: Generator) -> Brovey:
        """Fit the weights, unless they were given.

        Raises:
            MethodError: the number of given weights is not that of the bands, or their sum is not positive.
        """
        if self.form == "toolbox":
            return replace(self)
        bands = [band.name for band in scene.sensor.bands]
        if self.weights is None:
            return replace(self, ready=tuple(survey(scene).proportional().tolist()))
        if len(self.weights) != len(bands) or sum(self.weights) <= 0:
            raise MethodError(
                f"brovey needs {len(bands)} weights with a positive sum (one for each of {', '.join(bands)}); "
                f"given: {', '.join(f'{w:g}' for w in self.weights)}"
            )
        return replace(self, ready=self.weights)

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: exp * pan / sum of weights * exp."""
        if self.form == "toolbox":
            return _toolbox(pair)
        if self.ready is None:
            raise MethodError("brovey has no weights yet: call prepare(scene, rng) first")
        weights = torch.tensor(self.ready, dtype=pair.exp.dtype, device=pair.exp.device)
        intensity = torch.einsum("c,bchw->bhw", weights, pair.exp)[:, None]
        return pair.exp * safe_ratio(pair.pan, intensity)


def _toolbox(pair: Pair) -> Tensor:
    pan, _, exp = toolbox_inputs(pair)
    intensity = exp.mean(1, keepdim=True)
    m = whole(pan, intensity)
    equalised = (pan - m.mean[0]) * (m.std[1] / m.std[0]) + m.mean[1]
    return exp * (equalised / (intensity + EPS))
