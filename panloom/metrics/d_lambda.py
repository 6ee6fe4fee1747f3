"""D_lambda of QNR: how much the likeness of the bands to each other changes from MS to the fused image.

The likeness is the UQI of two bands, averaged over blocks; the index is the mean over all pairs of bands of the
absolute change. The reference toolbox takes EXP for the MS, with the same blocks of 32 PAN pixels, so that EXP scores
exactly 0; the original paper takes the MS itself, with smaller blocks of the same ground.

Blocks are whole ones from the upper left corner on: what sticks out on the right and below is left out. (The reference
toolbox refuses images that are no multiple of 32.)

Sources: L. Alparone et al., "Multispectral and panchromatic data fusion assessment without reference", PE&RS 2008;
G. Vivone et al., IEEE GRSM 2021 (protocol). The physical form, with EXP at the true phase, is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from panloom.errors import OptionError
from panloom.metrics._blocks import SIZE, ratio
from panloom.metrics._full import HALO, Form, FullMetric, FullScene, named, on_pan, own, whole_only
from panloom.metrics._metric import Core, Tally, compared, finite, windows

Scale = Literal["exp", "lr"]

#: A scatter below this part of what the mean alone would give is the rounding of a constant block.
_ROUNDING = 8 * torch.finfo(torch.float64).eps


def low_block(pixels: int) -> int:
    """Side, in MS pixels, of the block that matches one of `SIZE` PAN pixels at the ratio `pixels`.

    The largest power of two that does not exceed SIZE / ratio, so that blocks never cross a tile's core; 2 or more.
    At the ratios of the published code, 2 and 4, it is exactly 16 and 8.
    """
    return max(1 << ((SIZE // pixels).bit_length() - 1), 2) if pixels <= SIZE else 2


def likeness(
    x: Float64[Tensor, "b C H W"], valid: Bool[Tensor, "b 1 H W"], size: int
) -> tuple[Float64[Tensor, " K"], Float64[Tensor, ""]]:
    """The UQI of every pair of bands, summed over the blocks, and the number of blocks.

    One covariance matrix per block holds all K = C (C - 1) / 2 pairs. Degenerate blocks as in `_blocks.uqi`.

    Args:
        x: an image, 0 where not valid.
        valid: the pixels that count; a block counts where at least half of its pixels do.
        size: pixels along one side of a block.
    """
    first, second = torch.triu_indices(x.shape[1], x.shape[1], 1, device=x.device)
    total, count = x.new_zeros(len(first)), x.new_zeros(())
    for blocks, seen in zip(_blocks(x, size), _blocks(valid, size), strict=True):
        number = seen.sum(-1)
        mean = blocks.sum(-1) / number.clamp(min=1)
        centred = torch.where(seen, blocks - mean[..., None], 0.0)
        covariance = centred @ centred.transpose(-1, -2)
        scatter = covariance.diagonal(dim1=-2, dim2=-1)
        scatter = torch.where(scatter <= number * (_ROUNDING * mean) ** 2, 0.0, scatter)
        one, other = mean[..., first], mean[..., second]
        value = ratio(2 * covariance[..., first, second], scatter[..., first] + scatter[..., second])
        value = value * ratio(2 * one * other, one**2 + other**2)
        enough = 2 * number >= size * size
        total += torch.where(enough, value, 0.0).sum((0, 1))
        count += enough.sum()
    return total, count


def _blocks(x: Tensor, size: int) -> Iterator[Tensor]:
    """Row by row of blocks: (b, block, C, size * size)."""
    batch, bands, rows, cols = x.shape[0], x.shape[1], x.shape[2] // size, x.shape[3] // size
    for row in range(rows):
        strip = x[..., row * size : (row + 1) * size, : cols * size].reshape(batch, bands, size, cols, size)
        yield strip.permute(0, 3, 1, 2, 4).reshape(batch, cols, bands, size * size)


@dataclass(frozen=True)
class SpectralDistortion:
    """One variant.

    Attributes:
        scale: what the fused bands are compared with: EXP, or MS itself on its own grid.
        form: how the sensor is modelled.
    """

    scale: Scale
    form: Form

    @property
    def name(self) -> str:
        """Registry name."""
        return (
            "d-lambda" + ("" if self.scale == "exp" else "-qnr2008") + ("" if self.form == "toolbox" else "-physical")
        )

    @property
    def label(self) -> str:
        """What is printed."""
        scale = "qnr,block32" if self.scale == "exp" else "qnr2008,lr,block32/r"
        return f"D_lambda[{scale}{',physical' if self.form == 'physical' else ''}]"

    def tally(
        self, fused: Shaped[Tensor, "b C H W"], full: FullScene, *, core: Core | None = None
    ) -> dict[str, Tensor]:
        """Sums over the blocks of the UQI of each pair of bands, of the fused image and of MS.

        Blocks count that are valid at half of their pixels at least; a pixel is where PAN, MS and the smooth PAN
        are, so that the blocks are those of D_s.

        Args:
            fused: the result, in the unit of `full`.
            full: the scene.
            core: the MS rows and columns that count; None: all.

        Raises:
            OptionError: fewer than two bands, shapes differ, the core is not in the image, or a core in the
                toolbox form.
        """
        whole_only(self.label, self.form, core)
        full.check(fused)
        if fused.shape[1] < 2:
            raise OptionError(f"{self.label} compares pairs of bands; an image of one band has none: leave it out")
        new, _, valid = compared(fused, fused, full.smooth_valid(self.form), on_pan(core, full.ratio))
        sums, count = likeness(new, valid, SIZE)
        old, old_count = full.once(f"{self.name} {core}", lambda: self._old(full, core))
        return named(self.name, {"fused": sums, "fused count": count, "ms": old, "ms count": old_count})

    def _old(self, full: FullScene, core: Core | None) -> tuple[Tensor, Tensor]:
        if self.scale == "exp":
            exp = full.exp(self.form)
            image, _, valid = compared(exp, exp, full.smooth_valid(self.form), on_pan(core, full.ratio))
            return likeness(image, valid, SIZE)
        image, _, valid = compared(full.ms, full.ms, full.low_valid(self.form), core)
        return likeness(image, valid, low_block(full.ratio))

    def value(self, tally: Tally) -> float:
        """Mean over the pairs of bands of the absolute change: 0 is perfect, at most 2.

        Raises:
            OptionError: no block counts, or an image has NaN or infinite pixels that count.
        """
        sums = own(self.name, tally)
        new, old = (sums[key] / windows(self.label, sums[f"{key} count"], SIZE) for key in ("fused", "ms"))
        return finite(self.label, float((new - old).abs().mean()))

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
            block=SIZE,
            halo=HALO,
            form=self.form,
            tiling="exact" if self.form == "physical" else "whole",
        )


D_LAMBDA = SpectralDistortion("exp", "toolbox").metric()
D_LAMBDA_PHYSICAL = SpectralDistortion("exp", "physical").metric()
D_LAMBDA_QNR2008 = SpectralDistortion("lr", "toolbox").metric()
D_LAMBDA_QNR2008_PHYSICAL = SpectralDistortion("lr", "physical").metric()
