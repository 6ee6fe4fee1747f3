"""What the system tests share: small scenes as GeoTIFFs, the command line, and results read back."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasters
from click.testing import CliRunner, Result
from rasterio.transform import Affine

import panloom
from panloom import Report
from panloom.cli import main
from panloom.data import procedural
from panloom.data.procedural import ProceduralScene, Recording


@dataclass(frozen=True)
class Files:
    """A pair on disk, and the scene that it shows (None: made by hand)."""

    pan: Path
    ms: Path
    scene: ProceduralScene | None = None

    @property
    def words(self) -> tuple[str, str]:
        return str(self.pan), str(self.ms)


def write(path: Path, array: np.ndarray, transform: Affine | None = None, **says: Any) -> Path:
    """A GeoTIFF of an array (h, w) or (c, h, w) in UTM; `says` are fields of `rasters.Says`, or creation options."""
    known = {key: says.pop(key) for key in list(says) if key in rasters.Says.__dataclass_fields__}
    place = rasters.Place(*array.shape[-2:], tuple(transform)[:6] if transform else None)
    rasters.write(path, array, place, rasters.Says(**known, options=says))
    return path


def placed(pixel: float, east: float = 500_000.0, north: float = 5_000_000.0) -> Affine:
    """North-up, square pixels."""
    return Affine(pixel, 0, east, 0, -pixel, north)


def scene_files(folder: Path, height: int = 200, width: int = 180, **settings: Any) -> Files:
    """A procedural scene on disk, described and tagged as a product would be."""
    extra = settings.pop("extra", {})
    made = procedural.make(height, width, **settings)
    where = procedural.georeference(made)
    common = {"nodata": made.nodata, **extra}
    folder.mkdir(parents=True, exist_ok=True)
    names = tuple(b.name for b in made.sensor.bands)
    pan = write(folder / "pan.tif", made.pan, Affine(*where.pan), **common)
    ms = write(folder / "ms.tif", made.ms, Affine(*where.ms), descriptions=names, **common)
    return Files(pan, ms, made)


def plain_files(
    folder: Path, pan: np.ndarray, ms: np.ndarray, *, nodata: float | None = None, **ms_profile: Any
) -> Files:
    """A pair of arrays on disk, corner on corner, PAN pixels of 1 m."""
    folder.mkdir(parents=True, exist_ok=True)
    ratio = round(pan.shape[-1] / ms.shape[-1])
    return Files(
        write(folder / "pan.tif", pan, placed(1.0), nodata=nodata),
        write(folder / "ms.tif", ms, placed(float(ratio)), nodata=nodata, **ms_profile),
    )


def texture(rng: np.random.Generator, shape: Sequence[int], low: float, high: float, dtype: str) -> np.ndarray:
    """Noise with some structure between two values."""
    rows, cols = (np.arange(n) for n in shape[-2:])
    wave = 0.5 + 0.3 * np.sin(rows[:, None] / 7.0) * np.cos(cols / 9.0)
    return (low + (high - low) * np.clip(wave + rng.normal(0, 0.06, shape), 0, 1)).astype(dtype)


def textured(folder: Path, dtype: str, low: float, high: float, *, size: int = 64, **ms_profile: Any) -> Files:
    """A pair of one ratio (4), three bands, any type."""
    rng = np.random.default_rng(5)
    pan = texture(rng, (size, size), low, high, dtype)
    small = pan.astype(float).reshape(size // 4, 4, size // 4, 4).mean((1, 3))
    own = texture(rng, (3, size // 4, size // 4), low, high, "float64")
    ms = (np.reshape((0.8, 0.6, 0.7), (3, 1, 1)) * (small - own) + own).astype(dtype)
    return plain_files(folder, pan, ms, **ms_profile)


def call(*words: object) -> Result:
    """The command line, in this process."""
    return CliRunner().invoke(main, [str(w) for w in words])


def outside(*words: object, cwd: Path | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    command = [sys.executable, "-m", "panloom", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=timeout, check=False)


def run_api(files: Files, out: Path, **settings: Any) -> Report:
    """`panloom.sharpen` of a pair."""
    return panloom.sharpen(files.pan, files.ms, out, **settings)


def sharpened(files: Files, out: Path, *words: object) -> Path:
    """The output of a run of the command line that must succeed."""
    done(call("sharpen", "-q", *files.words, out, *words))
    return out


def told(result: Result) -> str:
    """The one line of error of a command that failed; fails itself where there is more or less."""
    assert result.exit_code in (1, 2), (result.exit_code, result.output, result.exception)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    return one_line(result.stderr)


def try_sharpen(files: Files | tuple[object, object], out: object, *words: object) -> Result:
    """A run of the command line that may fail."""
    return call("sharpen", "-q", *(files.words if isinstance(files, Files) else files), out, *words)


def fails(result: Result, code: int, *fragments: str) -> str:
    """The command failed with this code and says all of this in its one line."""
    line = told(result)
    assert result.exit_code == code, line
    for fragment in fragments:
        assert fragment.lower() in line.lower(), line
    return line


def one_line(stderr: str) -> str:
    """The error in what a command said; click puts its usage before its own errors."""
    assert "Traceback" not in stderr, stderr
    lines = [line for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ")]
    others = [line for line in lines if not line.startswith(("Error: ", "Usage: ", "Try ", "warning: "))]
    assert len(errors) == 1, stderr
    assert not others, stderr
    return errors[0]


def done(result: Result) -> Result:
    """A command that must succeed."""
    assert result.exit_code == 0, (result.stderr, result.exception)
    return result


def pixels(path: Path | str) -> np.ndarray:
    with rasterio.open(path) as ds:
        return ds.read()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def leftovers(folder: Path) -> list[str]:
    """Names in a folder that begin with a dot: unfinished work."""
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


__all__ = [
    "Files",
    "Recording",
    "call",
    "digest",
    "done",
    "fails",
    "leftovers",
    "one_line",
    "outside",
    "pixels",
    "placed",
    "plain_files",
    "run_api",
    "scene_files",
    "sharpened",
    "texture",
    "textured",
    "told",
    "try_sharpen",
    "write",
]
