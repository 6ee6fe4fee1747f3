"""GSA: adaptive Gram-Schmidt: the intensity is the regression of PAN on the bands.

Published: Aiazzi, Baronti and Selva, IEEE TGRS 45 (2007), no. 10. Ours: regression and gains on the MS grid with PAN
seen through the MS optics at the true phase (`Reduced`), merged over blocks. `form=toolbox` low-passes PAN with the
undecimated-wavelet filter and takes the gains on EXP, as the reference toolbox does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from panloom.classical._injection import ComponentSubstitution, Substitution, injection_gains
from panloom.classical._registry import method
from panloom.optics import toolbox
from panloom.optics.moments import Moments, whole
from panloom.pair import Pair


@method("gsa")
@dataclass(frozen=True)
class Gsa(ComponentSubstitution):
    """Adaptive Gram-Schmidt.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("aiazzi2007",)

    def fit(self, m: Moments) -> Substitution:
        """The regression of PAN on the bands gives way to PAN."""
        weights, constant = m.regression()
        return Substitution.of(weights, injection_gains(m.covariance[1:, 1:], weights), 1.0, -constant)

    def fit_whole(self, pair: Pair, exp: Float[Tensor, "1 C H W"]) -> Substitution:
        """The weights from MS and the low pass of PAN, the rest from EXP and PAN."""
        low = toolbox.decimate(toolbox.atrous(pair.pan - pair.pan.mean(), pair.ratio), pair.ratio)
        weights, _ = whole(low, pair.ms).regression()
        m = whole(pair.pan, exp)
        constant = float(weights @ m.mean[1:] - m.mean[0])
        return Substitution.of(weights, injection_gains(m.covariance[1:, 1:], weights), 1.0, constant)
