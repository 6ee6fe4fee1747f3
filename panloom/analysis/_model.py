"""A super-resolution network of others, ready to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from panloom.analysis.impulse import Upsampler
from panloom.errors import OptionError


@dataclass(frozen=True)
class Model:
    """A network from a file, and what must be known to run it.

    Attributes:
        name: the file's name without its ending.
        architecture: of the registry in `panloom.analysis.models`, or "onnx".
        scale: pixels of the output per pixel of the input, along an axis.
        channels: of the image.
        net: (b, c, h, w) in 0..1 to (b, c, scale h, scale w) in 0..1, not clamped; it computes in float32 and returns
            the type that it was given. It raises OptionError for an image that it cannot take.
        smallest: rows and columns of the smallest image that it takes, as far as that is known.
        fixed: (rows, columns) of the only image that it takes; None: any from `smallest`.
        full_scale: what 1.0 becomes before the network sees it; `net` does that, and divides the output. That of the
            architecture for a state dict, which does not tell; measured for a graph.
        differentiable: `net` can be differentiated by torch; otherwise analysis takes finite differences.
        parameters: numbers of its weights; None where the file does not tell.
        licence: what is known about it, in a sentence for whoever runs the network.
    """

    name: str
    architecture: str
    scale: int
    channels: int
    net: Upsampler
    smallest: int
    fixed: tuple[int, int] | None
    full_scale: float
    differentiable: bool
    parameters: int | None
    licence: str


def check_image(
    name: str, image: Float[Tensor, "b c h w"], channels: int, smallest: int, fixed: tuple[int, int] | None
) -> None:
    """Refuse an image that a network cannot take.

    Raises:
        OptionError: wrong number of channels, or wrong size.
    """
    _, given, rows, columns = image.shape
    if given != channels:
        raise OptionError(f"{name} takes images of {channels} channels; given: {given}")
    if fixed is not None and (rows, columns) != fixed:
        raise OptionError(
            f"{name} takes images of {fixed[0]} x {fixed[1]} pixels and no others; given: {rows} x {columns}"
        )
    if min(rows, columns) < smallest:
        raise OptionError(f"{name} takes images of {smallest} x {smallest} pixels or more; given: {rows} x {columns}")
