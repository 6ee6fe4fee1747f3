"""GS2-GLP: the details of a generalised Laplacian pyramid with the gains of Gram-Schmidt mode 2.

Published: mode 2 of the Gram-Schmidt patent takes low-passed PAN as the simulated PAN (Laben and Brower, 2000); with
the sensor's MTF as low pass (Aiazzi et al., PE&RS 72, 2006) and the gain cov(low pass, band) / var(low pass), it took
part in the contest of Alparone et al., IEEE TGRS 45 (2007). Ours: the gains from the MS grid, where PAN is seen
through the MS optics; in the `physical` form that makes it mtf-glp-fs, which differs by PAN at full scale in its
gains. `form=toolbox` equals the reference toolbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from panloom.classical._multiresolution import Equalised, Multiresolution, regression_gain
from panloom.classical._registry import method
from panloom.classical._statistics import per_band, toolbox_inputs
from panloom.classical.mtf_glp import low_pass, ms_gains, toolbox_low_pass
from panloom.optics import physical
from panloom.optics.moments import survey, whole
from panloom.pair import Pair, SceneLike
from panloom.types import Grid, Sensor


@method("gs2-glp")
@dataclass(frozen=True)
class Gs2Glp(Multiresolution):
    """Adds what PAN has above the MTF of each band, with the gain of a regression on low-passed PAN.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("laben2000", "aiazzi2006", "alparone2007")

    def reach(self, grid: Grid, sensor: Sensor) -> int:
        """That of the widest MTF, there and back."""
        return max(physical.round_trip_reach(gain, grid.ratio, grid.phase) for gain in ms_gains(sensor))

    def low_pass(self, pair: Pair) -> Float[Tensor, "b c H W"]:
        """PAN as each band's optics would let it pass."""
        return low_pass(pair)

    def fit(self, scene: SceneLike, reach: int) -> Equalised:
        """The slope of each band's regression on PAN."""
        m = survey(scene)
        return Equalised.of(m, regression_gain(m), reach)

    def toolbox(self, pair: Pair) -> Float[Tensor, "1 C H W"]:
        """Exp + cov(low pass, exp) / var(low pass) * (pan - low pass)."""
        pan, _, exp = toolbox_inputs(pair)
        low, bands = toolbox_low_pass(pan, pair), exp.shape[1]
        covariance = whole(pan, exp, low).covariance[1:, 1:]
        gain = covariance.diagonal(bands) / covariance.diagonal()[bands:]
        return exp + per_band(gain, exp) * (pan - low)
