"""RFDN: blocks that distil features with 1x1 layers, and an attention that looks far.

Published: Liu, Tang and Wu, "Residual feature distillation network for lightweight image super-resolution", AIM
workshop at ECCV 2020 (arXiv 2009.11551), section 3: shallow residual blocks (a 3x3 layer and its input), distillation
by 1x1 layers, the outputs of all blocks collected by a 1x1 layer. Enhanced spatial attention: Liu, Zhang, Tang and Wu,
"Residual feature aggregation network for image super-resolution", CVPR 2020: a layer of stride 2, the largest of 7x7
every 3, three layers, enlarged again. The slope of the leaky ReLU is that of IMDN, 0.05.

Where the papers are silent, the numbers that the public weights give decided: ReLUs after the first two of the
attention's three layers, and white is 255.

The strides of the attention, 2 and then 3, make the network vary with place and with the size of the image: impulses at
different places have different answers even on a flat ground. Its 7x7 window needs images of 15 pixels or more.
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

#: Blocks: their names are part of the architecture.
BLOCKS = 4


@architecture("rfdn")
class Rfdn(Architecture):
    """Residual feature distillation network.

    Values range from 0 to 255, as the public weights have it: a property of this class, not of a file. Weights that
    were trained in 0..1 have the same tensors and would be run wrongly: their constants would count 255 times less.

    Args:
        scale: at which it runs.
        features: of the layers.
        kept: features of a distillation.
        attended: features of the attention.
        channels: of the image.
    """

    marks: ClassVar[tuple[str, ...]] = (
        "fea_conv.weight",
        "B1.c1_d.weight",
        "B1.esa.conv1.weight",
        "upsampler.0.weight",
    )
    licence: ClassVar[str] = "those that the authors published (njulj/RFDN, RFDN_AIM.pth) are under the MIT licence"
    full_scale: ClassVar[float] = 255.0
    smallest: ClassVar[int] = 15

    def __init__(
        self, scale: int = 4, features: int = 50, kept: int = 25, attended: int = 12, channels: int = 3
    ) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.fea_conv = convolution(channels, features)
        self.B1, self.B2, self.B3, self.B4 = (_Block(features, kept, attended) for _ in range(BLOCKS))
        self.c = nn.Sequential(convolution(BLOCKS * features, features, 1), nn.LeakyReLU(SLOPE))
        self.LR_conv = convolution(features, features)
        self.upsampler = nn.Sequential(convolution(features, channels * scale**2), nn.PixelShuffle(scale))

    @classmethod
    def scales(cls, shapes: Shapes) -> tuple[int, ...]:
        """The one of the last layer."""
        return shuffled_scale(shapes, "upsampler.0.weight", shapes["fea_conv.weight"][1])

    @classmethod
    def options(cls, shapes: Shapes, scale: int) -> Options:
        """Widths of the first layers."""
        features, channels = shapes["fea_conv.weight"][:2]
        kept, attended = (shapes[key][0] for key in ("B1.c1_d.weight", "B1.esa.conv1.weight"))
        return {"scale": scale, "features": features, "kept": kept, "attended": attended, "channels": channels}

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        """The upsampler after the collected blocks and the first layer."""
        first = self.fea_conv(image)
        made = [first]
        for block in (self.B1, self.B2, self.B3, self.B4):
            made.append(block(made[-1]))
        return self.upsampler(first + self.LR_conv(self.c(torch.cat(made[1:], 1))))


class _Block(nn.Module):
    """Three times: some features distilled, all refined. What was distilled, mixed, and weighed by the attention."""

    def __init__(self, features: int, kept: int, attended: int) -> None:
        super().__init__()
        self.c1_d, self.c2_d, self.c3_d = (convolution(features, kept, 1) for _ in range(3))
        self.c1_r, self.c2_r, self.c3_r = (convolution(features, features) for _ in range(3))
        self.c4 = convolution(features, kept)
        self.c5 = convolution(4 * kept, features, 1)
        self.esa = _Attention(features, attended)

    def forward(self, x: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        kept = []
        for distil, refine in ((self.c1_d, self.c1_r), (self.c2_d, self.c2_r), (self.c3_d, self.c3_r)):
            kept.append(_leaky(distil(x)))
            x = _leaky(refine(x) + x)
        kept.append(_leaky(self.c4(x)))
        return self.esa(self.c5(torch.cat(kept, 1)))


class _Attention(nn.Module):
    """Enhanced spatial attention: a weight in 0..1 for every feature and pixel."""

    def __init__(self, features: int, attended: int) -> None:
        super().__init__()
        self.conv1 = convolution(features, attended, 1)
        self.conv_f = convolution(attended, attended, 1)
        self.conv2 = nn.Conv2d(attended, attended, 3, stride=2)
        self.conv_max, self.conv3, self.conv3_ = (convolution(attended, attended) for _ in range(3))
        self.conv4 = convolution(attended, features, 1)

    def forward(self, x: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        near = self.conv1(x)
        far = functional.max_pool2d(self.conv2(near), 7, stride=3)
        far = self.conv3_(functional.relu(self.conv3(functional.relu(self.conv_max(far)))))
        far = functional.interpolate(far, x.shape[-2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(far + self.conv_f(near)))


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)
