"""Examples and small networks for the tests of weights that are learned anew."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from panloom.data.example import Example
from panloom.networks import Network
from panloom.pair import Pair
from panloom.types import Traits

RATIO = 2


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Small(Network):
    """Three layers, and a scale that nothing uses."""

    channels = 5

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.bands = bands
        self.first, self.middle = nn.Conv2d(bands + 1, 5, 3, padding=1), nn.Conv2d(5, 5, 3, padding=1)
        self.idle = nn.Parameter(torch.ones(4))
        self.last = nn.Conv2d(5, bands, 1)

    @property
    def traits(self) -> Traits:
        return Traits(bands=self.bands, halo=1)

    def features(self, pair: Pair) -> torch.Tensor:
        x = functional.relu(self.first(self.cast(torch.cat([pair.exp, pair.pan], 1))))
        return functional.relu(self.middle(x))

    def head(self, features: torch.Tensor, pair: Pair) -> torch.Tensor:
        return pair.exp + 0.2 * self.last(features).to(pair.exp.dtype)


def example(seed: int, images: int = 1, size: int = 16, kind: torch.dtype = torch.float32) -> Example:
    """Noise whose detail PAN knows, of a land that differs from example to example."""
    draw = rng(seed)
    level = 0.2 + torch.rand(1, 3, 1, 1, generator=draw, dtype=kind)
    truth = level * (0.5 + torch.rand(images, 3, size, size, generator=draw, dtype=kind))
    pan, ms = truth.mean(1, keepdim=True), functional.avg_pool2d(truth, RATIO)
    exp = ms.repeat_interleave(RATIO, -1).repeat_interleave(RATIO, -2)
    valid = torch.ones(images, 1, size, size, dtype=torch.bool)
    return Example(Pair(pan, ms, exp, valid, (0.5, 0.5)), truth)


def examples(count: int) -> list[Example]:
    return [example(seed) for seed in range(count)]


def same(one: Network, other: Network) -> bool:
    """Bit for bit."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
