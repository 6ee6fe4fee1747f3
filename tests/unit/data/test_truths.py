"""Free images as truths of virtual sensors."""

from __future__ import annotations

from dataclasses import replace

import data_tools
import numpy as np
import pytest
import torch

from panloom import sensors
from panloom.data import make, open_truths, truth_of
from panloom.errors import SceneError


@pytest.fixture
def folder(tmp_path):
    """A Sentinel-2 and an EO-1 image, and Landsat pairs of both splits."""
    root = tmp_path / "data"
    im10, im20 = data_tools.pixels(20, 30, 4), data_tools.pixels(10, 15, 6)
    data_tools.npz(root / "sentinel2" / "S2.npz", im10=im10, im20=im20)
    bands = {"im10": ["B4", "B3", "B2", "B8"], "im20": ["B5", "B6", "B7", "B8A", "B11", "B12"]}
    data_tools.manifest(root / "sentinel2", {"name": "S2", "bands": bands})
    cube, ali = (np.random.default_rng(0).random((8, 10, n), np.float32) for n in (3, 9))
    waves = np.array([500.0, 900.0, 1650.0])
    data_tools.npz(root / "hyperspectral" / "eo1.npz", hs_ms=cube, ms=ali, wavelength_nm=waves)
    data_tools.npz(root / "hyperspectral" / "other.npz", cube=cube)
    eo1 = {"name": "eo1", "sensor": "EO-1 Hyperion + ALI"}
    data_tools.manifest(root / "hyperspectral", eo1, {"name": "other", "sensor": "AVIRIS"})
    home, entries = root / "pansharpening", []
    for name, split, use in (("l8", "train", "open"), ("l8v", "val", "open"), ("wv", "train", "internal")):
        ms = data_tools.pixels(12, 12, 10)
        data_tools.npz(home / split / f"{name}.npz", pan=data_tools.pixels(24, 24), ms=ms)
        numbers = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9", "B10", "B11"]
        entries.append({"name": name, "split": split, "use": use, "sensor": "Landsat-8", "bands": numbers, "bits": 16})
    data_tools.manifest(home, *entries)
    return tmp_path


def test_only_free_images_and_only_of_one_side(folder):
    found = {truth.name: truth for truth in open_truths(folder)}
    assert set(found) == {"l8", "eo1-hyperion", "eo1-ali", "S2-im10", "S2-im20"}
    assert {truth.name for truth in open_truths(folder, without=["l8"])} == set(found) - {"l8"}
    kept = {truth.name: truth for truth in open_truths(folder / "data", held_out=True)}
    assert set(kept) == {"l8v", "eo1-hyperion", "eo1-ali", "S2-im10", "S2-im20"}
    assert all(truth.licence_open for truth in (*found.values(), *kept.values()))
    assert [found[name].image.shape[-1] for name in ("S2-im10", "S2-im20", "eo1-ali")] == [21, 10, 7]
    assert [kept[name].image.shape[-1] for name in ("S2-im10", "S2-im20", "eo1-ali")] == [9, 5, 3]
    whole = torch.cat([found["S2-im10"].image, kept["S2-im10"].image], -1)
    stored = data_tools.pixels(20, 30, 4).transpose(2, 0, 1) / 1e4
    np.testing.assert_allclose(whole.numpy(), stored, rtol=1e-6)


def test_shapes_and_bands(folder):
    for truth in open_truths(folder):
        assert truth.image.dtype == torch.float32
        assert truth.image.shape == (len(truth.bands), *truth.valid.shape)
        assert truth.valid.all()
    found = {truth.name: truth for truth in open_truths(folder)}
    assert [band.centre_nm for band in found["S2-im10"].bands] == [665, 560, 490, 842]
    assert [band.role for band in found["eo1-hyperion"].bands] == ["sharpen", "sharpen", "swir"]
    assert found["eo1-ali"].bands == sensors.get("eo1-ali").bands
    landsat = found["l8"]
    assert [band.name for band in landsat.bands] == ["coastal", "blue", "green", "red", "nir", "swir1", "swir2"]
    assert landsat.pan is not None
    assert (landsat.pan.shape, landsat.pan_ratio, landsat.phase) == ((1, 24, 24), 2, (0.5, 0.5))


def test_a_pair_as_truth():
    scene = make(64, 64, bands=4)
    pair = data_tools.pair_of(scene)
    truth = truth_of(pair)
    assert not truth.licence_open
    assert pair.ms is not None
    torch.testing.assert_close(truth.image.double() * pair.full_scale, pair.ms[0])
    assert torch.equal(truth.valid, pair.ms_valid[0, 0])
    assert (truth.pan_ratio, truth.phase) == (4, pair.phase)
    own = truth_of(data_tools.with_truth(scene))
    assert (own.image.shape[-2:], own.pan_ratio, own.phase) == ((64, 64), 1, (0.0, 0.0))
    heat = replace(pair.sensor, bands=tuple(replace(band, role="thermal") for band in pair.sensor.bands))
    with pytest.raises(SceneError, match="reflected light"):
        truth_of(replace(pair, sensor=heat))


def test_what_is_wrong_is_told(tmp_path):
    with pytest.raises(SceneError, match=r"no free imagery.*docs/data\.md"):
        open_truths(tmp_path)
    root = tmp_path / "sentinel2"
    root.mkdir()
    data_tools.manifest(root, {"name": "S2", "bands": {"im10": ["B4"], "im20": ["B5"]}})
    with pytest.raises(SceneError, match=r"S2\.npz: not a readable \.npz file with im10, im20"):
        open_truths(tmp_path)
    data_tools.npz(root / "S2.npz", im10=data_tools.pixels(8, 8, 4), im20=data_tools.pixels(8, 8, 6))
    with pytest.raises(SceneError, match=r"S2-im10: needs \(row, col, 1\), is \(8, 8, 4\)"):
        open_truths(tmp_path)
    for bands in (None, {"im20": ["B5"]}, {"im10": ["red", "nir"], "im20": ["B5"]}):
        data_tools.manifest(root, {"name": "S2", "bands": bands})
        with pytest.raises(SceneError, match=r"manifest\.json: S2 needs `bands` .* B12; docs/data\.md"):
            open_truths(tmp_path)


@pytest.mark.slow
def test_the_real_truths(shared):
    found, kept = open_truths(shared), open_truths(shared, held_out=True)
    assert (len(found), len(kept)) == (33, 12)
    both = {truth.name for truth in found} & {truth.name for truth in kept}
    assert both == {"paris_eo1_rows00_41-hyperion", "paris_eo1_rows00_41-ali", "S2A_T33UUB-im10", "S2A_T33UUB-im20"}
    assert all(0 < float(truth.image.mean()) < 1 for truth in found)
