"""Writing an image in memory as a GeoTIFF, complete or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from panloom.scene.profile import Affine6, Profile
from panloom.scene.writer import GeoTiffWriter, TileEncoder
from panloom.tiling import blocks
from panloom.types import Window


def save(
    path: str | Path,
    array: Shaped[np.ndarray, "c h w"],
    *,
    crs: str | None = None,
    transform: Affine6 | None = None,
    nodata: float | None = None,
    descriptions: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write an image; the same image gives the same bytes.

    Args:
        path: the file; its folder must exist.
        array: the image, in its type and numbers.
        crs: reference system as WKT or "EPSG:code"; None: none.
        transform: (a, b, c, d, e, f) from (col, row) corners to coordinates; None: none.
        nodata: number in pixels that are not valid; None: all are.
        descriptions: names of the bands; red, green and blue become colours too. Empty: none.
        tags: metadata of the file.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file cannot be written.
    """
    profile = Profile(
        height=array.shape[1],
        width=array.shape[2],
        count=array.shape[0],
        dtype=array.dtype.name,
        crs=crs,
        transform=transform,
        nodata=nodata,
        descriptions=tuple(descriptions),
        colors=tuple(name if name in ("red", "green", "blue") else "undefined" for name in descriptions),
        tags=dict(tags or {}),
    )
    encoder = TileEncoder(profile)
    with GeoTiffWriter(path, profile, overwrite=overwrite) as writer:
        for index, part in enumerate(blocks(Window(0, 0, profile.height, profile.width), profile.tile)):
            tile = array[:, part.row : part.row_end, part.col : part.col_end]
            writer.put(index, encoder.encode(np.ascontiguousarray(tile)))
