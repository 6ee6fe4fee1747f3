"""Training sets in HDF5 files of the layout of PanCollection: patches with their truth, made by others.

A file holds `ms` (N, C, h, w), `pan` (N, 1, H, W), mostly `lms` (N, C, H, W), which is MS interpolated, and, at reduced
resolution, the truth `gt` (N, C, H, W); all in DN. Such files are degraded by the toolbox: MS samples lie on PAN index
ratio * i + ratio // 2. Source: Deng et al., "Machine learning in pansharpening", IEEE GRSM 2022.

Needs `h5py`: `pip install "panloom[data]"`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom import sensors
from panloom.data.example import Example
from panloom.data.orientation import Orientation
from panloom.errors import OptionError, SceneError
from panloom.optics import physical
from panloom.pair import Pair
from panloom.types import Sensor

#: The DN that becomes 1, where the sensor does not say.
DIVISOR = 2047.0


class PanCollection:
    """The patches of one file; also an endless supply of random batches of them, see `panloom.data.Source`.

    Only what is asked for is read, and the file is opened anew for every batch: any process may use the object.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        sensor: str | Sensor = "generic",
        divisor: float | None = None,
        batch: int = 32,
        turn: bool = True,
    ) -> None:
        """Look at the shapes.

        Args:
            path: of the file.
            sensor: registry name, or a sensor, whose usual product with so many bands the file holds.
            divisor: the DN that becomes 1; None: the sensor's full scale (1023 for GaoFen-2), else DIVISOR.
            batch: patches in one example.
            turn: turn and mirror batches; the phase goes along.

        Raises:
            OptionError: `h5py` is not installed, or a number is out of its range.
            SceneError: the file cannot be read, misses an array, or its shapes do not fit.
            SensorError: unknown sensor.
        """
        if batch < 1 or (divisor is not None and divisor <= 0):
            raise OptionError(f"batch {batch} must be 1 or more, and divisor {divisor} positive")
        self._path, self._batch, self._turn = Path(path), batch, turn
        shapes = _shapes(self._path)
        _check(self._path, shapes)
        count, bands, height, _ = shapes["ms"]
        self._count, self._ratio = count, shapes["pan"][2] // height
        self._keys = tuple(shapes)
        self.sensor = _sensor(sensors.get(sensor) if isinstance(sensor, str) else sensor, bands, self._ratio)
        self.divisor = float(divisor or self.sensor.full_scale or DIVISOR)

    def __len__(self) -> int:
        """Number of patches."""
        return self._count

    @property
    def has_truth(self) -> bool:
        """The patches are at reduced resolution, with their truth."""
        return "gt" in self._keys

    def pair(self, indices: Sequence[int]) -> Pair:
        """Some patches as one batch, in units of the divisor; `exp` is the file's `lms` where it has one.

        Raises:
            OptionError: an index is not in the file.
            SceneError: the file cannot be read.
        """
        return self._pair(self._read(indices, [key for key in self._keys if key != "gt"]))

    def example(self, indices: Sequence[int]) -> Example:
        """Some patches with their truth.

        Raises:
            OptionError: an index is not in the file, or the file has no truth.
            SceneError: the file cannot be read.
        """
        if not self.has_truth:
            raise OptionError(f"{self._path} has no `gt`: at full resolution there is no truth to learn from")
        images = self._read(indices, self._keys)
        return Example(self._pair(images), images["gt"])

    def __call__(self, rng: Generator) -> Example:
        """The next batch of patches, drawn at random."""
        example = self.example(torch.randint(len(self), (self._batch,), generator=rng).tolist())
        return Orientation.draw(rng).example(example) if self._turn else example

    def _pair(self, images: Mapping[str, Tensor]) -> Pair:
        centre = float(self._ratio // 2)
        phase = (centre, centre)
        pan, ms = images["pan"], images["ms"]
        return Pair(
            pan=pan,
            ms=ms,
            exp=images["lms"] if "lms" in images else physical.interpolate(ms, self._ratio, phase),
            valid=torch.ones_like(pan, dtype=torch.bool),
            phase=phase,
            sensor=self.sensor,
        )

    def _read(self, indices: Sequence[int], keys: Sequence[str]) -> dict[str, Float[Tensor, "b c H W"]]:
        wrong = [index for index in indices if not 0 <= index < len(self)]
        if wrong or not indices:
            raise OptionError(f"{self._path} holds patches 0 to {len(self) - 1}; asked for: {wrong or 'none'}")
        library = _h5py()
        try:
            with library.File(self._path, "r") as file:
                images = {key: np.stack([file[key][index] for index in indices]) for key in keys}
        except (OSError, KeyError) as error:
            raise SceneError(f"{self._path}: cannot be read ({error})") from error
        return {key: torch.from_numpy(image.astype(np.float32)) / self.divisor for key, image in images.items()}


def _h5py() -> ModuleType:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise OptionError('HDF5 files need h5py; install it with: pip install "panloom[data]"') from error


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays that the file has."""
    library: Any = _h5py()
    try:
        with library.File(path, "r") as file:
            return {key: tuple(file[key].shape) for key in ("ms", "pan", "lms", "gt") if key in file}
    except (OSError, AttributeError) as error:
        raise SceneError(f"{path}: not a readable HDF5 file of arrays ({error})") from error


def _check(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse arrays that do not belong together.

    Raises:
        SceneError: they do not.
    """
    told = ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "none of them"
    if not {"ms", "pan"} <= shapes.keys() or any(len(shape) != 4 or not min(shape) for shape in shapes.values()):
        raise SceneError(f"{path}: needs ms (N, C, h, w) and pan (N, 1, H, W), and perhaps lms and gt; it has {told}")
    (count, bands, h, w), (_, _, height, width) = shapes["ms"], shapes["pan"]
    ratio = height // h
    whole = ratio >= 2 and (height, width) == (ratio * h, ratio * w)
    fine = all(shapes[key] == (count, bands, height, width) for key in ("lms", "gt") if key in shapes)
    if not (whole and fine and shapes["pan"][:2] == (count, 1)):
        raise SceneError(f"{path}: the arrays do not fit each other at a whole ratio of 2 or more: {told}")


def _sensor(sensor: Sensor, count: int, ratio: int) -> Sensor:
    return replace(sensor, bands=sensors.bands_for(sensor, count) or sensors.generic_bands(count), ratio=ratio)
