"""Pairs in `.npz` files, as research data are passed on: arrays (row, col, band), facts in `manifest.json`.

A file holds `pan` (H, W) and `ms` (h, w, C), or, already degraded, `pan` and `gt` (H, W, C) with or without `ms_lr`
(h, w, C). The manifest, in the folder of the files or the one above, is a list of objects with `name` (the file's
stem), `sensor`, `ratio`, `bands`, `bits` (or "float") and `remaining_shift_ms_px_yx`: where MS lies against corner
alignment, in MS pixels (row, col), half a pixel at most. What it does not tell is taken from the arrays.
"""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom import sensors
from panloom.errors import SceneError
from panloom.optics import wald
from panloom.optics.continuation import extend
from panloom.types import Band, Sensor, bit_range, corner_phase

#: Name of the file with the facts.
MANIFEST = "manifest.json"

_ARRAYS = ("pan", "ms", "ms_lr", "gt")

#: What numpy raises for a file that is no archive of arrays, or a damaged one.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class Recorded:
    """A pair in memory, in DN; pixels that hold no data are a smooth continuation of the others.

    Attributes:
        name: of the file, without folder and suffix.
        group: the instrument by which averages are taken: the sensor's name, of an unknown one what the manifest says.
        sensor: its bands are those of `ms`.
        pan: the sharp image.
        ms: the spectral image; of a pair with `truth` it may be missing, and is then made from it.
        truth: the true image on PAN's grid; None at full resolution.
        phase: (row, col) in PAN pixels at which MS sample (0, 0) is centred.
        ratio: PAN pixels per MS pixel.
        full_scale: the DN that becomes 1.
        pan_valid: pixels of PAN that hold data.
        ms_valid: pixels of `truth`, or of `ms` where there is no truth, that hold data.
    """

    name: str
    group: str
    sensor: Sensor
    pan: Float[Tensor, "1 1 H W"]
    ms: Float[Tensor, "1 C h w"] | None
    truth: Float[Tensor, "1 C H W"] | None
    phase: tuple[float, float]
    ratio: int
    full_scale: float
    pan_valid: Bool[Tensor, "1 1 H W"]
    ms_valid: Bool[Tensor, "1 1 hv wv"]


def read_pair(path: str | Path) -> Recorded:
    """Read one `.npz` file, with its entry of the manifest where there is one.

    A pixel that is 0 in PAN, or 0 in every band at once, holds no data; float data are told by NaN as well.

    Raises:
        SceneError: the file cannot be read, misses an array, or its shapes do not fit.
    """
    path = Path(path)
    facts = _facts(path)
    pan, lower, truth = _images(path)
    ratio = facts.ratio or (round(pan.shape[-2] / lower.shape[-2]) if lower is not None else 4)
    pan, lower, truth = _cropped(path, pan, lower, truth, ratio)
    masked = lower if truth is None else truth
    assert masked is not None  # `_images` found one of the two
    pan_valid, ms_valid = _holds_data(pan), _holds_data(masked)
    if not (bool(pan_valid.any()) and bool(ms_valid.any())):
        raise SceneError(f"{path}: no pixel holds data: all are 0 or no numbers")
    sensor = _sensor(facts, masked.shape[1], ratio)
    return Recorded(
        name=path.stem,
        group=(facts.sensor or sensor.name).lower() if sensor.name == "generic" else sensor.name,
        sensor=sensor,
        pan=_continued(pan),
        ms=None if lower is None else _continued(lower),
        truth=None if truth is None else _continued(truth),
        phase=_phase(path, facts, ratio, reduced=truth is not None),
        ratio=ratio,
        full_scale=_full_scale(facts, sensor, [pan[pan_valid], masked[ms_valid.expand_as(masked)]]),
        pan_valid=pan_valid,
        ms_valid=ms_valid,
    )


def find_pairs(folder: str | Path) -> list[Path]:
    """The `.npz` files of a folder, sorted by name."""
    return sorted(Path(folder).glob("*.npz"))


def manifest_of(path: str | Path) -> Path | None:
    """The file with the facts about a pair: beside it, else one folder above; None where there is none."""
    folder = Path(path).parent
    return next((place / MANIFEST for place in (folder, folder.parent) if (place / MANIFEST).is_file()), None)


def only(recorded: Recorded, bands: Sequence[int]) -> Recorded:
    """The pair with some of its bands."""
    pick = list(bands)
    return replace(
        recorded,
        sensor=replace(recorded.sensor, bands=tuple(recorded.sensor.bands[k] for k in pick)),
        ms=None if recorded.ms is None else recorded.ms[:, pick],
        truth=None if recorded.truth is None else recorded.truth[:, pick],
    )


def degraded(pair: Recorded, form: wald.Form) -> wald.Degraded:
    """A pair at full resolution, degraded by its own ratio through its sensor's MTF.

    Raises:
        OptionError: MS is smaller than the ratio.
    """
    assert pair.ms is not None  # a pair without truth has one
    return wald.degrade_pair(
        pair.pan,
        pair.ms,
        pair.pan_valid,
        pair.ms_valid,
        gains=[band.mtf_nyquist for band in pair.sensor.bands],
        pan_gain=pair.sensor.pan.mtf_nyquist,
        phase=pair.phase,
        form=form,
    )


@dataclass(frozen=True)
class _Facts:
    """What the manifest tells of a pair; None and empty where it tells nothing."""

    sensor: str = ""
    ratio: int | None = None
    bands: tuple[str, ...] = ()
    bits: int | None = None
    unit_range: bool = False
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Facts:
        """From its entry.

        Raises:
            ValueError: a value is out of its range, or of the wrong kind; also TypeError.
        """
        bits, ratio = entry.get("bits"), entry.get("ratio")
        row, col = (float(number) for number in entry.get("remaining_shift_ms_px_yx") or (0.0, 0.0))
        facts = cls(
            sensor=str(entry.get("sensor") or ""),
            ratio=None if ratio is None else int(ratio),
            bands=tuple(str(label).strip("?") for label in entry.get("bands") or ()),
            bits=None if bits is None or bits == "float" else int(bits),
            unit_range=bits == "float",
            shift=(row, col),
        )
        if (facts.ratio is not None and facts.ratio < 2) or (facts.bits is not None and not 1 <= facts.bits <= 64):
            raise ValueError(f"ratio {ratio}, bits {bits}")
        return facts


def _facts(path: Path) -> _Facts:
    manifest = manifest_of(path)
    if manifest is None:
        return _Facts()
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
        return _Facts.of(next((entry for entry in entries if entry["name"] == path.stem), {}))
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise SceneError(
            f"{manifest}: not a list of objects with a name, or {path.stem} has a wrong value ({error})"
        ) from error


def _images(path: Path) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """PAN, MS and truth, as they are stored."""
    arrays = _arrays(path)
    images = {key: _image(array, path, key) for key, array in arrays.items()}
    pan, lower, truth = images.get("pan"), images.get("ms", images.get("ms_lr")), images.get("gt")
    if pan is None or (lower is None and truth is None):
        has = " and ".join(arrays) or "none of them"
        raise SceneError(f"{path}: a pair needs the arrays `pan`, and `ms` or `gt`; it has {has}")
    if pan.shape[1] != 1:
        raise SceneError(f"{path}: pan must have one band; it has {pan.shape[1]}")
    if lower is not None and truth is not None and lower.shape[1] != truth.shape[1]:
        raise SceneError(f"{path}: gt has {truth.shape[1]} bands and its degraded image {lower.shape[1]}")
    return pan, lower, truth


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise SceneError(f"{path}: holds one array, not the named ones of an .npz file")
        with file:
            return {key: file[key] for key in _ARRAYS if key in file.files}
    except _UNREADABLE as error:
        raise SceneError(f"{path}: not a readable .npz file ({error})") from error


def _image(array: np.ndarray, path: Path, name: str) -> Tensor:
    """(row, col[, band]) as (1, band, row, col) float64."""
    real = np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)
    if array.ndim not in (2, 3) or not array.size or not real:
        raise SceneError(
            f"{path}: {name} must be (row, col) or (row, col, band) real numbers; it is {array.shape} {array.dtype}"
        )
    bands = array[:, :, None] if array.ndim == 2 else array
    return torch.from_numpy(np.ascontiguousarray(bands.transpose(2, 0, 1)).astype(np.float64))[None]


def _cropped(
    path: Path, pan: Tensor, lower: Tensor | None, truth: Tensor | None, ratio: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """All cut to whole MS pixels."""
    if truth is not None and truth.shape[-2:] != pan.shape[-2:]:
        raise SceneError(f"{path}: gt {tuple(truth.shape[-2:])} and pan {tuple(pan.shape[-2:])} must be of one size")
    if lower is None:
        return pan, None, truth
    sides = list(zip(lower.shape[-2:], pan.shape[-2:], strict=True))
    h, w = (min(m, p // max(ratio, 1)) for m, p in sides)
    if ratio < 2 or not (h and w) or any(abs(p - ratio * m) > ratio for m, p in sides):
        raise SceneError(
            f"{path}: PAN {tuple(pan.shape[-2:])} and MS {tuple(lower.shape[-2:])} do not fit the ratio {ratio}"
        )
    truth = None if truth is None else truth[..., : h * ratio, : w * ratio]
    return pan[..., : h * ratio, : w * ratio], lower[..., :h, :w], truth


def _sensor(facts: _Facts, count: int, ratio: int) -> Sensor:
    """The registry's sensor with the bands of the file; generic where nothing is known."""
    found = sensors.recognise([facts.sensor]) or sensors.get("generic")
    named = [sensors.band_named(found, label) for label in facts.bands]
    bands: tuple[Band, ...]
    if len(named) == count and all(named):
        bands = tuple(band for band in named if band is not None)
    else:
        bands = sensors.bands_for(found, count) or sensors.generic_bands(count)
    return replace(found, bands=bands, ratio=ratio)


def _phase(path: Path, facts: _Facts, ratio: int, *, reduced: bool) -> tuple[float, float]:
    """Corner alignment and what the manifest adds; of degraded pairs the place where the toolbox samples."""
    if reduced:
        return float(ratio // 2), float(ratio // 2)
    if not all(-0.5 <= shift < 0.5 for shift in facts.shift):
        raise SceneError(
            f"{path}: the manifest says that MS lies {facts.shift} MS pixels (row, col) off PAN; cut whole pixels off "
            "the arrays, so that less than half a pixel remains"
        )
    row, col = (corner_phase(ratio) + ratio * shift for shift in facts.shift)
    return row, col


def _full_scale(facts: _Facts, sensor: Sensor, values: Sequence[Tensor]) -> float:
    """Of the bit depth or the sensor, else 1 or the bit depth that the largest value needs; never that value itself."""
    if facts.bits is not None:
        return float(2**facts.bits - 1)
    high = max(float(valid.max()) for valid in values)
    if facts.unit_range or high <= 1:
        return 1.0
    return sensor.full_scale or float(bit_range(high))


def _holds_data(image: Tensor) -> Bool[Tensor, "1 1 H W"]:
    finite = torch.isfinite(image).all(1, keepdim=True)
    return finite & (image != 0).any(1, keepdim=True)


def _continued(image: Tensor) -> Tensor:
    return extend(image, _holds_data(image).expand_as(image))
