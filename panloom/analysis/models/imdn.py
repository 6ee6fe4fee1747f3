"""IMDN without channel attention: the baseline of the challenges on efficient super-resolution.

Published: Hui, Gao, Yang and Wang, "Lightweight image super-resolution with information multi-distillation network",
ACM Multimedia 2019 (arXiv 1909.11856), section 3: blocks that keep a quarter of the features after each of three layers
and refine the rest. The slope of the leaky ReLU is 0.05.

The baseline differs from the paper (names and shapes of its public weights show it): eight blocks instead of six, no
contrast-aware attention after the concatenation, a 3x3 layer instead of a 1x1 layer over all blocks, whose outputs are
chained and not collected. Where both are silent, the numbers that the weights give decided: no activation after the
last distillation, nor before the 1x1 layer; white is 1.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.analysis.models._architecture import Architecture, Options, Shapes, convolution, shuffled_scale
from panloom.analysis.models._registry import architecture

SLOPE = 0.05


@architecture("imdn")
class Imdn(Architecture):
    """Information multi-distillation network.

    Args:
        scale: at which it runs.
        features: of the layers; a quarter of them is kept at each step.
        blocks: how many.
        channels: of the image.
    """

    marks: ClassVar[tuple[str, ...]] = ("model.0.weight", "model.1.sub.0.conv1x1.weight", "model.2.weight")
    licence: ClassVar[str] = (
        "those of the challenge's baseline (ofsoundof/NTIRE2022_ESR, imdn_baseline.pth) are under the MIT licence; the "
        "repository of the paper's authors has none"
    )

    def __init__(self, scale: int = 4, features: int = 64, blocks: int = 8, channels: int = 3) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.model = nn.Sequential(
            convolution(channels, features),
            _Trunk([*(_Block(features) for _ in range(blocks)), convolution(features, features)]),
            convolution(features, channels * scale**2),
        )

    @classmethod
    def scales(cls, shapes: Shapes) -> tuple[int, ...]:
        """The one of the last layer."""
        return shuffled_scale(shapes, "model.2.weight", shapes["model.0.weight"][1])

    @classmethod
    def options(cls, shapes: Shapes, scale: int) -> Options:
        """Widths of the first layer, and a count of blocks."""
        features, channels = shapes["model.0.weight"][:2]
        blocks = sum(key.startswith("model.1.sub.") and key.endswith(".conv1x1.weight") for key in shapes)
        return {"scale": scale, "features": features, "blocks": blocks, "channels": channels}

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        """Shuffled from the last layer."""
        return functional.pixel_shuffle(self.model(image), self.scale)


class _Trunk(nn.Module):
    """Layers one after the other, added to what goes in."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.sub = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        return x + self.sub(x)


class _Block(nn.Module):
    """Three times: a layer, a quarter of it kept, the rest refined. What was kept, mixed, is added to what goes in."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.kept = features // 4
        rest = features - self.kept
        self.conv1 = _activated(features, features)
        self.conv2 = _activated(rest, features)
        self.conv3 = _activated(rest, features)
        self.conv4 = convolution(rest, self.kept)
        self.conv1x1 = convolution(4 * self.kept, features, 1)

    def forward(self, x: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        rest, kept = x, []
        for layer in (self.conv1, self.conv2, self.conv3):
            made = layer(rest)
            kept.append(made[:, : self.kept])
            rest = made[:, self.kept :]
        return x + self.conv1x1(torch.cat([*kept, self.conv4(rest)], 1))


def _activated(channels: int, features: int) -> nn.Sequential:
    return nn.Sequential(convolution(channels, features), nn.LeakyReLU(SLOPE))
