"""HPF: high-pass filtering: adds to every band what PAN has above its local mean.

Published: Chavez, Sides and Anderson, PE&RS 57 (1991). Ours: the box of SFIM, of the odd size next to the ratio, and
PAN equalised to every band by its deviation on the MS grid. `form=toolbox` takes the deviation of the full PAN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from panloom.classical._multiresolution import Multiresolution, equalise
from panloom.classical._registry import method
from panloom.classical._statistics import toolbox_inputs
from panloom.classical.sfim import box_mean
from panloom.pair import Pair
from panloom.types import Grid, Sensor


@method("hpf")
@dataclass(frozen=True)
class Hpf(Multiresolution):
    """Additive sharpening with the box mean of PAN. Not to be confused with sfim, which multiplies.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("chavez1991",)
    usual_reach: ClassVar[int] = 1

    def reach(self, grid: Grid, sensor: Sensor) -> int:
        """One cell: the box reaches half the ratio."""
        return 1

    def low_pass(self, pair: Pair) -> Float[Tensor, "b 1 H W"]:
        """The box mean of PAN."""
        return box_mean(pair.pan, pair.ratio)

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """Exp + equalised pan - its box mean."""
        pan, _, exp = toolbox_inputs(pair)
        equalised = equalise(pan, exp, pan)
        return exp + equalised - box_mean(equalised, pair.ratio)
