"""What a ridge regression adds to a network: a small convolution of its features, and physics features."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.adapt._physics import EVERYWHERE
from panloom.networks import Network
from panloom.pair import Pair

#: Largest difference, in shares of the largest value, between a merged head and the sum of both.
EQUAL = 1e-5


def taps(
    features: Float[Tensor, "b F Hf Wf"], height: int, width: int, inside: tuple[slice, slice] = EVERYWHERE
) -> Float[Tensor, "b F9 H W"]:
    """The 3 x 3 neighbours of every pixel, channel by channel; what lies outside `features` is 0.

    Args:
        features: of a network.
        height: of the image they belong to.
        width: likewise.
        inside: rows and columns of the image that are wanted.
    """
    part = _around(features, height, width, inside)
    height, width = part.shape[-2] - 2, part.shape[-1] - 2
    # Seven times as fast as torch's unfold.
    nine = [part[..., row : row + height, col : col + width] for row in range(3) for col in range(3)]
    return torch.stack(nine, 2).flatten(1, 2)


def taps_seen(
    features: Float[Tensor, "b F Hf Wf"],
    size: tuple[int, int],
    inside: tuple[slice, slice],
    rows: Callable[[Tensor], Tensor],
    cols: Callable[[Tensor], Tensor],
) -> Float[Tensor, "b F9 h w"]:
    """`taps` through an operator that works along rows and then along columns, without making them.

    Args:
        features: of a network.
        size: height and width of the image they belong to.
        inside: see `taps`.
        rows: the operator along the rows.
        cols: along the columns.
    """
    part = _around(features, *size, inside)
    height, width = part.shape[-2] - 2, part.shape[-1] - 2
    # Neighbours are the same rows, and then the same columns, read at another place.
    three = torch.cat([rows(part[..., k : k + height, :]) for k in range(3)], 1)
    nine = torch.stack([cols(three[..., k : k + width]) for k in range(3)], 2)
    return nine.unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 3)


def _around(features: Tensor, height: int, width: int, inside: tuple[slice, slice]) -> Tensor:
    """The features of a part of an image and of one pixel around it."""
    (top, bottom, _), (left, right, _) = inside[0].indices(height), inside[1].indices(width)
    return _framed(features, height, width)[..., top : bottom + 2, left : right + 2]


def _framed(features: Tensor, height: int, width: int) -> Tensor:
    """Features on the image's grid and one pixel around it: some networks give such pixels, else they are 0."""
    top, left = (features.shape[-2] - height) // 2 - 1, (features.shape[-1] - width) // 2 - 1
    return functional.pad(features, (-left, -left, -top, -top))


@dataclass(frozen=True)
class Kernel:
    """A convolution of a network's features: 3 x 3 of shared ones, 1 x 1 where each band has its own.

    Attributes:
        weight: (C, F, 3, 3) from shared features; (C, F) from those of each band.
    """

    weight: Tensor

    def __call__(self, features: Float[Tensor, "n F Hf Wf"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """What is added to the image."""
        weight, height, width = self.weight.to(pair.exp), *pair.exp.shape[-2:]
        features = features.to(pair.exp.dtype)
        if weight.ndim == 4:
            return functional.conv2d(_framed(features, height, width), weight)
        return torch.einsum("bcfhw,cf->bchw", features.unflatten(0, (len(pair.exp), -1)), weight)


@dataclass(frozen=True)
class Mix:
    """A linear map of physics features, and a constant for each band.

    Attributes:
        weight: of each map in each band.
        constant: of each band.
    """

    weight: Float[Tensor, "C K"]
    constant: Float[Tensor, " C"]

    def __call__(self, maps: Float[Tensor, "b K H W"]) -> Float[Tensor, "b C H W"]:
        """What is added to the image."""
        return functional.conv2d(maps, self.weight.to(maps)[..., None, None], self.constant.to(maps))


def merged(network: Network, kernel: Float[Tensor, "C F 3 3"], probe: Pair) -> Network | None:
    """A copy of the network whose head also adds the convolution; None where its head does not end in one.

    The head must run one ordinary convolution. Whether the sum is the same is tried on `probe`, because a head may go
    on behind it (with an activation, say) or round to a shorter type.
    """
    changed = copy.deepcopy(network)
    features = changed.features(probe)
    layer = _last_layer(changed, features, probe)
    if layer is None or layer.weight.shape[:2] != kernel.shape[:2]:
        return None
    expected = changed.head(features, probe) + Kernel(kernel)(features, probe)
    rows, cols = ((n - 3) // 2 for n in layer.weight.shape[2:])
    wide = functional.pad(kernel, (cols, cols, rows, rows))
    layer.weight = nn.Parameter(layer.weight + wide.to(layer.weight), requires_grad=False)
    gap = (changed.head(features, probe) - expected).abs().max()
    return changed if bool(gap <= EQUAL * expected.abs().max()) else None


def _last_layer(network: Network, features: Tensor, pair: Pair) -> nn.Conv2d | None:
    """The one convolution of the head; None where there are more, or none that could hold another kernel."""
    ran: list[nn.Conv2d] = []

    def note(module: nn.Module, _inputs: object, _output: object) -> None:
        if isinstance(module, nn.Conv2d):
            ran.append(module)

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d)]
    try:
        network.head(features, pair)
    finally:
        for hook in hooks:
            hook.remove()
    if len(ran) != 1:
        return None
    (layer,) = ran
    plain = layer.groups == 1 and layer.padding_mode == "zeros" and {*layer.stride, *layer.dilation} == {1}
    return layer if plain and all(n >= 3 and n % 2 for n in layer.weight.shape[2:]) else None
