"""QNR and HQNR: one number without a reference, the product of what is left of spectral and of spatial quality.

QNR = (1 - D_lambda)(1 - D_s) with D_lambda between the bands; HQNR takes the D_lambda of Khan instead. HQNR has two
variants of very different values under one name: K-LR is the main one, since recent tables fit it, and K-PAN what the
public code computes; see `panloom.metrics.d_lambda_k`. D_s is the one with blocks of 32 (`panloom.metrics.d_s`).

The tally is that of both parts, each under its own name, so the parts' values can be had from it without more work,
and the tallies of several of these indices can be laid together.

Sources: L. Alparone et al., PE&RS 2008 (QNR); B. Aiazzi et al., "Full-scale assessment of pansharpening methods and
data products", SPIE 2014 (HQNR); G. Vivone et al., IEEE GRSM 2021 (protocol).
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Shaped
from torch import Tensor

from panloom.metrics import d_lambda, d_lambda_k, d_s
from panloom.metrics._full import FullMetric, FullScene
from panloom.metrics._metric import Core, Tally


@dataclass(frozen=True)
class Product:
    """(1 - spectral)(1 - spatial).

    Attributes:
        name: registry name.
        label: what is printed.
        spectral: a D_lambda.
        spatial: the D_s of the same form.
        cite: keys of `panloom/references.toml`.
    """

    name: str
    label: str
    spectral: FullMetric
    spatial: FullMetric
    cite: tuple[str, ...]

    def tally(
        self, fused: Shaped[Tensor, "b C H W"], full: FullScene, *, core: Core | None = None
    ) -> dict[str, Tensor]:
        """The tallies of both parts.

        Args:
            fused: the result, in the unit of `full`.
            full: the scene.
            core: the MS rows and columns that count; None: all.

        Raises:
            OptionError: as those of the parts.
        """
        return {**self.spectral.tally(fused, full, core=core), **self.spatial.tally(fused, full, core=core)}

    def value(self, tally: Tally) -> float:
        """The index: 1 is perfect.

        Raises:
            OptionError: as those of the parts.
        """
        return (1 - self.spectral.value(tally)) * (1 - self.spatial.value(tally))

    def metric(self) -> FullMetric:
        """The entry of the registry."""
        return FullMetric(
            name=self.name,
            label=self.label,
            unit="",
            better="high",
            perfect=1.0,
            needs="pair",
            scale_free=self.spectral.scale_free and self.spatial.scale_free,
            cite=self.cite,
            tally=self.tally,
            value=self.value,
            block=max(self.spectral.block, self.spatial.block),
            halo=max(self.spectral.halo, self.spatial.halo),
            form=self.spectral.form,
            tiling=self.spectral.tiling,
        )


def _hybrid(khan: d_lambda_k.Khan) -> FullMetric:
    spatial = d_s.D_S if khan.form == "toolbox" else d_s.D_S_PHYSICAL
    name = "hqnr" + ("-k-pan" if khan.scale == "K-PAN" else "") + khan.suffix
    return Product(name, f"HQNR[{khan.marks}]", khan.metric(), spatial, ("aiazzi2014", "vivone2021")).metric()


QNR = Product("qnr", "QNR", d_lambda.D_LAMBDA, d_s.D_S, ("alparone2008",)).metric()
QNR_PHYSICAL = Product(
    "qnr-physical", "QNR[physical]", d_lambda.D_LAMBDA_PHYSICAL, d_s.D_S_PHYSICAL, ("alparone2008",)
).metric()
HQNR = _hybrid(d_lambda_k.Khan("K-LR", "toolbox"))
HQNR_UNROUNDED = _hybrid(d_lambda_k.Khan("K-LR", "toolbox", rounded=False))
HQNR_PHYSICAL = _hybrid(d_lambda_k.Khan("K-LR", "physical"))
HQNR_PHYSICAL_UNROUNDED = _hybrid(d_lambda_k.Khan("K-LR", "physical", rounded=False))
HQNR_K_PAN = _hybrid(d_lambda_k.Khan("K-PAN", "toolbox"))
HQNR_K_PAN_UNROUNDED = _hybrid(d_lambda_k.Khan("K-PAN", "toolbox", rounded=False))
HQNR_K_PAN_PHYSICAL = _hybrid(d_lambda_k.Khan("K-PAN", "physical"))
HQNR_K_PAN_PHYSICAL_UNROUNDED = _hybrid(d_lambda_k.Khan("K-PAN", "physical", rounded=False))
