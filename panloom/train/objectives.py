"""Objectives and scores that many recipes share."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Generator, Tensor

from panloom import losses
from panloom.compute import to_device
from panloom.data.example import Example, Source
from panloom.metrics import ERGAS, SAM
from panloom.networks import Network
from panloom.train.recipe import stream


@dataclass(frozen=True)
class Supervised:
    """A loss against the truth.

    Attributes:
        loss: "l1", "mse", or "relative" (see `panloom.losses`).
        border: pixels along each border that do not count.
    """

    loss: Literal["l1", "mse", "relative"] = "relative"
    border: int = 0

    def __call__(self, net: Network, batch: Example, rng: Generator) -> Float[Tensor, ""]:
        """The loss of a batch."""
        pair = batch.pair
        image, truth, exp, valid = (self._inner(x) for x in (net(pair), batch.truth, pair.exp, pair.valid))
        if self.loss == "relative":
            return losses.relative(image, truth, exp, valid)
        return (losses.l1 if self.loss == "l1" else losses.mse)(image, truth, valid)

    def _inner(self, image: Tensor) -> Tensor:
        return image[..., self.border : image.shape[-2] - self.border, self.border : image.shape[-1] - self.border]


@dataclass(frozen=True)
class Held:
    """Scores on examples of a source that are always the same.

    Attributes:
        source: of data that the run does not train on.
        examples: how many are drawn.
        seed: of these examples.
    """

    source: Source
    examples: int = 8
    seed: int = 1

    def __call__(self, net: Network) -> dict[str, float]:
        """Geometric means: "ergas", "ergas/exp" (ERGAS over that of interpolation alone), and "sam".

        One band has no angle: "sam" is left out where an example has no more.
        """
        device = next(net.parameters()).device
        found: dict[str, list[float]] = defaultdict(list)
        for index in range(self.examples):
            batch = self.source(stream(self.seed, "held", index))
            image, pair = net(to_device(batch.pair, device)).to(batch.truth.device), batch.pair
            ergas = ERGAS(image, batch.truth, pair.valid, ratio=pair.ratio)
            found["ergas"].append(math.log(ergas))
            found["ergas/exp"].append(math.log(ergas / ERGAS(pair.exp, batch.truth, pair.valid, ratio=pair.ratio)))
            if batch.truth.shape[1] > 1:
                found["sam"].append(math.log(SAM(image, batch.truth, pair.valid)))
        return {name: math.exp(sum(logs) / len(logs)) for name, logs in found.items()}
