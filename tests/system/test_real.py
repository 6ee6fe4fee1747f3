"""Every real pair: the result lies where PAN lies, has the colours of MS, and shows no seams."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
import rasterio
from system_tools import pixels

import panloom
from panloom.run import sharpen as engine

TILE = 128

PAIRS = ["landsat7_07", "landsat7_15", "landsat8_gppnn12", "landsat8_gppnn5", "landsat8_mm", "landsat8_rup"]


@pytest.fixture
def sharpened(shared, tmp_path, monkeypatch):
    """Sharpen a pair by name, with tiles so small that there are many borders."""
    monkeypatch.setattr(engine, "tile_size", lambda ratio, multiple=1: TILE)

    def run(name, method, **settings):
        folder = shared / "data" / "geotiff" / name
        out = tmp_path / f"{method}.tif"
        report = panloom.sharpen(folder / "pan.tif", folder / "ms.tif", out, method=method, **settings)
        return folder, out, report

    return run


@cache
def _mean_of_ms(path):
    with rasterio.open(path) as ds:
        data = ds.read(masked=True).astype(float)
    return np.ma.masked_invalid(data).mean((1, 2)).data


def step_at_borders(image: np.ndarray, tile: int) -> float:
    """Mean absolute step across tile borders over that across all others, rows and columns, worst band."""
    worst = 0.0
    for data in (image, image.transpose(0, 2, 1)):
        steps = np.nanmean(np.abs(np.diff(data, axis=2)), axis=1)
        at = np.arange(tile - 1, steps.shape[1], tile)
        others = np.delete(steps, at, axis=1)
        worst = max(worst, float((steps[:, at].mean(1) / others.mean(1)).max()))
    return worst


@pytest.mark.parametrize("method", ["gsa", "mtf-glp-hpm"])
@pytest.mark.parametrize("name", PAIRS)
def test_real_pair(sharpened, name, method):
    folder, out, report = sharpened(name, method)
    with rasterio.open(folder / "pan.tif") as pan, rasterio.open(folder / "ms.tif") as ms, rasterio.open(out) as ds:
        assert ds.transform == pan.transform
        assert ds.crs == pan.crs
        assert ds.shape == pan.shape
        assert ds.dtypes == ms.dtypes
        assert ds.descriptions == tuple(
            d or b["name"] for d, b in zip(ms.descriptions, report.bands["bands"], strict=True)
        )
        image = ds.read(masked=True).astype(float)
    values = np.ma.masked_invalid(image).filled(np.nan)
    means = np.nanmean(values, axis=(1, 2))
    # A ratio does not keep the mean as a sum does: where PAN hardly follows a band, hpm loses up to .8 %.
    assert means == pytest.approx(_mean_of_ms(folder / "ms.tif"), rel=0.005 if method == "gsa" else 0.01)
    assert report.registration is not None
    assert abs(report.registration.row) < 0.1
    assert abs(report.registration.col) < 0.1
    assert not any("from where the files say" in warning for warning in report.warnings)
    assert report.tiles["all"] > 9
    # The scene has edges of its own (steps of up to 1.4 where tiles provably make no difference); a seam is worse.
    assert step_at_borders(values, TILE) < 1.5


def test_every_pair_is_tested(shared):
    assert sorted(p.parent.name for p in (shared / "data" / "geotiff").glob("*/pan.tif")) == PAIRS


@pytest.mark.parametrize(("name", "method"), list(zip(PAIRS, ["gsa", "sfim", "mtf-glp-hpm"] * 2, strict=True)))
def test_tiles_make_no_difference(sharpened, name, method, monkeypatch, no_registration):
    """The strictest test of seams: one large tile gives the same pixels."""
    _, out, _ = sharpened(name, method, dtype="float32", nodata="nan")
    tiled = pixels(out)
    monkeypatch.setattr(engine, "tile_size", lambda ratio, multiple=1: 1024)
    _, out, _ = sharpened(name, method, dtype="float32", nodata="nan", overwrite=True)
    whole = pixels(out)
    scale = np.nanmax(np.abs(whole))
    assert np.allclose(tiled, whole, atol=2e-6 * scale, equal_nan=True)


def test_what_is_said_about_landsat(shared, tmp_path):
    """Ten bands, of which PAN sees few: the report tells what was done with each."""
    folder = shared / "data" / "geotiff" / "landsat8_gppnn12"
    facts = {entry["name"]: entry for entry in json.loads((folder.parent / "manifest.json").read_text())}
    bands = facts["landsat8_gppnn12"]["ms_shape"][2]
    report = panloom.sharpen(folder / "pan.tif", folder / "ms.tif", tmp_path / "out.tif", sensor="landsat-8")
    assert len(report.bands["bands"]) == bands
    passed = {b["name"] for b in report.bands["bands"] if not b["sharpened"]}
    assert passed == {"swir1", "swir2", "cirrus", "thermal1", "thermal2"}
    assert any("passed through: swir1 (swir)" in note for note in report.notes)
    assert any("does not cover coastal, blue, nir: " in warning for warning in report.warnings)
