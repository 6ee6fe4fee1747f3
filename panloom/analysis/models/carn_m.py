"""CARN-M: a cascade of cascades of grouped residual units; one set of weights for several scales.

Published: Ahn, Kang and Sohn, "Fast, accurate, and lightweight super-resolution with cascading residual network", ECCV
2018 (arXiv 1803.08664), section 3: cascading of blocks and, inside each, of one residual unit that is used three times;
its 3x3 layers are in groups. Every merge is a 1x1 layer of all that came before it. Then an upsampler for each scale.

Where the paper is silent, the numbers that the public weights give decided: a ReLU after every merge and every layer of
the upsampler, before the shuffle; colours are shifted by constants before the first and after the last layer, and these
constants stand among the weights; white is 1.

Left out: the drawing of first weights. Only what is needed to run is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.analysis.models._architecture import Architecture, Options, Shapes, convolution
from panloom.analysis.models._registry import architecture

#: Scales that a file of weights can hold an upsampler for.
SCALES = (2, 3, 4)

Layer = Callable[[Tensor], Tensor]


@architecture("carn-m")
class CarnM(Architecture):
    """Cascading residual network, the mobile one.

    Args:
        scale: at which it runs.
        features: of the layers.
        groups: of the 3x3 layers in units and upsamplers.
        channels: of the image.
        held: scales that the weights hold an upsampler for; `scale` is one of them.
    """

    marks: ClassVar[tuple[str, ...]] = (
        "sub_mean.shifter.weight",
        "entry.weight",
        "b1.b1.body.0.weight",
        "c3.body.0.weight",
    )
    licence: ClassVar[str] = (
        "those that the authors published (nmhkahn/CARN-pytorch, carn_m.pth) are under the MIT licence"
    )

    def __init__(
        self, scale: int, features: int = 64, groups: int = 4, channels: int = 3, held: tuple[int, ...] = SCALES
    ) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.sub_mean, self.add_mean = _Shift(channels), _Shift(channels)
        self.entry = convolution(channels, features)
        self.b1, self.b2, self.b3 = (_Block(features, groups) for _ in range(3))
        self.c1, self.c2, self.c3 = (_Merge(features, count) for count in (2, 3, 4))
        self.upsample = nn.ModuleDict({f"up{by}": _Upsampler(features, groups, by) for by in held})
        self.exit = convolution(features, channels)

    @classmethod
    def scales(cls, shapes: Shapes) -> tuple[int, ...]:
        """Those with an upsampler."""
        return tuple(scale for scale in SCALES if f"upsample.up{scale}.body.0.weight" in shapes)

    @classmethod
    def options(cls, shapes: Shapes, scale: int) -> Options:
        """Widths of the first layers."""
        features, channels = shapes["entry.weight"][:2]
        return {
            "scale": scale,
            "features": features,
            "groups": features // shapes["b1.b1.body.0.weight"][1],
            "channels": channels,
            "held": cls.scales(shapes),
        }

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        """The upsampler of `scale` after the cascade."""
        x = self.entry(self.sub_mean(image))
        x = _cascade(x, (self.b1, self.b2, self.b3), (self.c1, self.c2, self.c3))
        return self.add_mean(self.exit(self.upsample[f"up{self.scale}"](x)))


class _Shift(nn.Module):
    """Constants added to the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shifter = convolution(channels, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.shifter(x)


class _Unit(nn.Module):
    """The residual unit: two grouped 3x3 layers and a 1x1 layer that mixes the groups."""

    def __init__(self, features: int, groups: int) -> None:
        super().__init__()
        first, second = (convolution(features, features, groups=groups) for _ in range(2))
        self.body = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), convolution(features, features, 1))

    def forward(self, x: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        return functional.relu(x + self.body(x))


class _Merge(nn.Module):
    """From `count` maps of features to one."""

    def __init__(self, features: int, count: int) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(count * features, features, 1), nn.ReLU())

    def forward(self, x: Float[Tensor, "b n h w"]) -> Float[Tensor, "b f h w"]:
        return self.body(x)


class _Block(nn.Module):
    """A cascade of one unit, used three times."""

    def __init__(self, features: int, groups: int) -> None:
        super().__init__()
        self.b1 = _Unit(features, groups)
        self.c1, self.c2, self.c3 = (_Merge(features, count) for count in (2, 3, 4))

    def forward(self, x: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        return _cascade(x, (self.b1, self.b1, self.b1), (self.c1, self.c2, self.c3))


class _Upsampler(nn.Module):
    """A shuffle by the scale; by 4 in two steps."""

    def __init__(self, features: int, groups: int, scale: int) -> None:
        super().__init__()
        steps = (2, 2) if scale == 4 else (scale,)
        self.body = nn.Sequential(
            *(
                layer
                for step in steps
                for layer in (
                    convolution(features, features * step**2, groups=groups),
                    nn.ReLU(),
                    nn.PixelShuffle(step),
                )
            )
        )

    def forward(self, x: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f H W"]:
        return self.body(x)


def _cascade(x: Tensor, units: Iterable[Layer], merges: Iterable[Layer]) -> Tensor:
    """Each unit looks at the merge of what all before it made."""
    made = x
    for unit, merge in zip(units, merges, strict=True):
        made = torch.cat([made, unit(x)], 1)
        x = merge(made)
    return x
