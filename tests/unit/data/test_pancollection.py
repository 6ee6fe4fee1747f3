"""Training sets in HDF5 files."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import data_tools
import numpy as np
import pytest
import torch
from data_tools import seeded

from panloom.data import PanCollection
from panloom.errors import OptionError, SceneError
from panloom.optics import physical


def test_without_h5py_it_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(OptionError, match=r'pip install "panloom\[data\]"'):
        PanCollection(tmp_path / "x.h5")


@pytest.fixture
def write():
    """Writes arrays in an HDF5 file."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: HDF5 files are not tested")

    def written(path: Path, **arrays: np.ndarray | None) -> Path:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                if array is not None:
                    file[name] = array
        return path

    return written


def patches(count: int = 5, bands: int = 4, **others: np.ndarray | None) -> dict[str, np.ndarray | None]:
    return {
        "gt": data_tools.pixels(count, bands, 32, 32, seed=1).astype("float64"),
        "ms": data_tools.pixels(count, bands, 8, 8, seed=2).astype("float64"),
        "lms": data_tools.pixels(count, bands, 32, 32, seed=3).astype("float64"),
        "pan": data_tools.pixels(count, 1, 32, 32, seed=4).astype("float64"),
    } | others


def test_patches_by_number(write, tmp_path):
    arrays = patches()
    data = PanCollection(write(tmp_path / "x.h5", **arrays), sensor="quickbird")
    assert (len(data), data.has_truth, data.divisor) == (5, True, 2047.0)
    example = data.example([3, 0, 3])
    for image, key in (
        (example.truth, "gt"),
        (example.pair.ms, "ms"),
        (example.pair.exp, "lms"),
        (example.pair.pan, "pan"),
    ):
        array = arrays[key]
        assert array is not None
        np.testing.assert_allclose(image.numpy(), array[[3, 0, 3]] / 2047, rtol=1e-6)
        assert image.dtype == torch.float32
    assert example.pair.phase == (2.0, 2.0)
    assert example.pair.valid.all()
    assert example.pair.sensor is not None
    assert [band.name for band in example.pair.sensor.bands] == ["blue", "green", "red", "nir"]


def test_the_divisor(write, tmp_path):
    path = write(tmp_path / "x.h5", **patches())
    assert PanCollection(path, sensor="gaofen-2").divisor == 1023
    assert PanCollection(path).divisor == 2047
    assert PanCollection(path, sensor="gaofen-2", divisor=2047).divisor == 2047


def test_random_batches(write, tmp_path):
    data = PanCollection(write(tmp_path / "x.h5", **patches()), batch=3)
    one, two = data(seeded(1)), pickle.loads(pickle.dumps(data))(seeded(1))
    assert torch.equal(one.truth, two.truth)
    assert not torch.equal(one.truth, data(seeded(2)).truth)
    assert one.truth.shape == (3, 4, 32, 32)


def test_turned_batches_keep_their_phase(write, tmp_path):
    truth = np.random.default_rng(0).random((2, 4, 64, 64))
    ms = physical.degrade(torch.from_numpy(truth), [0.3], 4, (2.0, 2.0)).numpy()
    path = write(tmp_path / "x.h5", gt=truth, ms=ms, pan=truth.mean(1, keepdims=True))
    data = PanCollection(path, divisor=1.0, batch=2)
    phases = set()
    for seed in range(12):
        example = data(seeded(seed))
        phases.add(example.pair.phase)
        again = physical.degrade(example.truth, [0.3], 4, example.pair.phase)
        torch.testing.assert_close(example.pair.ms, again, rtol=0, atol=1e-5)
        torch.testing.assert_close(example.pair.pan, example.truth.mean(1, keepdim=True), rtol=0, atol=1e-6)
    assert phases == {(2.0, 2.0), (2.0, 1.0), (1.0, 2.0), (1.0, 1.0)}
    assert PanCollection(path, divisor=1.0, turn=False)(seeded()).pair.phase == (2.0, 2.0)


def test_full_resolution_and_no_lms(write, tmp_path):
    data = PanCollection(write(tmp_path / "x.h5", **patches(gt=None, lms=None)))
    assert not data.has_truth
    pair = data.pair([1])
    torch.testing.assert_close(pair.exp, physical.interpolate(pair.ms, 4, (2.0, 2.0)))
    with pytest.raises(OptionError, match="no `gt`"):
        data(seeded())


def test_only_the_patches_asked_for_are_read(write, tmp_path, monkeypatch):
    import h5py

    data = PanCollection(write(tmp_path / "x.h5", **patches()))
    asked = []
    get = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: asked.append(key) or get(self, key))
    data.example([4, 2])
    assert asked == [4, 2] * 4


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"pan": None}, r"needs ms .* it has ms \(5, 4, 8, 8\), lms"),
        ({"ms": None}, "needs ms"),
        ({"ms": np.ones((5, 8, 8))}, "needs ms"),
        ({"pan": np.ones((5, 2, 32, 32))}, "do not fit each other"),
        ({"pan": np.ones((4, 1, 32, 32))}, "do not fit each other"),
        ({"pan": np.ones((5, 1, 32, 30))}, "do not fit each other"),
        ({"pan": np.ones((5, 1, 8, 8)), "gt": None, "lms": None}, "ratio of 2 or more"),
        ({"gt": np.ones((5, 3, 32, 32))}, "do not fit each other"),
        ({"ms": np.ones((0, 4, 8, 8))}, "needs ms"),
    ],
)
def test_arrays_that_do_not_fit(write, tmp_path, changed, told):
    with pytest.raises(SceneError, match=told):
        PanCollection(write(tmp_path / "x.h5", **patches(**changed)))


def test_what_is_wrong_is_told(write, tmp_path):
    (tmp_path / "text.h5").write_text("no")
    for name in ("text.h5", "none.h5"):
        with pytest.raises(SceneError, match="not a readable HDF5 file"):
            PanCollection(tmp_path / name)
    path = write(tmp_path / "x.h5", **patches())
    data = PanCollection(path)
    with pytest.raises(OptionError, match=r"holds patches 0 to 4; asked for: \[5, -1\]"):
        data.example([0, 5, -1])
    with pytest.raises(OptionError, match="asked for: none"):
        data.pair([])
    with pytest.raises(OptionError, match="batch 0"):
        PanCollection(path, batch=0)
    with pytest.raises(OptionError, match="divisor 0"):
        PanCollection(path, divisor=0)
    path.unlink()
    with pytest.raises(SceneError, match="cannot be read"):
        data.example([0])
