"""What `panloom info` says about a scene before anything is fused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from panloom.run.report import Registration
from panloom.scene import Opened
from panloom.types import corner_phase


@dataclass(frozen=True)
class Info:
    """A scene in words.

    Attributes:
        pan: path, size and type.
        ms: the same of every MS file.
        sensor: name and source.
        bands: per requested band: name, place in the files, wavelength, MTF gain, what happens to it.
        bands_source: where the names come from.
        grid: ratio, phase (row, col; PAN pixels), offset against corner alignment (MS pixels), size of the result.
        full_scale: DN that becomes 1, and where it comes from.
        registration: measured offset; None where nothing could be measured.
        notes: what the user should know.
    """

    pan: dict[str, object]
    ms: tuple[dict[str, object], ...]
    sensor: dict[str, str]
    bands: tuple[dict[str, object], ...]
    bands_source: str
    grid: dict[str, object]
    full_scale: dict[str, object]
    registration: Registration | None
    notes: tuple[str, ...]

    def as_dict(self) -> Mapping[str, object]:
        """Everything, ready for JSON."""
        return asdict(self)


def describe(opened: Opened, registration: Registration | None, notes: list[str]) -> Info:
    """The facts of an opened scene."""
    scene = opened.scene
    grid, area = scene.grid, scene.layout.area
    files = [
        {
            "path": r.path,
            "width": r.width,
            "height": r.height,
            "bands": len(r.bands),
            "dtype": r.dtype,
            "nodata": "nan" if r.nodata[0] != r.nodata[0] else r.nodata[0],  # JSON has no NaN
        }
        for r in (opened.pan, *opened.ms)
    ]
    bands = tuple(
        {
            "name": b.band.name,
            "file": b.file + 1,
            "number": b.number,
            "centre_nm": b.band.centre_nm,
            "mtf_nyquist": b.band.mtf_nyquist,
            "treatment": "sharpened" if b.sharpen else f"passed through ({b.reason})",
        }
        for b in scene.bands
    )
    corner = corner_phase(grid.ratio)
    return Info(
        pan=files[0],
        ms=tuple(files[1:]),
        sensor={"name": scene.sensor.name, "source": opened.identity.sensor_source},
        bands=bands,
        bands_source=opened.identity.bands_source,
        grid={
            "ratio": grid.ratio,
            "phase": grid.phase,
            "offset_ms_px": tuple(round((p - corner) / grid.ratio, 4) for p in grid.phase),
            "height": area.height,
            "width": area.width,
        },
        full_scale={"value": scene.units.full_scale, "source": opened.full_scale_source},
        registration=registration,
        notes=tuple(notes),
    )
