"""Free multispectral and hyperspectral images, as truths that virtual sensors look at.

Their own pixels are the truth, at their own resolution; a PAN of the same place is kept beside them where one was
recorded. Thermal and cirrus bands are left out: the first show heat, the second nearly nothing of the ground.

Band centres and widths of Sentinel-2: ESA, Sentinel-2 User Handbook (2015), table of spectral bands. Hyperion: the
centres come with the data, and 10 nm is the nominal width (Pearlman et al., IEEE TGRS 41, 2003).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom import sensors
from panloom.data import procedural
from panloom.data.pairs import MANIFEST, Recorded, read_pair
from panloom.data.splits import DESCRIBED, PAIRS, Splits, data_root, open_splits, read_manifest
from panloom.errors import SceneError
from panloom.types import Band

#: Share of the columns, on the right, that is held out of an image that has no split of its own.
HELD_OUT = 0.3

#: Sentinel-2 level 1C holds reflectance times this.
_SENTINEL_2_SCALE = 10_000.0

#: Name, centre and width (nm) of the bands of Sentinel-2, by their numbers.
_SENTINEL_2 = {
    "B1": ("coastal", 443.0, 20.0),
    "B2": ("blue", 490.0, 65.0),
    "B3": ("green", 560.0, 35.0),
    "B4": ("red", 665.0, 30.0),
    "B5": ("red-edge1", 705.0, 15.0),
    "B6": ("red-edge2", 740.0, 15.0),
    "B7": ("red-edge3", 783.0, 20.0),
    "B8": ("nir1", 842.0, 115.0),
    "B8A": ("nir2", 865.0, 20.0),
    "B9": ("nir3", 945.0, 20.0),
    "B11": ("swir1", 1610.0, 90.0),
    "B12": ("swir2", 2190.0, 180.0),
}
_HYPERION_WIDTH_NM = 10.0


@dataclass(frozen=True)
class Truth:
    """An image that a virtual sensor may look at.

    Attributes:
        name: of the file, and of the part of it.
        image: float32, in units of the full scale: about 0 to 1, bright clouds above.
        valid: pixels that hold data in every band; the others are a smooth continuation.
        pan: the real PAN of the same place in the same units, `pan_ratio` times finer; None where there is none.
        pan_ratio: PAN pixels per pixel of the image; 1 without PAN.
        phase: (row, col) of image pixel (0, 0) on PAN's grid.
        bands: those of the image, in its order.
        licence_open: the imagery is free: what is learned from it may be passed on.
    """

    name: str
    image: Float[Tensor, "C H W"]
    valid: Bool[Tensor, "H W"]
    pan: Float[Tensor, "1 rH rW"] | None
    pan_ratio: int
    phase: tuple[float, float]
    bands: tuple[Band, ...]
    licence_open: bool


def open_truths(folder: str | Path, *, held_out: bool = False, without: Collection[str] = ()) -> list[Truth]:
    """Every free truth below a folder of data: Landsat pairs, EO-1 and Sentinel-2 images.

    Landsat pairs are split by the manifest. Of the others the left columns are for training, and the right-hand
    HELD_OUT of them is held out.

    Args:
        folder: of all data, with `pansharpening`, `hyperspectral` and `sentinel2` in it or in its `data`; what is
            missing is left out.
        held_out: those that nothing is learned from, instead: validation pairs and the held-out columns.
        without: names of pairs that are left out too, such as the development pairs.

    Raises:
        SceneError: there is none, or a file cannot be read.
    """
    root = data_root(folder)
    found: list[Truth] = []
    if (root / PAIRS / MANIFEST).is_file():
        found += _landsat(open_splits(root), held_out=held_out, without=without)
    images = [*_earth_observing_1(root / "hyperspectral"), *_sentinel_2(root / "sentinel2")]
    found += [_columns(truth, held_out=held_out) for truth in images if truth.name not in without]
    if not found:
        raise SceneError(
            f"{folder}: no free imagery in {PAIRS}, hyperspectral or sentinel2, here or in data; {DESCRIBED}"
        )
    return found


def procedural_truths(count: int, *, side: int = 512, seed: int = 0) -> list[Truth]:
    """Drawn farmland with houses, roads and cars, in the eight bands of WorldView-2, as it is before optics.

    Args:
        count: how many.
        side: pixels along a side.
        seed: of the first one; the others follow.
    """
    found: list[Truth] = []
    for number in range(seed, seed + count):
        made = procedural.make(side, side, sensor="worldview-2", wedge=False, seed=number)
        image = torch.from_numpy(made.truth).float() / (made.sensor.full_scale or 1.0)
        valid = torch.ones(image.shape[-2:], dtype=torch.bool)
        found.append(Truth(f"drawn-{number}", image, valid, None, 1, (0.0, 0.0), made.sensor.bands, licence_open=True))
    return found


def truth_of(pair: Recorded, *, licence_open: bool = False) -> Truth:
    """The reflective bands of a pair as a truth: its true image if it came with one, else its MS.

    Args:
        pair: as read from a file.
        licence_open: the imagery is free.

    Raises:
        SceneError: none of the bands is reflective.
    """
    image = pair.ms if pair.truth is None else pair.truth
    assert image is not None  # a pair has one of the two
    keep = [k for k, band in enumerate(pair.sensor.bands) if band.role in ("sharpen", "swir")]
    if not keep:
        raise SceneError(f"{pair.name}: none of its bands shows reflected light of the ground")
    ratio = pair.ratio if pair.truth is None else 1
    return Truth(
        name=pair.name,
        image=(image[0, keep] / pair.full_scale).float(),
        valid=pair.ms_valid[0, 0],
        pan=(pair.pan[0] / pair.full_scale).float(),
        pan_ratio=ratio,
        phase=pair.phase if pair.truth is None else (0.0, 0.0),
        bands=tuple(pair.sensor.bands[k] for k in keep),
        licence_open=licence_open,
    )


def _landsat(splits: Splits, *, held_out: bool, without: Collection[str]) -> list[Truth]:
    names = splits.names("val" if held_out else "train", only_open=True)
    return [truth_of(read_pair(splits.path(name)), licence_open=True) for name in names if name not in without]


def _earth_observing_1(folder: Path) -> list[Truth]:
    """Hyperion and ALI images of one place."""
    found: list[Truth] = []
    for entry in _entries(folder):
        if str(entry.get("sensor", "")).startswith("EO-1"):
            arrays = _arrays(folder / f"{entry['name']}.npz", ("hs_ms", "ms", "wavelength_nm"))
            hyperion = tuple(_hyperion(float(centre)) for centre in arrays["wavelength_nm"])
            found += [
                _plain(f"{entry['name']}-hyperion", arrays["hs_ms"], 1.0, hyperion),
                _plain(f"{entry['name']}-ali", arrays["ms"], 1.0, sensors.get("eo1-ali").bands),
            ]
    return found


def _hyperion(centre: float) -> Band:
    gain = sensors.get("generic").bands[0].mtf_nyquist
    return Band(f"{centre:.0f}nm", centre, _HYPERION_WIDTH_NM, gain, sensors.role_of(centre))


def _sentinel_2(folder: Path) -> list[Truth]:
    """The images at 10 and at 20 m; those at 60 m see the air more than the ground."""
    found: list[Truth] = []
    gain = sensors.get("generic").bands[0].mtf_nyquist
    for entry in _entries(folder):
        arrays = _arrays(folder / f"{entry['name']}.npz", ("im10", "im20"))
        for key, array in arrays.items():
            try:
                facts = [_SENTINEL_2[number] for number in entry["bands"][key]]
            except (KeyError, TypeError) as error:
                raise SceneError(
                    f"{folder / MANIFEST}: {entry['name']} needs `bands` with the numbers of the bands of {key}, of "
                    f"{', '.join(_SENTINEL_2)}; {DESCRIBED}"
                ) from error
            bands = tuple(Band(name, centre, fwhm, gain, sensors.role_of(centre)) for name, centre, fwhm in facts)
            found.append(_plain(f"{entry['name']}-{key}", array, _SENTINEL_2_SCALE, bands))
    return found


def _entries(folder: Path) -> list[dict[str, Any]]:
    path = folder / MANIFEST
    return read_manifest(path) if path.is_file() else []


def _arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise SceneError(f"{path}: not a readable .npz file with {', '.join(names)} ({error}); {DESCRIBED}") from error


def _plain(name: str, array: np.ndarray, scale: float, bands: tuple[Band, ...]) -> Truth:
    """A complete image (row, col, band) without PAN."""
    if array.ndim != 3 or array.shape[2] != len(bands):
        raise SceneError(f"{name}: needs (row, col, {len(bands)}), is {array.shape}")
    image = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)).astype(np.float32)) / scale
    valid = torch.ones(image.shape[1:], dtype=torch.bool)
    return Truth(name, image, valid, None, 1, (0.0, 0.0), bands, licence_open=True)


def _columns(truth: Truth, *, held_out: bool) -> Truth:
    """The part of a truth without PAN that is for training, or that which is held out."""
    border = round(truth.valid.shape[1] * (1 - HELD_OUT))
    part = slice(border, None) if held_out else slice(0, border)
    return replace(truth, image=truth.image[..., part], valid=truth.valid[..., part])
