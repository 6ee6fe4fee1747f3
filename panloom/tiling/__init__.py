"""Pure geometry: which tiles a scene is cut into, and how a tile's result is cut back."""

from panloom.tiling._plan import blocks, plan, tile_size, trim

__all__ = ["blocks", "plan", "tile_size", "trim"]
