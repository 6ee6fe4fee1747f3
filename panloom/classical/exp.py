"""EXP: the interpolated multispectral image, without any detail of PAN; the zero line of every comparison.

Published: interpolation of the bands to the PAN grid. Ours: the windowed sinc for real phases
(`panloom.optics.physical`).
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Generator, Tensor

from panloom.classical._registry import method
from panloom.classical._statistics import Form, toolbox_inputs
from panloom.pair import Pair, SceneLike
from panloom.types import Traits


@method("exp")
@dataclass(frozen=True)
class Exp:
    """The interpolated bands. Not to be confused with a fused image: nothing of PAN enters.

    Attributes:
        form: `physical` or `toolbox` (23 taps, circular borders).
    """

    form: Form = "physical"

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        return Traits(tiling="exact" if self.form == "physical" else "whole", additive=True, cite=("aiazzi2002",))

    def prepare(self, scene: SceneLike, rng: Generator) -> Exp:
        """Nothing is taken from the scene."""
        return Exp(self.form)

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """`pair.exp`, copied."""
        return pair.exp.clone() if self.form == "physical" else toolbox_inputs(pair)[2]
