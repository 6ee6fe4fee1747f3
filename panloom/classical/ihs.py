"""IHS: the intensity, the mean of the bands, gives way to PAN, and every band takes the whole difference.

Published: Carper, Lillesand and Kiefer, PE&RS 56 (1990), for three bands; in the additive form for any number of
bands: Tu, Su, Shyu and Huang, Information Fusion 2 (2001). Ours: statistics on the MS grid with PAN seen through the
MS optics. `form=toolbox` equalises with the deviation of the full PAN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from panloom.classical._injection import ComponentSubstitution, Substitution, mean_weights
from panloom.classical._registry import method
from panloom.optics.moments import Moments


@method("ihs")
@dataclass(frozen=True)
class Ihs(ComponentSubstitution):
    """Intensity substitution with gain 1. Not to be confused with gs, whose gains are regressions.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("carper1990", "tu2001")

    def fit(self, m: Moments) -> Substitution:
        """The mean of the bands gives way to PAN; each band takes the same."""
        weights = mean_weights(m)
        return Substitution.equalised(m, weights, torch.ones_like(weights))
