"""One tile from the scene to stored numbers: fuse, trim, round, mark no-data. Pure functions of the tile."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from panloom.compute import Policy, fused, out_of_memory
from panloom.errors import PanloomError
from panloom.pair import Fuser
from panloom.scene import Loaded, Scene
from panloom.tiling import blocks, trim
from panloom.types import Tile

#: PAN pixels below which a tile is not halved any further when memory runs out.
SMALLEST = 64

log = logging.getLogger("panloom")


@dataclass(frozen=True)
class Numbers:
    """How values become stored numbers.

    Attributes:
        dtype: numpy name of the output type.
        nodata: marks invalid pixels; None: they are marked by a mask, or there are none.
    """

    dtype: str
    nodata: float | None

    def clipped(self, dn: Float[Tensor, "c h w"], valid: Bool[Tensor, "c h w"] | None) -> int:
        """How many valid values the type cannot hold; float types hold all."""
        kind = np.dtype(self.dtype)
        if np.issubdtype(kind, np.floating) or not dn.numel():
            return 0
        info = np.iinfo(kind)
        low, high = info.min - 0.5, info.max + 0.5
        if float(dn.amin()) >= low and float(dn.amax()) <= high:
            return 0
        outside = (dn < low) | (dn > high)
        return int(outside.sum() if valid is None else (outside & valid).sum())

    def store(self, dn: Float[Tensor, "c h w"], valid: Bool[Tensor, "c h w"] | None) -> Shaped[np.ndarray, "c h w"]:
        """Round and clip; a valid pixel never takes the no-data value; invalid ones do.

        `dn` may be overwritten.
        """
        kind = np.dtype(self.dtype)
        if np.issubdtype(kind, np.floating):
            stored = dn.numpy().astype(kind, copy=False)
        else:
            stored = dn.round_().clamp_(*_limits(kind, dn.dtype)).numpy().astype(kind)
        if self.nodata is None:
            return stored
        return self._marked(stored, np.ones(stored.shape, bool) if valid is None else valid.numpy())

    def _marked(self, stored: np.ndarray, valid: np.ndarray) -> np.ndarray:
        kind, nodata = stored.dtype, self.nodata
        clash = valid & (stored == nodata)
        if clash.any():
            stored = stored.copy()
            stored[clash] = _neighbour(kind, float(nodata or 0))
        return stored if valid.all() else np.where(valid, stored, np.array(nodata).astype(kind))


def _limits(kind: np.dtype, of: torch.dtype) -> tuple[float, float]:
    """The numbers between which values of type `of` fit an integer type; the upper limit may round up in `of`."""
    info = np.iinfo(kind)
    high = torch.tensor(info.max, dtype=torch.float64).to(of)
    if int(high) > info.max:
        high = torch.nextafter(high, torch.zeros_like(high))
    return float(info.min), float(high)


def _neighbour(kind: np.dtype, nodata: float) -> float:
    """The representable number next to the no-data value: above it, or below it where there is none above."""
    if np.issubdtype(kind, np.floating):
        return float(np.nextafter(np.array(nodata, kind), np.array(np.inf, kind)))
    return nodata + 1 if nodata < np.iinfo(kind).max else nodata - 1


@dataclass(frozen=True)
class Done:
    """A finished tile: stored numbers, its mask where one is written, and its accounts in pixels."""

    image: Shaped[np.ndarray, "c h w"]
    mask: Shaped[np.ndarray, "h w"] | None
    valid: int
    filled: int
    missing: int
    clipped: int

    @property
    def counts(self) -> Done:
        """The accounts without the pixels, which need not be kept."""
        none = np.empty((len(self.image), 0, 0), self.image.dtype)  # a slice would keep all pixels alive
        return replace(self, image=none, mask=None)


def finish(scene: Scene, fuser: Fuser, numbers: Numbers, tile: Tile, policy: Policy) -> Done:
    """Read a tile, fuse it, and turn its core into stored numbers in output band order.

    Raises:
        PanloomError: a file cannot be read, or memory does not suffice for the smallest part of a tile.
    """
    try:
        return _finish(scene, fuser, numbers, tile, policy)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return _halved(scene, fuser, numbers, tile, policy, reason)


def _finish(scene: Scene, fuser: Fuser, numbers: Numbers, tile: Tile, policy: Policy) -> Done:
    loaded = scene.load(tile)
    with policy.turn:
        return _computed(scene, fuser, numbers, tile, policy, loaded)


def _computed(scene: Scene, fuser: Fuser, numbers: Numbers, tile: Tile, policy: Policy, loaded: Loaded) -> Done:
    ratio = scene.grid.ratio
    image = in_order(scene, fused(fuser, loaded.pair, tile, ratio, policy), loaded, tile).contiguous()
    valid = None if loaded.valid is None else trim(loaded.valid, tile, ratio)[0]
    dn = scene.units.to_dn(image)[0]
    clipped = numbers.clipped(dn, valid)
    stored = numbers.store(dn, valid)
    everywhere = None if valid is None else valid.all(0)
    count = tile.core.height * tile.core.width
    return Done(
        stored,
        None if everywhere is None else np.where(everywhere.numpy(), 255, 0).astype(np.uint8),
        count if everywhere is None else int(everywhere.sum()),
        _count(loaded.filled, tile, ratio),
        _count(loaded.missing, tile, ratio),
        clipped,
    )


def in_order(scene: Scene, core: Float[Tensor, "1 C H W"], loaded: Loaded, tile: Tile) -> Float[Tensor, "1 N H W"]:
    """Fused and passed-through bands of a tile's core in output order."""
    if loaded.passed is None:
        return core
    order = torch.tensor(scene.sharp + scene.rest).argsort()
    return torch.cat([core, trim(loaded.passed, tile, scene.grid.ratio)], 1)[:, order]


def _count(where: Tensor | None, tile: Tile, ratio: int) -> int:
    return 0 if where is None else int(trim(where, tile, ratio).sum())


def _halved(scene: Scene, fuser: Fuser, numbers: Numbers, tile: Tile, policy: Policy, reason: str) -> Done:
    """The tile in four parts, each read with its own halo."""
    core, ratio = tile.core, scene.grid.ratio
    half = -(-max(core.height, core.width) // 2)
    if half < SMALLEST or fuser.traits.tiling == "whole":
        raise PanloomError(
            f"memory ran out on {core.height} x {core.width} pixels, which cannot be cut any further ({reason}); "
            "close other programs, use fewer --threads or a machine with more memory"
        )
    log.warning("memory ran out on a tile of %d x %d (%s): it is halved", core.height, core.width, reason)
    rows, cols = scene.grid.cells
    bands = len(scene.bands)
    image = np.empty((bands, core.height, core.width), numbers.dtype)
    mask = np.full((core.height, core.width), 255, np.uint8)
    masked, parts = False, []
    for part in blocks(core, half):
        read = part.cells(ratio).grown(fuser.traits.halo).clipped(rows, cols)
        done = finish(scene, fuser, numbers, Tile(tile.index, part, read), policy)
        place = part.inside(core)
        image[(slice(None), *place)] = done.image
        if done.mask is not None:
            mask[place] = done.mask
            masked = True
        parts.append(done.counts)
    return Done(
        image,
        mask if masked else None,
        sum(p.valid for p in parts),
        sum(p.filled for p in parts),
        sum(p.missing for p in parts),
        sum(p.clipped for p in parts),
    )
