"""The radiometric bridge: the values of a scene brought to those that a network was trained on, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.adapt._sample import Statistics
from panloom.networks import SourceStatistics
from panloom.optics.moments import ROUNDING
from panloom.pair import Pair


@dataclass(frozen=True)
class Bridge:
    """One affine map for each band and one for PAN: source value = gain * scene value + offset.

    Attributes:
        gain: of each band.
        offset: of each band.
        pan_gain: of PAN.
        pan_offset: of PAN.
    """

    gain: Float[Tensor, " C"]
    offset: Float[Tensor, " C"]
    pan_gain: float
    pan_offset: float

    @staticmethod
    def of(source: SourceStatistics, scene: Statistics) -> Bridge:
        """The maps that give the scene the means and deviations of the source; of constant images only the mean."""
        mean, std = (torch.tensor(x, dtype=torch.float64) for x in (source.mean, source.std))
        varies = scene.std > ROUNDING * scene.mean.abs()
        gain = torch.where(varies, std / torch.where(varies, scene.std, 1.0), 1.0)
        pan_gain = source.pan_std / scene.pan_std if scene.pan_std > ROUNDING * abs(scene.pan_mean) else 1.0
        return Bridge(gain, mean - gain * scene.mean, pan_gain, source.pan_mean - pan_gain * scene.pan_mean)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The maps by name, to be kept."""
        pan = torch.tensor([self.pan_gain, self.pan_offset], dtype=torch.float64)
        return {"bridge.gain": self.gain, "bridge.offset": self.offset, "bridge.pan": pan}

    @staticmethod
    def kept(tensors: Mapping[str, Tensor]) -> Bridge | None:
        """The maps in what was kept; None: there are none."""
        if not {"bridge.gain", "bridge.offset", "bridge.pan"} <= tensors.keys():
            return None
        gain, offset = tensors["bridge.pan"].tolist()
        return Bridge(tensors["bridge.gain"], tensors["bridge.offset"], gain, offset)

    @staticmethod
    def shapes(bands: int) -> dict[str, tuple[int, ...]]:
        """Of `tensors`."""
        return {"bridge.gain": (bands,), "bridge.offset": (bands,), "bridge.pan": (2,)}

    def to_source(self, pair: Pair) -> Pair:
        """The pair in the values of the source."""
        gain, offset = (x.to(pair.exp)[:, None, None] for x in (self.gain, self.offset))
        return replace(
            pair,
            pan=self.pan_gain * pair.pan + self.pan_offset,
            ms=gain * pair.ms + offset,
            exp=gain * pair.exp + offset,
        )

    def to_scene(self, image: Float[Tensor, "b C H W"]) -> Float[Tensor, "b C H W"]:
        """A fused image in the values of the scene."""
        gain, offset = (x.to(image)[:, None, None] for x in (self.gain, self.offset))
        return (image - offset) / gain
