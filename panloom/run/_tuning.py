"""How a scene's network is run: what `panloom.compute.tune` needs to know of the scene, and how long it will take."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from panloom.compute import Policy, Tuned, holds_network, out_of_memory, tune, wanted
from panloom.errors import PanloomError
from panloom.pair import Fuser, Pair
from panloom.scene import Scene
from panloom.tiling import plan, tile_size
from panloom.types import Window

#: Name of the tag that says in which precision a network ran.
PRECISION = "PANLOOM_PRECISION"

#: Pairs, and MS pixels along their sides, that the error of reduced precision is measured on.
SAMPLES, SAMPLE_SIZE = 2, 32


def tuned(scene: Scene, fuser: Fuser, precision: str, policy: Policy, seed: int) -> Fuser:
    """A prepared network as it is to be run on this machine; any other method as it is.

    Raises:
        OptionError: no such precision.
        PanloomError: memory ran out.
    """

    def tile() -> tuple[Pair, Window]:
        size = tile_size(scene.grid.ratio, fuser.traits.multiple)
        tiles = plan(scene.grid, fuser.traits, size)
        # The largest near the middle: those of the rim are smaller.
        chosen = max(tiles[len(tiles) // 2 :], key=lambda t: (t.core.height * t.core.width, -t.index))
        ratio = scene.grid.ratio
        return scene.read(chosen), chosen.core.shifted(-chosen.read.row * ratio, -chosen.read.col * ratio)

    def samples() -> Iterable[Pair]:
        return scene.sample(SAMPLES, SAMPLE_SIZE, torch.Generator().manual_seed(seed))

    try:
        return tune(fuser, precision, policy, tile, samples)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise PanloomError(f"memory ran out while the network was tried ({error}); close other programs") from error


def precision_tag(fuser: Fuser, precision: str, policy: Policy) -> dict[str, str]:
    """The tag of the precision, known before a method is prepared; none for a method without a network.

    Whether `auto` falls back to float32 follows from the scene and the network, so it is the same in every run.
    """
    if not holds_network(fuser):
        return {}
    chosen = wanted(precision, policy.device)
    return {PRECISION: f"{chosen} where its error is small" if (precision, chosen) == ("auto", "bfloat16") else chosen}


def outlook(fuser: Fuser, policy: Policy, pixels: int, bands: int) -> str | None:
    """About how many seconds the tiles of a network will take; None for other methods.

    Args:
        fuser: as it is run.
        policy: its threads share the work.
        pixels: to be made.
        bands: that are sharpened.
    """
    if not isinstance(fuser, Tuned):
        return None
    seconds = pixels * bands / 1e6 / (fuser.mode.rate or 1) / policy.threads
    return f"about {max(seconds, 1):.0f} s on {policy.device} with {policy.threads} threads"


def needless(fuser: Fuser, method: str, precision: str) -> list[str]:
    """A warning where a precision was asked of a method without a network; `fuser` as it is run."""
    if precision == "auto" or isinstance(fuser, Tuned):
        return []
    return [f"precision {precision} is for networks: {method} has none, and its result is the same without it"]
