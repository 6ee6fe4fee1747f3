"""What is told about a scene before anything is fused, in words and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rasters import Place, Says, write

import panloom
from panloom.run.describe import Info, describe
from panloom.run.report import Registration
from panloom.scene import open_scene

PAN = Place(64, 64)


def said(folder: Path, place: Place, bands: int = 4, found: Registration | None = None, **words) -> Info:
    write(folder / "pan.tif", np.ones((1, 64, 64), "uint16"), PAN)
    says = words.pop("says", Says())
    write(folder / "ms.tif", np.ones((bands, place.height, place.width), "uint16"), place, says)
    opened = open_scene(str(folder / "pan.tif"), str(folder / "ms.tif"), **words)
    with opened.scene:
        return describe(opened, found, ["look out"])


@pytest.mark.parametrize("bands", [1, 6])
def test_wavelengths_that_nobody_knows_are_not_told(tmp_path, bands):
    info = said(tmp_path, PAN.coarser(4), bands)
    assert [band["centre_nm"] for band in info.bands] == [None] * bands
    assert [row[3] for row in info.rows()] == ["unknown"] * bands
    assert [band["centre_nm"] for band in json.loads(json.dumps(info.as_dict()))["bands"]] == [None] * bands


def test_wavelengths_that_are_known_are_told(tmp_path):
    info = said(tmp_path, PAN.coarser(4), says=Says(descriptions=("Red", "Green", "Blue", "SWIR 1")), sensor=None)
    assert [row[3] for row in info.rows()] == ["660.0", "560.0", "485.0", "unknown"]
    assert info.rows()[3][5] == "passed through (swir)"
    info = said(tmp_path, PAN.coarser(4), sensor="quickbird")
    assert all(isinstance(band["centre_nm"], float) for band in info.bands)


def test_facts_and_warnings_are_apart(tmp_path):
    info = said(tmp_path, PAN.coarser(4), sensor="quickbird", sharpen=["red"])
    assert info.warnings == ("look out",)
    assert [note.split(",")[0] for note in info.notes] == ["without detail of PAN"]


@pytest.mark.parametrize("extent", ["pan", "intersection", "ms"])
@pytest.mark.parametrize(("rows", "cols"), [(0.0, 0.0), (-0.5, -1.5), (-2.0, 5.25), (6.0, -5.0)])
def test_the_phase_is_the_one_that_fuse_takes(tmp_path, rows, cols, extent):
    place = PAN.coarser(4, rows, cols, (17, 17))
    info = said(tmp_path, place, extent=extent)
    lines = dict(line.split(maxsplit=1) for line in info.lines() if line.startswith("grids"))
    phase = (1.5 + rows, 1.5 + cols)
    assert info.grid["fuse_phase"] == pytest.approx(phase)
    assert f"phase=({phase[0]}, {phase[1]}) in panloom.fuse" in lines["grids"]
    # MS of a plane through the images comes out as that plane where the phase is right.
    plane = torch.arange(64.0)[:, None] + 2 * torch.arange(64.0)
    at = [4 * torch.arange(17.0) + p for p in phase]
    ms = (at[0][:, None] + 2 * at[1])[None]
    fused = panloom.fuse(plane, ms, method="exp", phase=info.grid["fuse_phase"])
    inside = (slice(30, 34), slice(30, 34))
    assert torch.allclose(fused[0][inside], plane[inside], atol=0.05)


def test_ms_that_is_resampled_has_no_phase(tmp_path):
    info = said(tmp_path, PAN.coarser(4).flipped())
    assert info.grid["fuse_phase"] is None
    assert any(line.startswith("grids") and "resampled" in line for line in info.lines())


def test_words_say_what_each_number_is(tmp_path):
    found = Registration(0.0123, -0.5, 0.98, corrected=False, moves_pan=True)
    lines = said(tmp_path, PAN.coarser(4), found=found, sensor="quickbird").lines()
    text = "\n".join(lines)
    assert all(len(line) > 16 and line[15] == " " for line in lines)
    assert "full scale       2047 counts as 1 (sensor quickbird)" in text
    assert "misregistration  MS lies +0.01 rows, -0.50 columns (MS pixels) from where the files say" in text
    assert "(confidence 0.98); universal and adapters move PAN there" in text
    assert "--align moves MS to PAN" in text
    assert "64 x 64, 1 band(s), uint16, no-data not stated" in text
    (line,) = [line for line in said(tmp_path, PAN.coarser(4)).lines() if line.startswith("misregistration")]
    assert line.endswith("could not be measured")
