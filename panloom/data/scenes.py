"""Scenes in files as pairs in memory: a folder of rasters, or of `.npz` pairs, to learn from."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

from panloom.data.pairs import Recorded, find_pairs
from panloom.data.splits import refuse_validation, training_pairs
from panloom.errors import OptionError, PanloomWarning, SceneError
from panloom.scene import Scene, environment
from panloom.scene.pairing import match_folder
from panloom.types import Sensor, Tile, Window

#: PAN pixels along a side of the largest part of a scene that is kept in memory, and how many parts of a scene.
SIDE, PARTS = 2048, 4


def recorded(scene: Scene, name: str, area: Window | None = None) -> Recorded:
    """A scene, or the cells of it that `area` (PAN pixels) touches, in memory; only the bands that are sharpened.

    Raises:
        SceneError: nothing of it is valid.
    """
    grid = scene.grid
    found = _recorded(scene, name, area or Window(0, 0, grid.height, grid.width))
    if found is None:
        raise SceneError(f"{name}: no pixel of the chosen area is valid in PAN and in all bands")
    return found


def read_scenes(
    folder: str | Path,
    *,
    sensor: str | Sensor | None = None,
    align: bool = False,
    side: int = SIDE,
    parts: int = PARTS,
    validation: bool = False,
) -> list[Recorded]:
    """The scenes of a folder and its subfolders, found as `panloom batch` finds them; a warning names the other files.

    Args:
        folder: of PAN and MS rasters, one scene or many.
        sensor: of all of them: registry name, path of a TOML file, or a sensor; None: recognised, else generic.
        align: correct the measured offset between PAN and MS.
        side: of a larger scene, parts of so many PAN pixels along a side are read; at least 64.
        parts: how many of them at most, evenly spread; at least 1.
        validation: take scenes that a manifest says are for validation too.

    Returns:
        Pairs in DN, with the bands that are sharpened; parts of one scene are named `scene@row,col`.

    Raises:
        SceneError: there is no scene, or one cannot be read or holds no data.
        OptionError: a scene is for validation, or a number is out of its range.
    """
    if side < 64 or parts < 1:
        raise OptionError(f"side {side} must be 64 or more, and parts {parts} 1 or more")
    with environment():
        found = match_folder(Path(folder))
        for entry in found.unmatched:
            warnings.warn(f"not learned from: {entry}", PanloomWarning, stacklevel=2)
        if not found.matches:
            raise SceneError(f"{folder}: no PAN and MS files that belong together here")
        refuse_validation([path for match in found.matches for path in (match.pan, *match.ms)], allow=validation)
        pairs: list[Recorded] = []
        for match in found.matches:
            with Scene.open(match.pan, match.ms, sensor=sensor, align=align) as scene:
                pairs += _parts(scene, match.name, side, parts)
    return pairs


def read_folder(folder: str | Path, *, validation: bool = False) -> list[Recorded]:
    """All pairs of a folder, to learn from: its `.npz` files, else its rasters by `read_scenes`.

    Args:
        folder: a user's own, or one with a manifest.
        validation: take pairs that a manifest says are for validation too.

    Raises:
        SceneError: there is none, or one cannot be read.
        OptionError: one is for validation.
    """
    if not Path(folder).is_dir():
        raise SceneError(f"{folder}: no such folder")
    if find_pairs(folder):
        return training_pairs(folder, validation=validation)
    return read_scenes(folder, validation=validation)


def _recorded(scene: Scene, name: str, area: Window) -> Recorded | None:
    """The cells that an area touches; None where none of them is valid."""
    grid = scene.grid
    cells = area.cells(grid.ratio).clipped(*grid.cells)
    ms_valid = scene.reduced(cells).valid
    if not bool(ms_valid.any()):
        return None
    pair, full = scene.load(Tile(0, cells.scaled(grid.ratio), cells)).pair, scene.units.full_scale
    return Recorded(
        name=name,
        group=scene.sensor.name,
        sensor=scene.sensor,
        pan=pair.pan.double() * full,
        ms=pair.ms.double() * full,
        truth=None,
        phase=grid.phase,
        ratio=grid.ratio,
        full_scale=full,
        pan_valid=pair.valid,
        ms_valid=ms_valid,
    )


def _parts(scene: Scene, name: str, side: int, parts: int) -> list[Recorded]:
    """The whole scene, or parts of a large one that hold data."""
    grid = scene.grid
    if max(grid.height, grid.width) <= side:
        return [recorded(scene, name)]
    rows, cols = _cuts(grid.height, side), _cuts(grid.width, side)
    windows = [Window(row, col, height, width) for row, height in rows for col, width in cols]
    count = min(parts, len(windows))
    chosen = [windows[(2 * k + 1) * len(windows) // (2 * count)] for k in range(count)]
    read = [_recorded(scene, f"{name}@{area.row},{area.col}", area) for area in chosen]
    found = [part for part in read if part is not None]
    if not found:
        raise SceneError(f"{name}: none of the {count} parts that were looked at holds data; ask for more parts")
    return found


def _cuts(size: int, side: int) -> list[tuple[int, int]]:
    """Starts and lengths of the fewest parts of about equal length, at most `side`."""
    count = -(-size // side)
    ends = [size * k // count for k in range(count + 1)]
    return [(start, end - start) for start, end in pairwise(ends)]
