"""Patches of a sample with the features of a frozen network, made once: a step then costs module, head and loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom.adapt._base import Base
from panloom.adapt._batch import joined
from panloom.adapt._frame import NoFitError
from panloom.adapt._sample import Lowered
from panloom.adapt._terms import Full, Low, Measure, Weights
from panloom.compute import cut
from panloom.networks import Network
from panloom.pair import Pair
from panloom.types import Window

#: MS pixels along a side of a patch: 64 PAN pixels at ratio 4.
SIDE = 16

#: Patches in a batch, at most: so there are batches for several threads, and these fit their caches.
AT_ONCE = 2


@dataclass(frozen=True, eq=False)
class Patch:
    """A patch, or several of the same shape.

    Attributes:
        base: the frozen network, told of the scene that the patch is of, and its bridge.
        seen: the patch and as much around it as the head looks at, as the network sees it.
        features: of the network there, as the whole tile has them.
        core: the PAN pixels of the patch in `seen`.
        target: what the fused image is held against.
    """

    base: Base
    seen: Pair
    features: Float[Tensor, "n F Hf Wf"]
    core: Window
    target: Full | Low

    def image(self, features: Float[Tensor, "n F Hf Wf"]) -> Float[Tensor, "b C H W"]:
        """What the head makes of changed features, in the values of the scene."""
        return _image(self.base, self.seen, features, self.core)


@dataclass(frozen=True, eq=False)
class Cutter:
    """How patches of one scene are cut.

    Attributes:
        base: the frozen network, told of the scene that is cut, and its bridge.
        measure: of the scene.
        weights: of the terms.
        around: MS pixels around a patch that the head looks at.
    """

    base: Base
    measure: Measure
    weights: Weights
    around: int

    def full(self, tile: Pair, window: Window) -> Patch:
        """A patch of a tile, at full resolution."""
        seen, features, core = self._made(tile, window)
        frozen = _image(self.base, seen, features, core)
        return Patch(self.base, seen, features, core, Full.of(tile, window, self.measure, self.weights, frozen))

    def low(self, tile: Lowered, window: Window) -> Patch:
        """A patch of a tile that was degraded once more."""
        pair, held = tile.pair, held_back(*tile.pair.valid.shape[-2:]).to(tile.pair.valid.device)
        parts = (tile.truth, pair.valid & ~held, pair.valid & held)
        inside = (..., *window.scaled(pair.ratio).inside(Window(0, 0, 0, 0)))
        return Patch(self.base, *self._made(pair, window), Low(*(part[inside] for part in parts)))

    def _made(self, tile: Pair, window: Window) -> tuple[Pair, Tensor, Window]:
        base = self.base
        assert base.network is not None
        rows, cols = (n - n % base.multiple for n in tile.ms.shape[-2:])
        halo, around = (-(-n // base.multiple) * base.multiple for n in (base.network.traits.halo, self.around))
        wide, read = (window.grown(n).clipped(rows, cols) for n in (halo, min(around, halo)))
        features = base.network.features(base.seen(cut(tile, wide)))
        part = _trimmed(features, read.scaled(tile.ratio), wide.scaled(tile.ratio))
        inner, outer = window.scaled(tile.ratio), read.scaled(tile.ratio)
        return base.seen(cut(tile, read)), part, inner.shifted(-outer.row, -outer.col)


def _image(base: Base, seen: Pair, features: Tensor, core: Window) -> Float[Tensor, "b C H W"]:
    """What the head makes of features in a part of what the network sees, in the values of the scene."""
    assert base.network is not None
    fused = base.network.head(features, seen)[(..., *core.inside(Window(0, 0, 0, 0)))]
    return base.to_scene(fused)


def _trimmed(features: Tensor, part: Window, whole: Window) -> Tensor:
    """The features of a part of an image; those without padding are some pixels larger than their image."""
    (rows, cols), more = part.inside(whole), features.shape[-2] - whole.height
    return features[..., rows.start : rows.stop + more, cols.start : cols.stop + more]


def head_reach(network: Network, pair: Pair) -> int:
    """MS pixels around a cell whose features the head looks at, by the slope of what it makes in the middle cell.

    Args:
        network: frozen.
        pair: a part of the scene, as the network sees it.

    Raises:
        NoFitError: the image does not depend on the features.
    """
    features = network.features(pair).detach()
    ratio, middle = pair.ratio, Window(pair.ms.shape[-2] // 2, pair.ms.shape[-1] // 2, 1, 1)
    with torch.enable_grad():
        features.requires_grad_(True)
        image = network.head(features, pair)
        rows, cols = middle.scaled(ratio).inside(Window(0, 0, 0, 0))
        seen = image[..., rows, cols].sum()
        slope = torch.autograd.grad(seen, features, allow_unused=True)[0] if image.requires_grad else None
    if slope is None:
        raise NoFitError("the head of the network does not look at its features")
    if not bool((slope != 0).any()):
        return network.traits.halo
    reach = 0
    for axis, start in zip((-2, -1), (rows.start, cols.start), strict=True):
        other = tuple({0, 1, 2, 3} - {slope.ndim + axis})
        found = (slope != 0).sum(other).nonzero()
        first = start + (slope.shape[axis] - pair.exp.shape[axis]) // 2
        reach = max(reach, first - int(found[0]), int(found[-1]) - (first + ratio - 1))
    return min(math.ceil(reach / ratio), network.traits.halo)


def held_back(height: int, width: int) -> Bool[Tensor, "h w"]:
    """A quarter of an image in square blocks: an eighth of the shorter side, 8 pixels at least."""
    block = max(min(height, width) // 8, 8)
    rows, cols = ((torch.arange(n) // block) % 2 == 0 for n in (height, width))
    return rows[:, None] & cols


def batched(patches: Sequence[Patch]) -> list[Patch]:
    """Those of the same kind, shape and phase in batches."""
    groups: dict[object, list[Patch]] = {}
    for patch in patches:
        key = (type(patch.target), patch.core, patch.seen.pan.shape, patch.seen.phase)
        groups.setdefault(key, []).append(patch)
    # Layers and their slopes are twice as fast on channels that lie side by side.
    found = [joined(group[k : k + AT_ONCE]) for group in groups.values() for k in range(0, len(group), AT_ONCE)]
    return [replace(p, features=p.features.contiguous(memory_format=torch.channels_last)) for p in found]
