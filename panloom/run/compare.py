"""Scores of files against a truth file, tile by tile: memory does not grow with the files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from panloom import metrics
from panloom.compute import each, processors
from panloom.errors import OptionError, SceneError
from panloom.metrics import Core, Metric, Tally, added
from panloom.run._json import to_json
from panloom.run.evaluate import REDUCED
from panloom.run.report import versions
from panloom.scene import Raster, Reader, describe, environment, same_crs
from panloom.types import Window, bit_range

#: Pixels along one side of the cores of tiles: a multiple of the blocks of every index.
CORE = 256

#: Cores smaller than this along an axis join their neighbour: block indices need a whole block at the border.
LEAST = 64

#: Pixels by which the corners of two grids may differ.
TOLERANCE = 1e-3

#: Told after each tile: done, in all.
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Compared:
    """One file against the truth.

    Attributes:
        path: of the file.
        values: the indices by registry name; NaN where one is not defined.
        bands: per band, of the indices that have such.
        pixels: how many were compared: valid in every band of both files.
    """

    path: str
    values: dict[str, float]
    bands: dict[str, list[float]]
    pixels: int


@dataclass(frozen=True)
class Comparison:
    """Files against a truth.

    Attributes:
        truth: path of the truth.
        bands: names of its bands.
        ratio: of ERGAS.
        full_scale: peak of PSNR and range of SSIM, DN.
        labels: what is printed for each index, with its variant, by registry name.
        files: the scores, in the order given.
        notes: what a reader must know.
        versions: of panloom and what it stands on.
    """

    truth: str
    bands: tuple[str, ...]
    ratio: int
    full_scale: float
    labels: dict[str, str]
    files: tuple[Compared, ...]
    notes: tuple[str, ...]
    versions: dict[str, str] = field(default_factory=versions)

    def to_json(self) -> str:
        """Everything, as indented JSON."""
        return to_json(self)


def compare(
    truth: str | Path,
    files: Sequence[str | Path],
    *,
    ratio: int = 4,
    full_scale: float | None = None,
    names: Sequence[str] | None = None,
    threads: int | None = None,
    progress: Told | None = None,
) -> Comparison:
    """Score files against a truth on the same grid.

    Args:
        truth: a raster.
        files: rasters of its size, bands and grid.
        ratio: PAN pixels per MS pixel, of ERGAS.
        full_scale: peak of PSNR and range of SSIM; None: 2^n - 1 from the largest valid value of the truth, said so.
        names: indices by registry name; None: all of a reduced-resolution table.
        threads: tiles at once; None: one per processor.
        progress: told after each tile.

    Raises:
        SceneError: a file cannot be read, or differs from the truth in size, bands or grid.
        OptionError: unknown index; ratio, full scale or threads that are not positive.
    """
    _check_words(files, ratio, full_scale, threads)
    indices = [metrics.get(name) for name in names or REDUCED]
    wrong = [index.name for index in indices if index.needs != "reference"]
    if wrong:
        raise OptionError(f"{', '.join(wrong)} needs PAN and MS, not a truth; see: panloom evaluate")
    with environment(), ExitStack() as stack:
        headers = [describe(str(path)) for path in (truth, *files)]
        _check_numbers(headers)
        notes = [note for other in headers[1:] for note in _check(headers[0], other)]
        readers = [_Images(Reader(header, header.bands)) for header in headers]
        for reader in readers:
            stack.callback(reader.reader.close)
        tiles = list(_tiles(headers[0].height, headers[0].width))
        if full_scale is None:
            full_scale = _full_scale(readers[0], tiles, threads)
            notes.append(f"full scale {full_scale:g}: 2^n - 1 above the largest value of the truth (see --full-scale)")
        notes.append(f"ERGAS is for a ratio of {ratio} PAN pixels per MS pixel; --ratio sets it")
        settings = {"ratio": ratio, "full_scale": full_scale}
        indices = [_fitting(index, full_scale) for index in indices]
        work = partial(_tally, readers, indices, settings, (headers[0].height, headers[0].width))
        sums: list[list[Tally]] = []
        for done, found in enumerate(each(tiles, work, threads or processors()), 1):
            sums = _summed(sums, found) if sums else found
            if progress is not None:
                progress(done, len(tiles))
    scores = tuple(_score(h.path, indices, tallies) for h, tallies in zip(headers[1:], sums, strict=True))
    there = int(sums[0][-1]["truth"])
    notes += [
        f"{file.path} lacks {there - file.pixels} of {there} pixels of the truth: its scores are of the others only"
        for file in scores
        if file.pixels < there
    ]
    return Comparison(
        truth=headers[0].path,
        bands=tuple(headers[0].descriptions[b - 1] or f"band {b}" for b in headers[0].bands),
        ratio=ratio,
        full_scale=full_scale,
        labels={index.name: index.title(**settings) for index in indices},
        files=scores,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Images:
    """A raster as tensors."""

    reader: Reader

    def read(self, window: Window) -> tuple[Tensor, Tensor]:
        """Values (0 where invalid), and pixels that are valid in every band."""
        data, valid = self.reader.read(window)
        # float32 holds every number of 16 bits, and not of an integer of 32.
        exact = data.dtype.itemsize <= 2 or data.dtype == np.float32
        wide = data.astype(np.float32 if exact else np.float64)
        image = torch.from_numpy(wide)[None]
        if valid is None:
            return image, torch.ones_like(image[:, :1], dtype=torch.bool)
        mask = torch.from_numpy(valid)[None]
        return torch.where(mask, image, torch.zeros_like(image)), mask.all(1, keepdim=True)


def _check_words(files: Sequence[object], ratio: int, full_scale: float | None, threads: int | None) -> None:
    if not files:
        raise OptionError("give at least one file to compare with the truth")
    if ratio < 1:
        raise OptionError(f"ratio {ratio} must be 1 or more: PAN pixels per MS pixel, such as 4")
    if full_scale is not None and not 0 < full_scale < math.inf:
        raise OptionError(f"full scale {full_scale:g} must be a positive number, such as 2047 for data of 11 bits")
    if threads is not None and threads < 1:
        raise OptionError(f"threads must be 1 or more; given: {threads}")


def _check_numbers(headers: Sequence[Raster]) -> None:
    for header in headers:
        if any(dtype.startswith("complex") for dtype in header.dtypes):
            raise SceneError(f"{header.path} holds complex numbers; compare amplitudes or another real product of it")


def _check(truth: Raster, other: Raster) -> list[str]:
    """Refuse what cannot be compared pixel by pixel; say what is doubtful."""
    if (other.height, other.width) != (truth.height, truth.width):
        raise SceneError(
            f"{other.path} has {other.height} x {other.width} pixels and the truth {truth.height} x {truth.width} "
            "(rows x columns); cut both to one area (gdal_translate -projwin)"
        )
    if len(other.bands) != len(truth.bands):
        raise SceneError(
            f"{other.path} has {len(other.bands)} bands and the truth {len(truth.bands)}; give both the same bands in "
            "the same order (gdal_translate -b)"
        )
    notes = []
    if other.crs is not None and truth.crs is not None and not same_crs(other.crs, truth.crs):
        raise SceneError(f"{other.path} and the truth lie in different reference systems; warp one onto the other")
    if (other.transform is None) != (truth.transform is None):
        notes.append(f"only one of {other.path} and the truth is georeferenced: their pixels are taken as they lie")
    elif other.transform is not None and truth.transform is not None:
        _check_grid(truth, other)
    if other.dtype != truth.dtype:
        notes.append(f"{other.path} holds {other.dtype} and the truth {truth.dtype}: numbers are compared as stored")
    return notes


def _check_grid(truth: Raster, other: Raster) -> None:
    pixel = math.sqrt(abs(np.linalg.det(np.reshape(truth.transform or (), (2, 3))[:, :2])))
    corners = [np.array([[0, 0, 1], [truth.width, 0, 1], [truth.width, truth.height, 1]]).T] * 2
    places = [np.reshape(r.transform or (), (2, 3)) @ c for r, c in zip((truth, other), corners, strict=True)]
    offset = float(np.abs(places[1] - places[0]).max()) / pixel
    if offset > TOLERANCE:
        raise SceneError(
            f"{other.path} lies on another grid than the truth (corners differ by up to {offset:.3g} pixels); "
            "resample one onto the other's grid first"
        )


def _tiles(height: int, width: int) -> Iterator[Window]:
    rows, cols = _cuts(height), _cuts(width)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            yield Window(top, left, bottom - top, right - left)


def _cuts(size: int) -> list[int]:
    """Where cores begin and end along an axis."""
    cuts = list(range(0, size, CORE))
    if len(cuts) > 1 and size - cuts[-1] < LEAST:
        cuts.pop()
    return [*cuts, size]


def _full_scale(truth: _Images, tiles: Sequence[Window], threads: int | None) -> float:
    def largest(window: Window) -> float:
        return float(truth.read(window)[0].max())

    return float(bit_range(max(each(tiles, largest, threads or processors()))))


def _fitting(index: Metric, full_scale: float) -> Metric:
    """Data within a range of 1 have no whole numbers to round to."""
    return metrics.get("q2n-unrounded") if index.name == "q2n" and full_scale <= 1 else index


def _tally(
    readers: Sequence[_Images],
    indices: Sequence[Metric],
    settings: Mapping[str, float],
    size: tuple[int, int],
    core: Window,
) -> list[list[Tally]]:
    """The tallies of one tile: for each file, of each index."""
    around = core.grown(max(index.halo for index in indices)).clipped(*size)
    inside: Core = core.inside(around)
    truth, truth_valid = readers[0].read(around)
    found: list[list[Tally]] = []
    for reader in readers[1:]:
        image, valid = reader.read(around)
        both = truth_valid & valid
        given = [{key: settings[key] for key in index.settings} for index in indices]
        tallies = [i.tally(image, truth, both, core=inside, **g) for i, g in zip(indices, given, strict=True)]
        counts = {
            "pixels": both[..., inside[0], inside[1]].sum(),
            "truth": truth_valid[..., inside[0], inside[1]].sum(),
        }
        found.append([*tallies, counts])
    return found


def _summed(sums: list[list[Tally]], more: list[list[Tally]]) -> list[list[Tally]]:
    """The tallies of one more tile added, for each file, of each index."""
    return [[added(pair) for pair in zip(*two, strict=True)] for two in zip(sums, more, strict=True)]


def _score(path: str, indices: Sequence[Metric], tallies: Sequence[Tally]) -> Compared:
    values: dict[str, float] = {}
    bands: dict[str, list[float]] = {}
    pixels = int(tallies[-1]["pixels"])
    if not pixels:
        raise SceneError(f"{path}: no pixel is valid both there and in the truth")
    for index, tally in zip(indices, tallies, strict=False):
        try:
            values[index.name] = index.value(tally)
            if index.bands is not None:
                bands[index.name] = index.bands(tally).tolist()
        except OptionError:
            values[index.name] = math.nan  # not defined on this image, as a file smaller than a window
    return Compared(path, values, bands, pixels)
