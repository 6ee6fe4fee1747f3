"""tailor: a small residual module between the frozen features of a network and its frozen head, trained on the scene.

Published (Feature Tailor, Xin, Xiao, Xia, Yin and Deng, AAAI 2026, arXiv 2508.07369): the place of the module, at the
cut where high-dimensional features begin to be mapped to bands; that it is residual and light; that everything else is
frozen; training on part of the patches of the one scene, with unsupervised spectral, spatial and consistency terms;
inference on all of it. The layers of the module, formulas, weights, patches, steps and rates are not public.

Ours (PROPOSED): all of these. F' = F + sd (W F~ + b), where F~ are the features, standardised and whitened over the
patches, and W, b begin at 0, so that without a step the network is what it was. The loss adds to the spectral term one
on the scene degraded once more, whose MS is a known truth, because without it quality indices rise while the error
explodes; see `panloom.adapt._terms`. Features are made once, so a step costs the module, the head and the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from panloom.adapt._iterate import Made
from panloom.adapt._module import Body, Moments, Tailor, drawn, zeroed
from panloom.adapt._registry import adapter
from panloom.adapt._tailoring import Tailoring, known_word

Form = Literal["wlin", "aff", "lin", "res", "wres", "res33", "lowrank"]

#: Channels in the middle of `lowrank`.
RANK = 8


class Linear(Body):
    """One matrix for each pixel, and a constant.

    Args:
        channels: of the features.
        rng: unused: it begins at 0.
    """

    affine = True

    def __init__(self, channels: int, rng: Generator) -> None:
        super().__init__()
        self.layer = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """What is added."""
        return self.layer(x)


class Affine(Body):
    """A gain and a constant for each channel.

    Args:
        channels: of the features.
        rng: unused: it begins at 0.
    """

    affine = True

    def __init__(self, channels: int, rng: Generator) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(channels, 1, 1))
        self.constant = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """What is added."""
        return self.gain * x + self.constant


class LowRank(Body):
    """A matrix of rank RANK for each pixel, and a constant.

    Args:
        channels: of the features.
        rng: of the first factor; the second begins at 0.
    """

    affine = True

    def __init__(self, channels: int, rng: Generator) -> None:
        super().__init__()
        self.down = drawn(nn.Conv2d(channels, RANK, 1), rng)
        self.up = zeroed(nn.Conv2d(RANK, channels, 1))

    def forward(self, x: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """What is added."""
        return self.up(self.down(x))


class Residual(Body):
    """1 x 1, ReLU, 3 x 3 channel by channel, ReLU, 1 x 1.

    Args:
        channels: of the features.
        rng: of the first two layers; the last begins at 0.
    """

    reach = 1

    def __init__(self, channels: int, rng: Generator) -> None:
        super().__init__()
        self.first = drawn(nn.Conv2d(channels, channels, 1), rng)
        self.wide = drawn(nn.Conv2d(channels, channels, 3, padding=1, groups=channels), rng)
        self.last = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """What is added."""
        return self.last(functional.relu(self.wide(functional.relu(self.first(x)))))


class LinearAndResidual(Body):
    """The sum of both.

    Args:
        channels: of the features.
        rng: see `Residual`.
    """

    reach = 1

    def __init__(self, channels: int, rng: Generator) -> None:
        super().__init__()
        self.linear, self.residual = Linear(channels, rng), Residual(channels, rng)

    def forward(self, x: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """What is added."""
        return self.linear(x) + self.residual(x)


class Residual33(Body):
    """3 x 3, ReLU, 3 x 3.

    Args:
        channels: of the features.
        rng: of the first layer; the second begins at 0.
    """

    reach = 2

    def __init__(self, channels: int, rng: Generator) -> None:
        super().__init__()
        self.first = drawn(nn.Conv2d(channels, channels, 3, padding=1), rng)
        self.last = zeroed(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """What is added."""
        return self.last(functional.relu(self.first(x)))


class Kind(NamedTuple):
    """A form: its body, and whether that sees whitened channels."""

    body: Callable[[int, Generator], Body]
    whiten: bool


FORMS: Mapping[str, Kind] = {
    "wlin": Kind(Linear, True),
    "aff": Kind(Affine, False),
    "lin": Kind(Linear, False),
    "res": Kind(Residual, False),
    "wres": Kind(LinearAndResidual, True),
    "res33": Kind(Residual33, False),
    "lowrank": Kind(LowRank, True),
}


@adapter("tailor")
@dataclass(frozen=True, eq=False)
class FeatureTailor(Tailoring):
    """A trained network whose features are tailored to the scene by a small residual module, in 30 or 100 steps.

    Attributes:
        form: of the module: wlin, one matrix on whitened features; see docs/tailor.md for the others.
    """

    form: Form = "wlin"

    name: ClassVar[str] = "tailor"
    paper = "xin2026"

    def module(self, made: Made) -> Tailor:
        """The module of a form."""
        kind = FORMS[known_word("form", self.form, FORMS)]
        return Tailor(made.moments, kind.body(len(made.moments.mean), made.rng), whiten=kind.whiten)

    def empty(self, channels: int) -> Tailor:
        """A module of this form."""
        kind = FORMS[known_word("form", self.form, FORMS)]
        return Tailor(Moments.none(channels), kind.body(channels, Generator()), whiten=False)
