"""Pairs for scoring, in memory: from rasters by the words of `panloom sharpen`, or from `.npz` files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from panloom.compute import processors
from panloom.data.pairs import Recorded, find_pairs, manifest_of, read_pair
from panloom.data.scenes import recorded
from panloom.errors import OptionError, PanloomWarning
from panloom.run.pairing import find
from panloom.run.sharpen import register
from panloom.scene import Opened, environment, open_scene
from panloom.scene.geometry import Extent
from panloom.types import Sensor, Window

#: PAN pixels along a side above which only a central window is read, and the side of that window.
LARGE, CENTRE = 4096, 2048


@dataclass(frozen=True)
class Reading:
    """How scenes are read: what `panloom.sharpen` is told about its input, by the same names."""

    sensor: str | Sensor | None = None
    bands: Sequence[str | int] | None = None
    sharpen_bands: Sequence[str | int] | None = None
    extent: Extent = "pan"
    ms_shift: tuple[float, float] | None = None
    align: bool = False
    window: Window | None = None
    bounds: tuple[float, float, float, float] | None = None
    src_nodata: float | None = None
    edge: str = "fill"
    threads: int | None = None

    def open(self, pan: str, ms: Sequence[str]) -> tuple[Opened, list[str]]:
        """A scene whose files are open, and what is to be warned of.

        Raises:
            PanloomError: it cannot be read.
        """
        opened = open_scene(
            pan,
            list(ms),
            sensor=self.sensor,
            bands=self.bands,
            sharpen=self.sharpen_bands,
            extent=self.extent,
            ms_shift=self.ms_shift,
            window=self.window,
            bounds=self.bounds,
            src_nodata=self.src_nodata,
            edge=self.edge,
            threads=self.threads or processors(),
        )
        opened, _, warnings = register(opened, align=self.align)
        return opened, warnings

    def read(self, pan: str, ms: Sequence[str]) -> tuple[Recorded, list[str]]:
        """A scene in memory, and what is to be said about it; of a large one the centre, unless a part is chosen.

        Raises:
            PanloomError: it cannot be read, or nothing of it is valid.
        """
        with environment():
            opened, notes = self.open(pan, ms)
            scene = opened.scene
            with closing(scene):
                area = scene.layout.area
                if self.window is None and self.bounds is None:
                    area, said = _centre(area)
                    notes += said
                return recorded(scene, scene_name(opened.pan.path), area), notes


@dataclass(frozen=True)
class Source:
    """A pair that can be read.

    Attributes:
        name: unique among its like; names its record.
        files: PAN and MS; one `.npz` file.
        reading: how rasters are read.
    """

    name: str
    files: tuple[str, ...]
    reading: Reading

    def read(self) -> tuple[Recorded, list[str]]:
        """The pair in memory, and what is to be said about it.

        Raises:
            PanloomError: it cannot be read.
        """
        if len(self.files) == 1:
            return read_pair(self.files[0]), []
        return self.reading.read(self.files[0], self.files[1:])

    @property
    def stamp(self) -> str:
        """Changes with the files and with how they are read, so that an old record is not taken for a new one."""
        told = [str(manifest)] if len(self.files) == 1 and (manifest := manifest_of(self.files[0])) else []
        described = [self.reading.sensor] if isinstance(self.reading.sensor, str) else []
        facts = [
            (str(Path(path).resolve()), Path(path).stat())
            for path in (*self.files, *told, *described)
            if Path(path).exists()
        ]
        reading = replace(self.reading, threads=None)  # they change no pixel
        return repr(([(path, s.st_size, s.st_mtime_ns) for path, s in facts], reading))


def find_sources(folder: str | Path, reading: Reading, only: Sequence[str] | None = None) -> list[Source]:
    """The pairs of a folder: its `.npz` files, else its rasters as `panloom batch` pairs them.

    Args:
        folder: where they lie.
        reading: how rasters are read.
        only: names of those that are wanted; None: all.

    Raises:
        OptionError: a name is not there.
    """
    found = [Source(path.stem, (str(path),), reading) for path in find_pairs(folder)] or _rasters(folder, reading)
    if only is None:
        return found
    names = [source.name for source in found]
    missing = [name for name in only if name not in names]
    if missing:
        raise OptionError(f"{folder} has no pair called {', '.join(missing)}; it has {', '.join(names) or 'none'}")
    return [source for source in found if source.name in only]


def scene_name(pan: str) -> str:
    """What a scene is called: its PAN file, or the folder where that is called no more than what it is.

    >>> scene_name("aoi7/PAN.TIF"), scene_name("scenes/lisbon_pan.tif"), scene_name("pan.tif")
    ('aoi7', 'lisbon_pan', 'pan')
    """
    path = Path(pan)
    return path.parent.name or path.stem if path.stem.lower() in ("pan", "b8", "band8", "panchromatic") else path.stem


def _rasters(folder: str | Path, reading: Reading) -> list[Source]:
    pairs = find(folder, Path(folder))
    for left in pairs.unmatched:
        warnings.warn(f"{left} (left out)", PanloomWarning, stacklevel=2)
    return [Source(job.name, (job.pan, *job.ms), reading) for job in pairs.jobs]


def _centre(area: Window) -> tuple[Window, list[str]]:
    """The centre of a large area, and a note that says so."""
    if max(area.height, area.width) <= LARGE:
        return area, []
    height, width = min(area.height, CENTRE), min(area.width, CENTRE)
    row, col = area.row + (area.height - height) // 2, area.col + (area.width - width) // 2
    note = (
        f"of this large scene the {height} x {width} PAN pixels from row {row}, column {col} on are scored; --window "
        "chooses others"
    )
    return Window(row, col, height, width), [note]
