"""What `panloom info` says about a scene before anything is fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

from panloom.run._offset import misregistration
from panloom.run.report import Registration
from panloom.scene import Opened, Scene
from panloom.types import corner_phase


@dataclass(frozen=True)
class Info:
    """A scene in words.

    Attributes:
        pan: path, size and type.
        ms: the same of every MS file.
        sensor: name and source.
        bands: per requested band: name, place in the files, wavelength (None: nobody knows), MTF gain, what happens
            to it.
        bands_source: where the names come from.
        grid: ratio, phase (row, col; PAN pixels), the phase that `panloom.fuse` takes for the whole images (None: MS
            must be resampled first), offset against corner alignment (MS pixels), size of the result.
        full_scale: DN that becomes 1, and where it comes from.
        registration: measured offset; None where nothing could be measured.
        notes: what will be done, as it should be.
        warnings: what the user may have to act on.
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
    warnings: tuple[str, ...]

    def as_dict(self) -> Mapping[str, object]:
        """Everything, ready for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Files, sensor, grids, full scale and misregistration, as one line each for people."""
        said = [("PAN", _file(self.pan)), *(("MS", _file(file)) for file in self.ms)]
        said.append(("sensor", f"{self.sensor['name']} ({self.sensor['source']})"))
        grid, phase = self.grid, self.grid["fuse_phase"]
        lies = f"the first MS pixel is centred on PAN (row, col) {phase}: phase={phase} in panloom.fuse"
        said.append(("grids", f"ratio {grid['ratio']}; {lies if phase else 'MS is resampled, so that they nest'}"))
        said.append(("", f"away from corner on corner by (row, col) {grid['offset_ms_px']} MS pixels"))
        said.append(("result", f"{grid['width']} x {grid['height']} pixels"))
        said.append(("full scale", f"{self.full_scale['value']:.10g} counts as 1 ({self.full_scale['source']})"))
        said.append(("misregistration", misregistration(self.registration, cast("int", grid["ratio"]))))
        return [f"{label:16} {text}" for label, text in said]

    def rows(self) -> list[tuple[str, ...]]:
        """The bands as rows of a table: band, file, number, centre in nm, MTF gain, treatment."""
        keys = ("name", "file", "number", "centre_nm", "mtf_nyquist", "treatment")
        return [tuple("unknown" if band[key] is None else str(band[key]) for key in keys) for band in self.bands]


def _file(file: Mapping[str, object]) -> str:
    size = f"{file['width']} x {file['height']}, {file['bands']} band(s), {file['dtype']}"
    return f"{file['path']}: {size}, no-data {'not stated' if file['nodata'] is None else file['nodata']}"


def _fuse_phase(scene: Scene) -> tuple[float, ...] | None:
    """Where MS sample (0, 0) of the file lies in the PAN file, in PAN pixels; None where MS is resampled."""
    layout, grid = scene.layout, scene.grid
    if layout.nested is not None:
        return None
    axes = zip(layout.pan_origin, layout.ms_origin, grid.phase, strict=True)
    return tuple(round(pan - grid.ratio * ms + phase, 6) for pan, ms, phase in axes)


def describe(opened: Opened, registration: Registration | None, warnings: Sequence[str]) -> Info:
    """The facts of an opened scene, and the warnings that `panloom.run.sharpen.register` gave."""
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
            "centre_nm": None if b.band.placeholder else b.band.centre_nm,
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
            "fuse_phase": _fuse_phase(scene),
            "offset_ms_px": tuple(round((p - corner) / grid.ratio, 4) + 0.0 for p in grid.phase),
            "height": area.height,
            "width": area.width,
        },
        full_scale={"value": scene.units.full_scale, "source": opened.full_scale_source},
        registration=registration,
        notes=opened.identity.facts,
        warnings=tuple(warnings),
    )
