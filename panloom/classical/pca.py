"""PCA: the first principal component of the bands gives way to PAN.

Published: Chavez and Kwarteng, PE&RS 55 (1989). Ours: statistics on the MS grid with PAN seen through the MS optics,
and the sign of the component, which the transform leaves open: the one with which it goes along with PAN. Where the
first component goes against PAN (infrared bands over vegetation) the other sign would turn details round.
`form=toolbox` makes the component's largest entry positive and equalises with the deviation of the full PAN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from panloom.classical._injection import ComponentSubstitution, Substitution
from panloom.classical._registry import method
from panloom.optics.moments import Moments


@method("pca")
@dataclass(frozen=True)
class Pca(ComponentSubstitution):
    """Substitution of the first principal component, taken from the covariance of the bands.

    Attributes:
        form: `physical` or `toolbox`.
        ready: made by `prepare`.
    """

    cite: ClassVar[tuple[str, ...]] = ("chavez1989",)

    def fit(self, m: Moments) -> Substitution:
        """The first eigenvector is weights and gains at once."""
        covariance = m.covariance
        first = torch.linalg.eigh(covariance[1:, 1:]).eigenvectors[:, -1]
        along = first @ covariance[1:, 0]
        if self.form == "toolbox" or not along:
            along = first[first.abs().argmax()]
        first = first if along > 0 else -first
        return Substitution.equalised(m, first, first)
