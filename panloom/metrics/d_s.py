"""D_s: how much the likeness of each band to PAN changes from MS beside a PAN of its sharpness to the fused image.

The likeness is the UQI of the band and PAN, averaged over blocks or windows; the index is the mean over the bands of
the absolute change. Variants differ in where the MS is looked at, and their values several times:

- vivone2021: EXP beside the smoothed PAN on PAN's grid, in blocks of 32, 16 or 8 PAN pixels;
- qnr2008: the MS itself beside the low-resolution PAN, in blocks of the same ground (32 / ratio MS pixels);
- sliding32: as qnr2008, but windows of 32 pixels that slide by one pixel on either grid.

In the toolbox form PAN is made smooth by bicubic resampling; in the physical form, which is ours, by PAN's own MTF,
sampled and interpolated at the true phase. Blocks are whole ones from the upper left corner on: what sticks out on the
right and below is left out. (The reference toolbox refuses images that are no multiple of 32.)

Sources: L. Alparone et al., "Multispectral and panchromatic data fusion assessment without reference", PE&RS 2008;
G. Vivone et al., IEEE GRSM 2021 (protocol).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.metrics._blocks import SIZE, uqi
from panloom.metrics._full import HALO, Form, FullMetric, FullScene, named, on_pan, own, whole_only
from panloom.metrics._metric import Core, Tally, compared, finite, windows
from panloom.metrics._windows import sliding_uqi
from panloom.metrics.d_lambda import low_block

Scale = Literal["exp", "lr", "sliding"]

_SUFFIX = {"exp": "", "lr": "-qnr2008", "sliding": "-sliding"}


@dataclass(frozen=True)
class SpatialDistortion:
    """One variant.

    Attributes:
        scale: MS is looked at as EXP on PAN's grid, or as it is on its own; in blocks, or in sliding windows.
        form: how the sensor is modelled.
        size: PAN pixels along one side of a block.
    """

    scale: Scale
    form: Form
    size: int = SIZE

    @property
    def name(self) -> str:
        """Registry name."""
        size = "" if self.size == SIZE else f"-block{self.size}"
        return "d-s" + _SUFFIX[self.scale] + size + ("" if self.form == "toolbox" else "-physical")

    @property
    def label(self) -> str:
        """What is printed. A PAN that goes through its MTF is not smoothed by bicubic resampling."""
        low = {"toolbox": "bicubic", "physical": "physical"}[self.form]
        form = "" if self.form == "toolbox" else ",physical"
        return {
            "exp": f"D_s[vivone2021,block{self.size},{low}]",
            "lr": f"D_s[qnr2008,lr,block32/r{form}]",
            "sliding": f"D_s[sliding32,lr{form}]",
        }[self.scale]

    def tally(
        self, fused: Shaped[Tensor, "b C H W"], full: FullScene, *, core: Core | None = None
    ) -> dict[str, Tensor]:
        """Sums per band of the UQI with PAN: of the fused image, and of MS with the smooth PAN.

        Blocks and windows count that are valid at half of their pixels at least; a pixel is where PAN, MS and
        the smooth PAN are.

        Args:
            fused: the result, in the unit of `full`.
            full: the scene.
            core: the MS rows and columns that count, by the centres of sliding windows; None: all.

        Raises:
            OptionError: shapes differ, the core is not in the image, or a core in the toolbox form.
        """
        whole_only(self.label, self.form, core)
        full.check(fused)
        sums, count = self._sums(fused, full.pan, full.smooth_valid(self.form), on_pan(core, full.ratio), self.size)
        old, old_count = full.once(f"{self.name} {core}", lambda: self._old(full, core))
        return named(self.name, {"fused": sums, "fused count": count, "ms": old, "ms count": old_count})

    def _old(self, full: FullScene, core: Core | None) -> tuple[Tensor, Tensor]:
        if self.scale == "exp":
            images = full.exp(self.form), full.smooth_pan(self.form), full.smooth_valid(self.form)
            return self._sums(*images, on_pan(core, full.ratio), self.size)
        size = SIZE if self.scale == "sliding" else low_block(full.ratio)
        return self._sums(full.ms, full.low_pan(self.form), full.low_valid(self.form), core, size)

    def _sums(
        self,
        image: Shaped[Tensor, "b C H W"],
        pan: Shaped[Tensor, "b 1 H W"],
        valid: Bool[Tensor, "b 1 H W"],
        core: Core | None,
        size: int,
    ) -> tuple[Float64[Tensor, " C"], Float64[Tensor, ""]]:
        sliding = self.scale == "sliding"
        images = compared(image, pan.expand_as(image), valid, core, size if sliding else 1)
        values, counts = sliding_uqi(*images, size) if sliding else uqi(*images, size)
        return values.sum((0, 2, 3)), counts.sum(dtype=torch.float64)

    def per_band(self, tally: Tally) -> Float64[Tensor, " C"]:
        """The absolute change of each band.

        Raises:
            OptionError: no block or window counts.
        """
        sums = own(self.name, tally)
        new, old = (sums[key] / windows(self.label, sums[f"{key} count"], self.size) for key in ("fused", "ms"))
        return (new - old).abs()

    def value(self, tally: Tally) -> float:
        """Mean over the bands: 0 is perfect, at most 2.

        Raises:
            OptionError: as `per_band`, or an image has NaN or infinite pixels that count.
        """
        return finite(self.label, float(self.per_band(tally).mean()))

    def metric(self) -> FullMetric:
        """The entry of the registry."""
        return FullMetric(
            name=self.name,
            label=self.label,
            unit="",
            better="low",
            perfect=0.0,
            needs="pair",
            scale_free=True,
            cite=("alparone2008", "vivone2021"),
            tally=self.tally,
            value=self.value,
            bands=self.per_band,
            block=1 if self.scale == "sliding" else SIZE,
            halo=HALO + SIZE // 2 if self.scale == "sliding" else HALO,
            form=self.form,
            tiling="exact" if self.form == "physical" else "whole",
        )


D_S = SpatialDistortion("exp", "toolbox").metric()
D_S_PHYSICAL = SpatialDistortion("exp", "physical").metric()
D_S_BLOCK16 = SpatialDistortion("exp", "toolbox", 16).metric()
D_S_BLOCK16_PHYSICAL = SpatialDistortion("exp", "physical", 16).metric()
D_S_BLOCK8 = SpatialDistortion("exp", "toolbox", 8).metric()
D_S_BLOCK8_PHYSICAL = SpatialDistortion("exp", "physical", 8).metric()
D_S_QNR2008 = SpatialDistortion("lr", "toolbox").metric()
D_S_QNR2008_PHYSICAL = SpatialDistortion("lr", "physical").metric()
D_S_SLIDING = SpatialDistortion("sliding", "toolbox").metric()
D_S_SLIDING_PHYSICAL = SpatialDistortion("sliding", "physical").metric()
