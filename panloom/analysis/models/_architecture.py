"""What every architecture promises, and what several are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import isqrt
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

#: Shapes of tensors by their names, as a file of weights has them.
Shapes = Mapping[str, tuple[int, ...]]

#: Arguments of a constructor.
Options = dict[str, int | tuple[int, ...]]


class Architecture(nn.Module, ABC):
    """A super-resolution network. Its layers carry the names of the public weights, so that these load as they are.

    Attributes:
        marks: four-axis tensors by which its weights are known, and which tell its options.
        licence: of the weights that its authors published, and where those are.
        full_scale: what white is to the public weights: 1 or 255. No file tells it, so it belongs to the class: weights
            of the same layers that were trained in another range are run wrongly, with too much or too little gain.
        smallest: rows and columns of the smallest image that goes through.
        channels: of the image.
        scale: pixels of the output per pixel of the input, along an axis.
    """

    marks: ClassVar[tuple[str, ...]]
    licence: ClassVar[str]
    full_scale: ClassVar[float] = 1.0
    smallest: ClassVar[int] = 1
    channels: int
    scale: int

    @classmethod
    @abstractmethod
    def scales(cls, shapes: Shapes) -> tuple[int, ...]:
        """The scales that weights of these shapes are for; all of `marks` are there, with four axes, none empty."""

    @classmethod
    @abstractmethod
    def options(cls, shapes: Shapes, scale: int) -> Options:
        """Arguments of the constructor for one of `scales`, as the shapes tell them."""

    @abstractmethod
    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        """The image, `scale` times larger along both axes; in and out in units of `full_scale`, not clamped."""


def convolution(channels: int, features: int, size: int = 3, groups: int = 1) -> nn.Conv2d:
    """A layer that keeps rows and columns; the image goes on in zeros."""
    return nn.Conv2d(channels, features, size, padding=size // 2, groups=groups)


def shuffled_scale(shapes: Shapes, last: str, channels: int) -> tuple[int]:
    """The scale of a network whose last layer makes scale^2 values for each pixel and channel."""
    return (max(isqrt(shapes[last][0] // channels), 1),)
