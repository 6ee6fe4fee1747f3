"""Reflectance of a few common surfaces, so that any sensor can look at a drawn landscape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from panloom.types import Band

Floats = npt.NDArray[np.floating]

_WAVELENGTHS_NM = (
    400, 450, 500, 550, 600, 650, 680, 700, 720, 750,
    800, 900, 1000, 1200, 1400, 1600, 1800, 2000, 2200, 2500,
)  # fmt: skip

# Percent, at the wavelengths above. Typical curves drawn by hand after the well-known features: green peak,
# red absorption and red edge of leaves, water bands at 1400 and 1900 nm, iron in soil and tiles, dark water.
_PERCENT = {
    "crop": (3, 3.4, 4.4, 9.8, 7.6, 5.4, 4.8, 10.5, 22, 42, 47, 48, 47, 44, 22, 30, 25, 12, 19, 12),
    "grass": (3.6, 4.6, 6.2, 11.2, 10.6, 9.4, 8.8, 14, 22, 33, 37, 38, 38, 38, 23, 31, 28, 15, 22, 16),
    "canopy": (2, 2.5, 3.2, 6, 4.6, 3.4, 3, 6.5, 14, 27, 32, 34, 34, 31, 15, 19, 16, 7, 11, 7),
    "straw": (9, 12, 17, 22, 27, 30, 31, 32, 34, 36, 39, 43, 45, 46, 37, 43, 41, 29, 33, 26),
    "soil": (6, 8, 11, 14, 17.5, 20, 21, 22, 23, 24, 26, 29, 32, 36, 34, 38, 38, 34, 36, 32),
    "mould": (4, 5, 6.5, 8, 9.5, 11, 11.5, 12, 12.5, 13.5, 15, 17.5, 20, 24, 22, 26, 26, 22, 24, 21),
    "sand": (13, 17, 22, 27, 31, 34, 35, 35.5, 36, 37, 39, 42, 44, 48, 46, 50, 50, 47, 48, 44),
    "water": (3.2, 3.6, 4.2, 4.6, 3.2, 2.2, 1.8, 1.6, 1.4, 1.2, 1, 0.6, 0.4, 0.2, 0.1, 0.1, 0.1, 0.1, 0, 0),
    "shallows": (4.4, 5.4, 7.2, 8.6, 7.2, 5.5, 4.5, 4, 3.4, 2.6, 2, 1, 0.6, 0.3, 0.1, 0.1, 0.1, 0.1, 0, 0),
    "asphalt": (8, 9, 10, 11, 11.8, 12.4, 12.7, 12.9, 13.1, 13.5, 14, 15, 16, 17, 17, 18, 18, 17, 17, 16),
    "gravel": (15, 18, 21, 24, 26.5, 28, 28.5, 29, 29.5, 30, 31, 32, 33, 35, 34, 36, 36, 34, 34, 32),
    "concrete": (20, 24, 28, 31, 33, 34, 34.5, 35, 35, 36, 37, 38, 39, 40, 38, 41, 41, 38, 38, 35),
    "tile": (6, 7, 9, 12.5, 20, 26, 28, 29, 30, 31, 33, 37, 40, 44, 44, 46, 46, 43, 43, 40),
    "tile-old": (6, 7, 8.5, 11, 15, 18.5, 19.5, 20, 21, 22, 24, 28, 31, 34, 34, 36, 36, 34, 34, 32),
    "slate": (8, 8.7, 9.2, 9.6, 9.9, 10, 10.1, 10.2, 10.4, 10.6, 11, 11.5, 12, 13, 13, 14, 14, 13, 13, 12),
    "metal": (52, 57, 60, 61, 61, 61, 61, 60.5, 60, 60, 59, 57, 55, 52, 48, 48, 46, 42, 42, 38),
    "paint-blue": (16, 25, 24, 16, 11, 10, 10.5, 11.5, 13, 17, 23, 29, 32, 34, 33, 34, 33, 31, 31, 29),
    "paint-white": (45, 66, 71, 73, 73, 73, 73, 73, 73, 73, 72, 71, 69, 65, 60, 61, 58, 52, 52, 47),
    "paint-red": (4, 4, 4, 5, 16, 42, 47, 49, 50, 52, 54, 56, 57, 57, 54, 55, 54, 50, 50, 46),
}  # fmt: skip


def materials(bands: Sequence[Band]) -> dict[str, Floats]:
    """Reflectance of each material at the centre of each band, in [0, 1]: name -> (C,)."""
    centres = [band.centre_nm for band in bands]
    return {
        name: (np.interp(centres, _WAVELENGTHS_NM, percent) / 100).astype(np.float32)
        for name, percent in _PERCENT.items()
    }


def skylight(bands: Sequence[Band]) -> Floats:
    """Share of the light that reaches a shadow, per band: the blue sky, so less at long wavelengths."""
    return np.array([0.12 + 0.30 * (450 / band.centre_nm) ** 2 for band in bands], np.float32)


def haze(bands: Sequence[Band]) -> Floats:
    """Light that the air adds, per band, in units of reflectance."""
    return np.array([0.05 * (450 / band.centre_nm) ** 3 for band in bands], np.float32)
