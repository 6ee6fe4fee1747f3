"""SFIM: smoothing-filter-based intensity modulation.

Published: Liu, International Journal of Remote Sensing 21 (2000): every band times PAN over its box mean. The box has
the odd size next to the ratio (5 for 4, 3 for 2 and 3). `form=toolbox` first equalises PAN to each band.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._multiresolution import equalise
from panloom.classical._registry import method
from panloom.classical._statistics import EPS, Form, safe_ratio, toolbox_inputs
from panloom.optics import toolbox
from panloom.pair import Pair, SceneLike
from panloom.types import Traits


@method("sfim")
@dataclass(frozen=True)
class Sfim:
    """Ratio sharpening with the box mean of PAN. Not to be confused with mtf-glp-hpm, whose low pass is the sensor's.

    Attributes:
        form: `physical` or `toolbox`.
    """

    form: Form = "physical"

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        if self.form == "toolbox":
            return Traits(tiling="whole", cite=("liu2000",))
        return Traits(halo=1, cite=("liu2000",))

    def prepare(self, scene: SceneLike, rng: Generator) -> Sfim:
        """Nothing is taken from the scene."""
        return Sfim(self.form)

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile: exp * pan / box mean of pan."""
        if self.form == "toolbox":
            return _toolbox(pair)
        return pair.exp * safe_ratio(pair.pan, box_mean(pair.pan, pair.ratio))


def box_mean(pan: Float[Tensor, "b c H W"], ratio: int) -> Float[Tensor, "b c H W"]:
    """Mean over the centred square of odd size 2 * (ratio // 2) + 1, replicated borders."""
    return toolbox.box_filter(pan, 2 * (ratio // 2) + 1)


def _toolbox(pair: Pair) -> Tensor:
    pan, _, exp = toolbox_inputs(pair)
    equalised = equalise(pan, exp, pan)
    return exp * equalised / (box_mean(equalised, pair.ratio) + EPS)
