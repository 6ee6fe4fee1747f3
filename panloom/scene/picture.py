"""Small pictures of rasters: read reduced, written as PNG, or encoded for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from panloom.scene._rasterio import describe, encode_picture, read_reduced, write_picture


@dataclass(frozen=True)
class Small:
    """A raster, reduced.

    Attributes:
        names: band names, lower case; "band1", ... where the file has none.
        colors: colour interpretation of the bands: "red", "undefined", ...
        data: stored numbers.
        valid: per band.
    """

    names: tuple[str, ...]
    colors: tuple[str, ...]
    data: Shaped[np.ndarray, "c h w"]
    valid: Bool[np.ndarray, "c h w"]


def read_small(path: str, side: int) -> Small:
    """Read a raster so that its longer side has at most `side` pixels.

    Raises:
        SceneError: it cannot be read.
    """
    raster = describe(path)
    scale = max(raster.height / side, raster.width / side, 1.0)
    size = (max(round(raster.height / scale), 1), max(round(raster.width / scale), 1))
    data, valid = read_reduced(path, raster.bands, size)
    names = tuple((raster.descriptions[b - 1] or f"band{b}").lower() for b in raster.bands)
    return Small(names, tuple(raster.colors[b - 1] for b in raster.bands), data, valid)


def write_png(path: str, rgba: UInt8[np.ndarray, "4 h w"]) -> None:
    """Write a picture with transparency, complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_picture(path, rgba)


def encode_png(image: UInt8[np.ndarray, "c h w"], palette: Sequence[tuple[int, int, int]] = ()) -> bytes:
    """A PNG: every pixel as it is.

    Args:
        image: grey, red-green-blue, or one band of places in the palette.
        palette: the colours; empty: none.

    Raises:
        OutputError: it cannot be made.
    """
    return encode_picture(image, "PNG", {"ZLEVEL": 9}, dict(enumerate(palette)))


def encode_jpeg(image: UInt8[np.ndarray, "c h w"], quality: int = 82) -> bytes:
    """A JPEG: small, and not exact. Grey, or red-green-blue.

    Raises:
        OutputError: it cannot be made.
    """
    return encode_picture(image, "JPEG", {"QUALITY": quality})
