"""cat: a module whose gains and constants come from a summary of the scene, between frozen features and frozen head.

Published (CAT, Conditional Adaptation Tailor, Xin, Xiao, Xia, Yin and Deng, arXiv 2504.10242): its place between
feature extraction and channel transformation; unsupervised training on part of the patches of the one scene; that its
parameters are then fixed for inference on all patches. Its layers and its condition are not public.

Ours (PROPOSED): F' = F + sd (gamma F~ + beta + W2 relu(W1 F~)), F~ the standardised features; (gamma, beta) = MLP(c)
with one hidden layer; c holds means and deviations of MS and PAN in the sample, as the network sees them, and of each
channel of F in the patches, all scaled to mean square 1. W2 and the last layer of the MLP begin at 0. There is one
condition for the scene, in training too, so it is folded into constants afterwards. Patches, losses, steps and gate are
those of `panloom.adapt.tailor`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from panloom.adapt._iterate import Made
from panloom.adapt._module import Body, Moments, Tailor, drawn, zeroed
from panloom.adapt._registry import adapter
from panloom.adapt._tailoring import Tailoring

#: Learning rate of Adam at the first step. Of .001 to .1 it gave the least error on development pairs; a study's .05
#: left 1.16 times as much after 30 steps.
RATE = 0.005

#: Channels of the hidden layer of the MLP.
HIDDEN = 64


class Conditional(Body):
    """A gain and a constant for each channel from a condition, and 1 x 1, ReLU, 1 x 1.

    Args:
        condition: of the scene.
        channels: of the features.
        rng: of the first layers; the last ones begin at 0.
    """

    condition: Tensor

    def __init__(self, condition: Float[Tensor, " k"], channels: int, rng: Generator) -> None:
        super().__init__()
        self.register_buffer("condition", condition)
        self.hidden = drawn(nn.Linear(len(condition), HIDDEN), rng)
        self.gains = zeroed(nn.Linear(HIDDEN, 2 * channels))
        self.first = drawn(nn.Conv2d(channels, channels, 1), rng)
        self.last = zeroed(nn.Conv2d(channels, channels, 1))

    def gain_and_constant(self) -> Float[Tensor, "2 F 1 1"]:
        """Of each channel."""
        return self.gains(functional.relu(self.hidden(self.condition))).view(2, -1, 1, 1)

    def forward(self, x: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """What is added."""
        gain, constant = self.gain_and_constant()
        return gain * x + constant + self.last(functional.relu(self.first(x)))

    def folded(self) -> Body:
        """The same with constants in place of the condition."""
        return Unconditional(self)


class Unconditional(Body):
    """What `Conditional` does in one scene.

    Args:
        trained: for that scene.
    """

    gain: Tensor
    constant: Tensor

    def __init__(self, trained: Conditional) -> None:
        super().__init__()
        gain, constant = trained.gain_and_constant().detach()
        self.register_buffer("gain", gain)
        self.register_buffer("constant", constant)
        self.first, self.last = trained.first, trained.last

    def forward(self, x: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """What is added."""
        return self.gain * x + self.constant + self.last(functional.relu(self.first(x)))


@adapter("cat")
@dataclass(frozen=True, eq=False)
class ConditionalTailor(Tailoring):
    """A trained network whose features are tailored by a module that is conditioned on a summary of the scene."""

    rate: float = field(default=RATE, kw_only=True)

    name: ClassVar[str] = "cat"
    paper = "xin2025"

    def module(self, made: Made) -> Tailor:
        """The module for a scene."""
        body = Conditional(condition(made), len(made.moments.mean), made.rng)
        return Tailor(made.moments, body, whiten=False)

    def empty(self, channels: int) -> Tailor:
        """A module for any condition."""
        return Tailor(Moments.none(channels), Conditional(torch.zeros(1), channels, Generator()), whiten=False)


def condition(made: Made) -> Float[Tensor, " k"]:
    """Means and deviations of MS, PAN and features, of mean square 1; float64."""
    values, bridge = made.known.statistics, made.bridge
    mean, std, pan = values.mean, values.std, torch.tensor([values.pan_mean, values.pan_std], dtype=torch.float64)
    if bridge is not None:
        mean, std = bridge.gain * mean + bridge.offset, bridge.gain * std
        pan = bridge.pan_gain * pan + torch.tensor([bridge.pan_offset, 0.0], dtype=torch.float64)
    c = torch.cat([mean, std, pan, made.moments.mean, made.moments.std])
    return c / c.square().mean().sqrt()
