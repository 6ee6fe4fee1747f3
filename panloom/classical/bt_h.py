"""BT-H: Brovey with haze correction and an intensity fitted to PAN.

Published: Lolli, Alparone, Garzelli and Vivone, IEEE GRSL 14 (2017): what the atmosphere adds is taken away before
the ratio and put back after it; the weights of the intensity are the regression of low-passed PAN on the bands,
without a constant. Ours: statistics on the MS grid with PAN seen through the MS optics; haze of bands that are not
blue, green, red, nir (`survey_and_haze`); pixels darker than the haze stay as they are; and the intensity in the
denominator is never less than half its mean, so that noise in dark places is not blown up. `form=toolbox` equals the
reference toolbox.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._multiresolution import FLOOR, modulate
from panloom.classical._registry import method
from panloom.classical._statistics import EPS, Form, per_band, prepared, survey_and_haze, toolbox_haze, toolbox_inputs
from panloom.optics import toolbox
from panloom.optics.moments import Moments, whole
from panloom.pair import Pair, SceneLike
from panloom.types import Traits


@dataclass(frozen=True)
class Intensity:
    """The intensity of haze-free bands, weights . (bands - haze), and PAN brought to it: scale * pan + constant.

    Attributes:
        weights: of the bands; all 0 where PAN is constant and has nothing to give.
        haze: of the bands.
        scale: of PAN, to the deviation of the intensity.
        constant: of PAN, to the mean of the intensity.
        mean: of the intensity.
    """

    weights: tuple[float, ...]
    haze: tuple[float, ...]
    scale: float
    constant: float
    mean: float

    @staticmethod
    def of(m: Moments, haze: Float[Tensor, " C"]) -> Intensity:
        """From the moments of (PAN, bands)."""
        varies = bool(m.std[0] > 0)
        weights = m.proportional() * varies
        mean = float(weights @ (m.mean[1:] - haze))
        deviation = m.deviation(weights)
        scale = float(deviation / m.std[0]) if varies else 0.0
        return Intensity(tuple(weights.tolist()), tuple(haze.tolist()), scale, mean - scale * float(m.mean[0]), mean)

    def parts(self, pan: Tensor, exp: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Haze, haze-free bands, intensity, equalised PAN."""
        haze = per_band(self.haze, exp)
        weights = torch.tensor(self.weights, dtype=exp.dtype, device=exp.device)
        clear = exp - haze
        intensity = torch.einsum("c,bchw->bhw", weights, clear)[:, None]
        return haze, clear.clamp_min(0), intensity, pan * self.scale + self.constant


@method("bt-h")
@dataclass(frozen=True)
class BtH:
    """Haze-corrected Brovey. Not to be confused with brovey, which takes the ratio of hazy values.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    form: Form = "physical"
    ready: Intensity | None = field(default=None, metadata={"option": False})

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        return Traits(tiling="exact" if self.form == "physical" else "whole", cite=("lolli2017",))

    def prepare(self, scene: SceneLike, rng: Generator) -> BtH:
        """Haze, weights and equalisation of the scene."""
        return replace(self, ready=None if self.form == "toolbox" else Intensity.of(*survey_and_haze(scene)))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: (exp - haze) * equalised pan / intensity + haze."""
        if self.form == "toolbox":
            return _toolbox(pair)
        ready = prepared(self.ready)
        _, clear, intensity, pan = ready.parts(pair.pan, pair.exp)
        return pair.exp - clear + modulate(clear, pan - intensity, intensity, FLOOR * ready.mean)


def _toolbox(pair: Pair) -> Tensor:
    pan, _, exp = toolbox_inputs(pair)
    low = toolbox.correlate(pan, toolbox.generic_gaussian(pair.ratio))
    haze, clear, intensity, equalised = Intensity.of(whole(low, exp), toolbox_haze(exp)).parts(pan, exp)
    return clear * (equalised / (intensity + EPS)) + haze
