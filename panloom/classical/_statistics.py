"""Statistics that classical methods take from a scene, merged over blocks without loss of precision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.errors import MethodError
from panloom.optics import toolbox
from panloom.optics.moments import Moments, some
from panloom.pair import Pair, SceneLike
from panloom.types import Sensor

#: `physical`: the product, on real grids; `toolbox`: equal to the reference toolbox, whole images at phase r // 2.
Form = Literal["physical", "toolbox"]

Ready = TypeVar("Ready")

#: Shares of the 1st percentile that are haze: the atmosphere scatters short waves most.
HAZE_SHARE = {"blue": 0.95, "green": 0.45, "red": 0.40, "nir": 0.05}

#: Percentile that stands for the minimum of a band: a few dead pixels do not move it.
DARK = 0.1

#: MS pixels that haze values look at, give or take a factor of 2.
HAZE_PIXELS = 2**19


def survey_and_haze(scene: SceneLike) -> tuple[Moments, Float[Tensor, " C"]]:
    """`survey`, and in the same look what the atmosphere adds to each band (path radiance), from dark pixels; float64.

    Haze as published (Lolli et al. 2017) for four bands blue, green, red, nir: HAZE_SHARE of the 1st percentile. For
    other bands the published value is the minimum, which one dead pixel moves; here it is the percentile DARK. The
    percentiles are exact, without bins, so the result scales with the data; of a scene of more than twice HAZE_PIXELS
    MS pixels they are those of an even thinning.

    Raises:
        SceneError: no pixel is valid in PAN and in every band.
    """
    rows, cols = scene.grid.cells
    # An odd step, so that it does not keep to the same columns of every block.
    step = rows * cols // HAZE_PIXELS | 1
    moments, dark = [], []
    for block in scene.survey():
        moments.append(Moments.of(block))
        # Copied, or the whole block would stay in memory.
        dark.append(block.ms.transpose(0, 1).flatten(1)[:, block.valid.flatten()][:, ::step].clone())
    return some(reduce(Moments.merge, moments)), _haze(torch.cat(dark, 1).double(), scene.sensor)


def _haze(values: Float[Tensor, "C n"], sensor: Sensor) -> Float[Tensor, " C"]:
    """Haze of bands by their names."""
    names = [band.name for band in sensor.bands]
    if sorted(names) != sorted(HAZE_SHARE):
        return toolbox.percentile(values[None, :, None], DARK)[0]
    share = torch.tensor([HAZE_SHARE[name] for name in names], dtype=values.dtype)
    return toolbox.percentile(values[None, :, None], 1.0)[0] * share


def toolbox_haze(exp: Float[Tensor, "1 C H W"]) -> Float[Tensor, " C"]:
    """Haze values as the toolbox takes them: any four bands are blue, green, red, nir; the minimum of others."""
    if exp.shape[1] != len(HAZE_SHARE):
        return exp.double().amin((0, 2, 3))
    share = torch.tensor(list(HAZE_SHARE.values()), dtype=torch.float64)
    return toolbox.percentile(exp.double(), 1.0)[0] * share


def prepared(ready: Ready | None) -> Ready:
    """What `prepare` made.

    Raises:
        MethodError: it has not run.
    """
    if ready is None:
        raise MethodError("the method has no statistics of this scene yet: call prepare(scene, rng) first")
    return ready


def per_band(values: Tensor | Sequence[float], like: Tensor) -> Float[Tensor, "1 C 1 1"]:
    """One number per band, shaped to broadcast over images of `like`."""
    return torch.as_tensor(values, dtype=torch.float64).to(like).view(1, -1, 1, 1)


def safe_ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """Top / bottom, and 1 where the denominator is not positive: a ratio method then leaves the pixel as it is."""
    return torch.where(bottom > 0, top / bottom, torch.ones_like(bottom))


def toolbox_inputs(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """PAN, MS and the toolbox's EXP of a whole scene.

    Raises:
        MethodError: the scene's phase is not the toolbox's r // 2, so the result would be shifted.
    """
    centre = pair.ratio // 2
    if pair.phase != (centre, centre):
        raise MethodError(
            f"form=toolbox supposes MS samples at PAN phase {centre} but this scene has "
            f"({pair.phase[0]:g}, {pair.phase[1]:g}); use form=physical for real files"
        )
    return pair.pan, pair.ms, toolbox.interp23(pair.ms, pair.ratio)


#: Added to denominators by the toolbox: the spacing of doubles at 1.
EPS = torch.finfo(torch.float64).eps
