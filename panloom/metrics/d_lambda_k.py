"""D_lambda of Khan: how far the fused image, degraded as by the MS optics, is from the MS; 1 less its Q2n.

Two variants are in use under one name, and their values differ by a factor of about two:

- K-LR: degraded and decimated, against the original MS; blocks of 32 MS pixels.
- K-PAN: degraded but not decimated, against EXP; blocks of 32 PAN pixels.

Each in the toolbox form, whose 41-tap kernels and phase ratio // 2 published tables stand on, and in the physical one
at the pair's true phase. Data that are no digital numbers need the unrounded form of Q2n, which is told in the label.

A block that is constant in the reference is worth 0 unless the degraded image is the same constant, as Q2n has it. The
kernels of the toolbox form darken by up to 0.2 %, so there only rounding makes constants equal.

Sources: M. M. Khan, L. Alparone and J. Chanussot, "Pansharpening quality assessment using the modulation transfer
functions of instruments", IEEE TGRS 2009; G. Vivone et al., IEEE GRSM 2021 (protocol). The physical form is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from panloom.errors import OptionError
from panloom.metrics._blocks import SIZE, q2n
from panloom.metrics._full import (
    HALO,
    Form,
    FullMetric,
    FullScene,
    digital,
    named,
    on_pan,
    own,
    spread,
    whole_only,
)
from panloom.metrics._metric import Core, Tally, compared, finite, windows

Scale = Literal["K-LR", "K-PAN"]

#: Differences below this part of the reference are the rounding of the operators (in the toolbox form, whose filter
#: goes through a Fourier transform, of its largest value). Q2n would blow them up in blocks of a constant reference.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Khan:
    """One variant.

    Attributes:
        scale: the grid that is compared on.
        form: how the sensor is modelled.
        rounded: both images are rounded to whole digital numbers first, as the published code does.
    """

    scale: Scale
    form: Form
    rounded: bool = True

    @property
    def marks(self) -> str:
        """What sets the variant apart in its label."""
        physical = ",physical" if self.form == "physical" else ""
        return self.scale + physical + ("" if self.rounded else ",unrounded")

    @property
    def suffix(self) -> str:
        """What sets form and rounding apart in the registry name."""
        return ("-physical" if self.form == "physical" else "") + ("" if self.rounded else "-unrounded")

    @property
    def name(self) -> str:
        """Registry name."""
        return "d-lambda-khan" + ("-pan" if self.scale == "K-PAN" else "") + self.suffix

    @property
    def label(self) -> str:
        """What is printed."""
        return f"D_lambda[khan,{self.marks}]"

    def tally(
        self, fused: Shaped[Tensor, "b C H W"], full: FullScene, *, core: Core | None = None
    ) -> dict[str, Tensor]:
        """Sum of Q2n over the blocks that are valid at half of their pixels at least, and how much MS varies.

        Blocks that stick out of the scene on the right or below are filled up by mirroring.

        Args:
            fused: the result, in the unit of `full`.
            full: the scene.
            core: the MS rows and columns that count; None: all.

        Raises:
            OptionError: shapes differ, the core is not in the image, or a core in the toolbox form.
        """
        whole_only(self.label, self.form, core)
        ms = full.ms.double()
        if self.scale == "K-LR":
            images = full.degraded(fused, self.form), ms, full.low_valid(self.form)
            test, reference, valid = compared(*images, core)
        else:
            images = full.blurred(fused, self.form), full.exp(self.form), full.blurred_valid
            test, reference, valid = compared(*images, on_pan(core, full.ratio))
        size = reference.abs().amax() if self.form == "toolbox" else reference.abs()
        test = torch.where((test - reference).abs() <= _ROUNDING * size, reference, test)
        values, counts = q2n(reference, test, valid, SIZE, rounded=self.rounded)
        sums = {"sum": values.sum(), "count": counts.sum(dtype=torch.float64)}
        if self.rounded:
            inner, _, inner_valid = compared(ms, ms, full.ms_valid, core)
            sums |= spread(inner, inner_valid)
        return named(self.name, sums)

    def value(self, tally: Tally) -> float:
        """1 less the mean over the blocks: 0 is perfect, 1 bad.

        Raises:
            OptionError: no block counts, an image has NaN or infinite pixels that count, or values that are
                rounded are no digital numbers.
        """
        sums = own(self.name, tally)
        number = finite(self.label, 1 - float(sums["sum"]) / windows(self.label, sums["count"], SIZE))
        if self.rounded and not digital(sums):
            raise OptionError(
                f"{self.label} rounds to whole numbers, and MS holds fractions that vary by less than 1: give digital "
                f"numbers, or use {self.name}-unrounded"
            )
        return number

    def metric(self) -> FullMetric:
        """The entry of the registry."""
        return FullMetric(
            name=self.name,
            label=self.label,
            unit="",
            better="low",
            perfect=0.0,
            needs="pair",
            scale_free=not self.rounded,
            cite=("khan2009", "vivone2021"),
            tally=self.tally,
            value=self.value,
            block=SIZE,
            halo=HALO,
            form=self.form,
            tiling="exact" if self.form == "physical" else "whole",
        )


D_LAMBDA_KHAN = Khan("K-LR", "toolbox").metric()
D_LAMBDA_KHAN_UNROUNDED = Khan("K-LR", "toolbox", rounded=False).metric()
D_LAMBDA_KHAN_PHYSICAL = Khan("K-LR", "physical").metric()
D_LAMBDA_KHAN_PHYSICAL_UNROUNDED = Khan("K-LR", "physical", rounded=False).metric()
D_LAMBDA_KHAN_PAN = Khan("K-PAN", "toolbox").metric()
D_LAMBDA_KHAN_PAN_UNROUNDED = Khan("K-PAN", "toolbox", rounded=False).metric()
D_LAMBDA_KHAN_PAN_PHYSICAL = Khan("K-PAN", "physical").metric()
D_LAMBDA_KHAN_PAN_PHYSICAL_UNROUNDED = Khan("K-PAN", "physical", rounded=False).metric()
