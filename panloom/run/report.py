"""What a run did, in a form that programs read: JSON, and tags of the output."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from panloom.run._aside import write_text
from panloom.run._json import to_json


@dataclass(frozen=True)
class Registration:
    """The measured offset of MS against what the files say, MS pixels, positive = further down / to the right.

    Attributes:
        row: rows.
        col: columns.
        confidence: 0 to 1; below 0.3 the numbers mean nothing.
        corrected: the offset was corrected inside the interpolation: MS was placed there.
        moves_pan: it is left as it is, and one by which `universal` and adapters move PAN.
    """

    row: float
    col: float
    confidence: float
    corrected: bool
    moves_pan: bool = False


class Preview(TypedDict):
    """A quick look: its path, and the bands that it shows as red, green and blue (or the one that it shows as grey)."""

    path: str
    bands: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The record of one sharpening.

    Attributes:
        inputs: PAN, then MS files.
        output: the file that was written.
        method: name of the method.
        options: what was set by hand.
        sensor: name, and how it was recognised.
        bands: name, file band, and whether it was sharpened; and where the names come from.
        grid: height, width, ratio, phase (row, col), CRS and transform of the output.
        full_scale: DN that is 1 inside, and where the number comes from.
        registration: None where it was not measured.
        tiles: tiles in all, and those taken over from an interrupted run.
        survey: blocks that statistics come from (where the method takes any), and blocks of the scene.
        pixels: written, valid, filled (MS pixel missing, filled from neighbours), missing (PAN-valid without MS), and
            clipped (values, counted per band, that the output type cannot hold).
        seconds: per stage.
        peak_mb: largest resident memory of the process; None where the system does not tell.
        device: where the computation ran.
        threads: worker threads.
        seed: of everything random.
        notes: what was done, as it should be: bands passed through, tiles taken over, ...
        warnings: what the user may have to act on.
        cite: texts of the references.
        versions: of panloom and what it stands on.
        preview: path of the quick look, and the bands that it shows; None: none was wanted.
        fit: what was fitted to the scene and whether it is used, see `panloom.adapt.refit`; None: nothing.
        offset: (row, col) in PAN pixels by which the method moved PAN to where MS lies, and with it the result; None:
            it is none that moves PAN.
    """

    inputs: tuple[str, ...]
    output: str
    method: str
    options: dict[str, str]
    sensor: dict[str, str]
    bands: dict[str, object]
    grid: dict[str, object]
    full_scale: dict[str, object]
    registration: Registration | None
    tiles: dict[str, int]
    survey: dict[str, int]
    pixels: dict[str, int]
    seconds: dict[str, float]
    peak_mb: float | None
    device: str
    threads: int
    seed: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    cite: tuple[str, ...]
    versions: dict[str, str] = field(default_factory=lambda: versions())
    preview: Preview | None = None
    fit: dict[str, object] | None = None
    offset: tuple[float, float] | None = None

    def to_json(self) -> str:
        """The record as indented JSON."""
        return to_json(self).rstrip("\n")

    def write(self, path: str | Path) -> None:
        """Write the JSON to a file.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(path, self.to_json() + "\n")


def versions() -> dict[str, str]:
    """Versions of panloom, Python and the libraries whose numbers enter the result."""
    names = ("panloom", "torch", "numpy", "rasterio")
    return {"python": platform.python_version(), **{name: _version(name) for name in names}}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed as a package"


def peak_megabytes() -> float | None:
    """Largest resident memory of this process so far; None on systems without the call."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
