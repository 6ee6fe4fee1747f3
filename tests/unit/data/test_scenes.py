"""Scenes in files as pairs in memory."""

from __future__ import annotations

import warnings

import data_tools
import numpy as np
import pytest
import torch

from panloom.data import make, read_folder, read_scenes, recorded
from panloom.data.pairs import read_pair
from panloom.errors import OptionError, PanloomWarning, SceneError
from panloom.scene import array_scene
from panloom.scene.saving import save
from panloom.types import Window

# --- from a scene in memory ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    return data_tools.pair_of(make(256, 256, bands=4, wedge=False))


def scene(made, **settings):
    return array_scene(
        made.pan.float(), made.ms.float(), sensor=made.sensor, phase=made.phase, full_scale=2047.0, **settings
    )


def test_a_scene_in_memory(made):
    found = recorded(scene(made), "name")
    assert (found.name, found.group, found.ratio, found.phase) == ("name", "worldview-3", 4, made.phase)
    torch.testing.assert_close(found.pan, made.pan, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.ms, made.ms, rtol=1e-6, atol=0)
    assert found.full_scale == 2047
    assert found.truth is None


def test_the_cells_that_an_area_touches(made):
    found = recorded(scene(made), "name", Window(6, 9, 30, 20))
    assert found.pan.shape[-2:] == (32, 24)
    torch.testing.assert_close(found.pan, made.pan[..., 4:36, 8:32], rtol=1e-6, atol=0)
    torch.testing.assert_close(found.ms, made.ms[..., 1:9, 2:8], rtol=1e-6, atol=0)


def test_an_area_without_data(made):
    nothing = torch.zeros_like(made.pan_valid)
    nothing[..., 200:, 200:] = True
    with pytest.raises(SceneError, match="name: no pixel of the chosen area is valid"):
        recorded(scene(made, pan_valid=nothing), "name", Window(0, 0, 64, 64))


# --- a folder -----------------------------------------------------------------------------------------------


def test_the_scenes_of_a_folder(tmp_path):
    first = data_tools.scene_files(tmp_path / "a", "one", seed=1)
    data_tools.scene_files(tmp_path / "b", "two", seed=2)
    one, two = read_scenes(tmp_path, sensor="worldview-3")
    assert (one.name, two.name) == ("a_one", "b_two")
    assert one.sensor.name == "worldview-3"
    assert one.phase == pytest.approx(first.phase)
    assert np.array_equal(one.pan[0, 0].numpy().round(), first.pan)
    assert np.array_equal(one.ms[0].numpy().round(), first.ms)
    assert one.full_scale == 2047
    assert one.pan_valid.all()
    assert one.ms_valid.all()


def test_files_without_a_partner_are_named(tmp_path):
    data_tools.scene_files(tmp_path, "one")
    save(tmp_path / "stray_pan.tif", np.ones((1, 8, 8), np.uint8))
    with pytest.warns(PanloomWarning, match="not learned from.*stray_pan"):
        assert len(read_scenes(tmp_path)) == 1


def test_no_data_is_told(tmp_path):
    scene = data_tools.scene_files(tmp_path, "one", wedge=True)
    (pair,) = read_scenes(tmp_path)
    assert np.array_equal(pair.pan_valid[0, 0].numpy() & scene.pan_valid, pair.pan_valid[0, 0].numpy())
    assert 0.5 < pair.ms_valid.float().mean() < 1
    assert pair.pan[pair.pan_valid].min() > 0


def test_of_a_large_scene_parts_are_read(tmp_path):
    scene = data_tools.scene_files(tmp_path, "one", size=(128, 320))
    found = read_scenes(tmp_path, side=128, parts=2)
    assert [pair.name for pair in found] == ["one@0,0", "one@0,213"]
    for pair, col in zip(found, (0, 212), strict=True):
        width = pair.pan.shape[-1]
        assert 100 <= width <= 132
        assert np.array_equal(pair.pan[0, 0].numpy().round(), scene.pan[:, col : col + width])
        assert np.array_equal(pair.ms[0].numpy().round(), scene.ms[:, :, col // 4 : (col + width) // 4])


def test_parts_without_data_are_left_out(tmp_path):
    pan, ms = data_tools.pixels(1, 64, 256), data_tools.pixels(4, 16, 64)
    pan[..., :128], ms[..., :32] = 0, 0
    save(tmp_path / "one_pan.tif", pan, nodata=0)
    save(tmp_path / "one_ms.tif", ms, nodata=0)
    assert [pair.name for pair in read_scenes(tmp_path, side=128)] == ["one@0,128"]
    pan[...], ms[...] = 0, 0
    pan[..., :40], ms[..., :10] = 9, 9
    save(tmp_path / "one_pan.tif", pan, nodata=0, overwrite=True)
    save(tmp_path / "one_ms.tif", ms, nodata=0, overwrite=True)
    with pytest.raises(SceneError, match=r"none of the 1 parts .* ask for more"):
        read_scenes(tmp_path, side=128, parts=1)


def test_validation_scenes_are_refused(tmp_path):
    data_tools.scene_files(tmp_path / "one", "x")
    data_tools.scene_files(tmp_path / "two", "y")
    data_tools.manifest(tmp_path, {"name": "one", "split": "train"}, {"name": "two", "split": "val"})
    with pytest.raises(OptionError, match=r"2 of 4 files are validation imagery .*two.*validation=True"):
        read_scenes(tmp_path)
    assert len(read_scenes(tmp_path, validation=True)) == 2
    assert len(read_scenes(tmp_path / "one")) == 1


def test_a_folder_of_pairs_or_of_scenes(tmp_path):
    data_tools.npz(tmp_path / "pairs" / "p.npz", pan=data_tools.pixels(48, 48), ms=data_tools.pixels(12, 12, 4))
    data_tools.scene_files(tmp_path / "scenes", "s")
    assert [pair.name for pair in read_folder(tmp_path / "pairs")] == ["p"]
    assert [pair.name for pair in read_folder(tmp_path / "scenes")] == ["s"]


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(SceneError, match="no PAN and MS files"):
        read_scenes(tmp_path)
    with pytest.raises(SceneError, match="no such folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(OptionError, match="side 8 must be 64"):
        read_scenes(tmp_path, side=8)
    with pytest.raises(OptionError, match="parts 0"):
        read_scenes(tmp_path, parts=0)


def test_real_scenes_are_the_pairs_they_were_cut_from(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (scene,) = read_scenes(shared / "data" / "geotiff" / "landsat7_15", sensor="landsat-7")
    pair = read_pair(shared / "data" / "pansharpening" / "train" / "fuse_L7_15.npz")
    assert pair.ms is not None
    assert scene.ms is not None
    sharp = [k for k, band in enumerate(pair.sensor.bands) if band.role == "sharpen"]
    torch.testing.assert_close(scene.ms, pair.ms[:, sharp], rtol=0, atol=1e-4)
    torch.testing.assert_close(scene.pan, pair.pan, rtol=0, atol=1e-4)
    with pytest.raises(OptionError, match="validation imagery"):
        read_folder(shared / "data" / "geotiff" / "landsat7_07")
    with pytest.raises(OptionError, match="validation imagery"):
        read_folder(shared / "data" / "pansharpening" / "val")
