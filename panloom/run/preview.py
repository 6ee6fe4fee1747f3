"""A quick look: true colour where the bands allow it, robust stretch, one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8

from panloom.errors import OptionError
from panloom.scene.picture import read_small, write_png

#: Pixels of the longer side of a preview.
SIDE = 1200

#: Percentiles that become black and white.
LOW, HIGH = 2.0, 98.0

#: Brightens the middle tones, as a screen expects.
GAMMA = 1.4


def preview(
    path: str | Path, png: str | Path, bands: Sequence[str | int] | None = None, side: int = SIDE
) -> tuple[str, ...]:
    """Write a PNG of a raster.

    Args:
        path: the raster.
        png: the picture to write; pixels without data are transparent.
        bands: three (or one) band names or numbers for red, green and blue; None: by colour interpretation,
            else by name, else the first three.
        side: pixels of the longer side, at most those of the raster.

    Returns:
        Names of the bands that are shown as red, green and blue, or of the one that is shown as grey.

    Raises:
        OptionError: a band does not exist.
        SceneError: the raster cannot be read.
        OutputError: the picture cannot be written.
    """
    small = read_small(str(path), side)
    chosen = choose(small.names, bands, small.colors)
    picture = stretch(small.data[chosen], np.all(small.valid[chosen], axis=0, keepdims=True)[0])
    write_png(str(png), picture)
    return tuple(small.names[k] for k in chosen)


def choose(names: Sequence[str], bands: Sequence[str | int] | None = None, colors: Sequence[str] = ()) -> list[int]:
    """Indices of the bands to show as red, green and blue (one index: grey).

    Args:
        names: of the bands, lower case.
        bands: names or numbers that were asked for; None: what the file says.
        colors: colour interpretation of the bands, which names a colour more surely than a free name does.

    Raises:
        OptionError: a band does not exist, or there are not one or three.
    """
    if bands is None:
        for words in (colors, names):
            if {"red", "green", "blue"} <= set(words):
                return [words.index(c) for c in ("red", "green", "blue")]
        return [0, 1, 2] if len(names) >= 3 else [0]
    found = [_index(str(b).strip().lower(), names) for b in bands]
    if len(found) not in (1, 3):
        raise OptionError(f"a preview shows one or three bands; given: {len(found)}")
    return found


def _index(word: str, names: Sequence[str]) -> int:
    if word in names:
        return list(names).index(word)
    if word.isdigit() and 1 <= int(word) <= len(names):
        return int(word) - 1
    raise OptionError(f"band {word!r} does not exist: {', '.join(names)} (or 1 to {len(names)})")


#: What becomes black and what becomes white, of each band.
Limits = Sequence[tuple[float, float]]


def limits(data: Shaped[np.ndarray, "c h w"], valid: Shaped[np.ndarray, "h w"]) -> list[tuple[float, float]]:
    """The 2nd and the 98th percentile of every band, over the valid pixels; (0, 1) where there is none."""
    found = []
    for band in data:
        inside = band[valid].astype(np.float64)
        low, high = np.percentile(inside, [LOW, HIGH]) if inside.size else (0.0, 1.0)
        found.append((float(low), float(high)))
    return found


def stretch(
    data: Shaped[np.ndarray, "c h w"], valid: Shaped[np.ndarray, "h w"], between: Limits | None = None
) -> UInt8[np.ndarray, "4 h w"]:
    """RGBA, gamma 1.4; invalid pixels transparent.

    Args:
        data: three bands, or one that is shown as grey.
        valid: the pixels that hold data.
        between: black and white of each band; None: its own `limits`. Images that are compared need the same.
    """
    shown = []
    for band, (low, high) in zip(data, limits(data, valid) if between is None else between, strict=True):
        part = np.clip((band.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
        grey = np.where(valid, part, 0) ** (1 / GAMMA)
        shown.append(np.round(grey * 255).astype(np.uint8))
    rgb = shown * 3 if len(shown) == 1 else shown
    return np.stack([*rgb, np.where(valid, 255, 0).astype(np.uint8)])
