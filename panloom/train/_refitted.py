"""The objective of a network that will be fitted to the scene: each example is a scene, and fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom import losses
from panloom.adapt._through import Terms, fitted
from panloom.data.example import Example
from panloom.errors import OptionError
from panloom.networks import Network
from panloom.networks.universal import Universal
from panloom.pair import Pair


@dataclass(frozen=True)
class Refitted:
    """The error of the network fitted to the example and, in part, of the network alone; for `universal`.

    The fit sees the example without its truth, as `refit` sees a scene: the pair degraded once more, and what the MS
    says of the fused image. It is judged on the pair itself, through the fit.

    Attributes:
        terms: of the fit.
        plain: weight of the error of the network alone.
        border: pixels along each border that do not count.
    """

    terms: Terms = field(default_factory=Terms)
    plain: float = 0.3
    border: int = 6

    def __call__(self, net: Network, batch: Example, rng: Generator) -> Float[Tensor, ""]:
        """The loss of a batch; every image is fitted to by itself.

        Raises:
            OptionError: another network, or a pair without its sensor.
        """
        pair = batch.pair
        if not isinstance(net, Universal) or pair.sensor is None:
            raise OptionError(
                f"the network that is fitted in training is universal, on pairs with a sensor; given: "
                f"{type(net).__name__.lower()} and {'no sensor' if pair.sensor is None else pair.sensor.name}"
            )
        both = [fitted(net, one, pair.sensor, self.terms) for one in _each(pair)]
        alone, own = (torch.cat(images) for images in zip(*both, strict=True))
        inner = (..., slice(self.border, -self.border or None), slice(self.border, -self.border or None))
        truth, exp, valid = batch.truth[inner], pair.exp[inner], pair.valid[inner]
        judged = (losses.relative(image[inner], truth, exp, valid) for image in (own, alone))
        return next(judged) + self.plain * next(judged)


def _each(pair: Pair) -> Iterator[Pair]:
    """The images of a batch."""
    images = (pair.pan, pair.ms, pair.exp, pair.valid)
    for pan, ms, exp, valid in zip(*(image.split(1) for image in images), strict=True):
        yield replace(pair, pan=pan, ms=ms, exp=exp, valid=valid)
