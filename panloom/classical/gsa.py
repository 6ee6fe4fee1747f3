"""GSA: adaptive Gram-Schmidt: the intensity is the regression of PAN on the bands.

Published: Aiazzi, Baronti and Selva, IEEE TGRS 45 (2007), no. 10. Ours: regression and gains on the MS grid with PAN
seen through the MS optics at the true phase (`Reduced`), merged over blocks. `form=toolbox` low-passes PAN with the
undecimated-wavelet filter and takes the gains on EXP, as the reference toolbox does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._registry import method
from panloom.classical._statistics import Form, per_band, survey, toolbox_inputs, whole
from panloom.classical.gs import Substitution, injection_gains
from panloom.errors import MethodError
from panloom.pair import Pair, SceneLike
from panloom.types import Traits


@method("gsa")
@dataclass(frozen=True)
class Gsa:
    """Adaptive Gram-Schmidt.

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
        return Traits(tiling=tiling, additive=True, cite=("aiazzi2007",))

    def prepare(self, scene: SceneLike, rng: Generator) -> Gsa:
        """Weights, constant and gains from the moments of the scene."""
        if self.form == "toolbox":
            return replace(self)
        m = survey(scene)
        weights, constant = m.regression()
        gains = injection_gains(m.covariance[1:, 1:], weights)
        return replace(self, ready=Substitution(tuple(weights.tolist()), tuple(gains.tolist()), 1.0, -constant))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: exp + gains * (pan - regression of pan on the bands)."""
        if self.form == "toolbox":
            return _toolbox(pair)
        if self.ready is None:
            raise MethodError("gsa has no statistics yet: call prepare(scene, rng) first")
        return self.ready(pair)


def _toolbox(pair: Pair) -> Tensor:
    from panloom.optics import toolbox

    pan, ms, exp = toolbox_inputs(pair)
    low = toolbox.decimate(toolbox.atrous(pan - pan.mean(), pair.ratio), pair.ratio)
    ms = ms - ms.mean((2, 3), keepdim=True)
    design = torch.cat([ms.flatten(2), torch.ones_like(ms[:, :1]).flatten(2)], 1)[0].T
    fit = torch.linalg.lstsq(design.double(), low.flatten().double()[:, None]).solution[:-1, 0]
    m = whole(pan, exp)
    centred = exp - per_band(m.mean[1:], exp)
    detail = pan - m.mean[0] - torch.einsum("c,bchw->bhw", fit.to(exp), centred)[:, None]
    return exp + per_band(injection_gains(m.covariance[1:, 1:], fit), exp) * detail
