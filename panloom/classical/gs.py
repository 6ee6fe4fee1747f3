"""GS: Gram-Schmidt sharpening with the mean of the bands as simulated PAN.

Published: Laben and Brower, US patent 6,011,875 (2000), mode 1; as component substitution with gains: Aiazzi, Baronti
and Selva, IEEE TGRS 45 (2007). Ours: statistics on the MS grid with PAN seen through the MS optics, so that PAN is
equalised by what both images resolve. `form=toolbox` equalises with the deviation of the full PAN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from panloom.classical._injection import ComponentSubstitution, Substitution, injection_gains, mean_weights
from panloom.classical._registry import method
from panloom.optics.moments import Moments


@method("gs")
@dataclass(frozen=True)
class Gs(ComponentSubstitution):
    """Gram-Schmidt, mode 1. Not to be confused with gsa, which fits the weights of the simulated PAN.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("laben2000", "aiazzi2007")

    def fit(self, m: Moments) -> Substitution:
        """The mean of the bands gives way to PAN; each band takes its regression on that mean."""
        weights = mean_weights(m)
        return Substitution.equalised(m, weights, injection_gains(m.covariance[1:, 1:], weights))
