"""SCC: whether the edges of a result are those of the truth.

The cosine between the Sobel gradient magnitudes of the two images, over all pixels and bands, means not removed.
The published code drops one pixel at the border and then takes what is outside for zeros: the border of the image
becomes a strong edge, in both images, and raises the value. `SCC[sobel,valid]` takes the same pixels with their
true neighbours.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from panloom.metrics._metric import Core, Metric, Tally, around, compared, finite, windows
from panloom.metrics._windows import strips, whole

LABEL, LABEL_VALID = "SCC[sobel,uncentred]", "SCC[sobel,valid]"

#: Pixels along one side of the Sobel filters.
_SOBEL = 3


def tally(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sums of products and squares of the gradients of all pixels but the outermost, which are taken for zeros.

    Args:
        fused: the result.
        reference: the truth.
        valid: the pixels that count; None: all. A gradient counts where all 3 x 3 pixels do.
        core: the rows and columns that count; None: all. Its halo is 2 pixels, so that a core that starts next
            to the outermost pixels knows them.

    Raises:
        OptionError: shapes differ.
    """
    fused, reference, valid = (image.clone() for image in compared(fused, reference, valid))
    for image, outermost in ((fused, 0.0), (reference, 0.0), (valid, True)):
        image[..., [0, -1], :] = outermost
        image[..., [0, -1]] = outermost
    rows, cols = around(core, *fused.shape[2:], window=_SOBEL)
    return _sums(fused[..., rows, cols], reference[..., rows, cols], valid[..., rows, cols])


def tally_valid(
    fused: Shaped[Tensor, "b C H W"],
    reference: Shaped[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"] | None = None,
    *,
    core: Core | None = None,
) -> dict[str, Tensor]:
    """Sums of products and squares of the gradients wherever 3 x 3 valid pixels are in the image.

    Raises:
        OptionError: shapes differ.
    """
    return _sums(*compared(fused, reference, valid, core, _SOBEL))


def _sums(fused: Tensor, reference: Tensor, valid: Tensor) -> dict[str, Tensor]:
    counts = whole(valid, _SOBEL)
    sums = {key: fused.new_zeros(()) for key in ("product", "fused", "reference")}
    for rows in strips(fused.shape[-2], _SOBEL):
        seen = counts[..., rows.start : rows.stop - _SOBEL + 1, :]
        for band in range(fused.shape[1]):
            one, other = (torch.where(seen, _gradient(image[:, band, None, rows]), 0.0) for image in (fused, reference))
            sums["product"] += (one * other).sum()
            sums["fused"] += one.square().sum()
            sums["reference"] += other.square().sum()
    return {"count": counts.sum(dtype=torch.float64), **sums}


def _gradient(x: Tensor) -> Tensor:
    """The Sobel gradient magnitude of all pixels but the outermost."""
    smooth = x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]
    step = x[..., 2:, :] - x[..., :-2, :]
    across = smooth[..., 2:] - smooth[..., :-2]
    down = step[..., :-2] + 2 * step[..., 1:-1] + step[..., 2:]
    return (across.square() + down.square()).sqrt()


def _cosine(label: str, tally: Tally) -> float:
    windows(label, tally["count"], _SOBEL, "all")
    fused, reference = float(tally["fused"]), float(tally["reference"])
    if fused == 0 or reference == 0:
        return float(fused == reference)
    return finite(label, float(tally["product"]) / (fused**0.5 * reference**0.5))


def value(tally: Tally) -> float:
    """The index, 0 to 1: 1 is perfect. Two images without any edge are equal (1), one of them is not (0).

    Raises:
        OptionError: no gradient counts, or an image has NaN or infinite pixels that count.
    """
    return _cosine(LABEL, tally)


def value_valid(tally: Tally) -> float:
    """As `value`.

    Raises:
        OptionError: as `value`.
    """
    return _cosine(LABEL_VALID, tally)


SCC = Metric(
    name="scc",
    label=LABEL,
    unit="",
    better="high",
    perfect=1.0,
    needs="reference",
    scale_free=True,
    cite=("zhou1998",),
    tally=tally,
    value=value,
    halo=2,
)

SCC_VALID = replace(SCC, name="scc-valid", label=LABEL_VALID, tally=tally_valid, value=value_valid, halo=1)
