"""What is adapted: a frozen network behind its radiometric bridge, on a PAN that lies where MS does."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.adapt._bridge import Bridge
from panloom.adapt._sample import Lowered
from panloom.networks import Network
from panloom.optics.alignment import NOWHERE, Offset, with_pan
from panloom.pair import Pair


@dataclass(frozen=True)
class Base:
    """What is adapted: a frozen network behind its radiometric bridge, or EXP.

    Attributes:
        network: frozen; None: EXP.
        bridge: None: the network sees the scene's own values.
        offset: what PAN of the scene is moved by before anything else; tiles of an `Aligned` scene are moved already.
    """

    network: Network | None
    bridge: Bridge | None
    offset: Offset = NOWHERE

    def aligned(self, pair: Pair) -> Pair:
        """A tile of the scene with its PAN where MS lies."""
        return with_pan(pair, self.offset)

    def features(self, pair: Pair) -> Float[Tensor, "n F Hf Wf"] | None:
        """Those of the network."""
        return None if self.network is None else self.network.features(self.seen(pair))

    def image(self, features: Float[Tensor, "n F Hf Wf"] | None, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The frozen output, in the values of the scene."""
        if self.network is None or features is None:
            return pair.exp
        return self.to_scene(self.network.head(features, self.seen(pair)))

    def fused(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The frozen output; as `image` of `features`, the quicker way."""
        return pair.exp if self.network is None else self.to_scene(self.network(self.seen(pair)))

    def to_scene(self, fused: Float[Tensor, "b C H W"]) -> Float[Tensor, "b C H W"]:
        """What the network made, in the values of the scene."""
        return fused if self.bridge is None else self.bridge.to_scene(fused)

    def seen(self, pair: Pair) -> Pair:
        """What the network sees of a pair."""
        return pair if self.bridge is None else self.bridge.to_source(pair)

    @property
    def direct(self) -> Base:
        """The same without its bridge."""
        return replace(self, bridge=None)

    @property
    def quick(self) -> Base:
        """The same with layers on channels that lie side by side, which is how they are fastest."""
        network = copy.deepcopy(self.network)
        return self if network is None else replace(self, network=network.to(memory_format=torch.channels_last))  # pyright: ignore[reportCallIssue]  torch's stub lacks it

    def below(self, low: Sequence[Lowered]) -> Base:
        """The same for tiles that were degraded once more: a network that knows its scene is told of theirs.

        How sharp and how noisy images are, and how PAN and bands go together, is not the same there.
        """
        if self.network is None or not low:
            return self
        return replace(self, network=self.network.informed([self.seen(one.pair) for one in low]))

    @property
    def halo(self) -> int:
        """MS pixels that features and head look at, with one more for 3 x 3 neighbours."""
        return 0 if self.network is None else self.network.traits.halo + 1

    @property
    def multiple(self) -> int:
        """MS pixels that sides must be a multiple of."""
        return 1 if self.network is None else self.network.traits.multiple
