"""Pairs in .npz files: what is read, what the manifest changes, and one clear error for each thing that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from panloom import sensors
from panloom.data import pairs
from panloom.data.pairs import Recorded, find_pairs, only, read_pair
from panloom.errors import SceneError


def pixels(*shape: int, high: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, high, shape).astype("uint16")


def pair_file(folder: Path, name: str = "one", compressed: bool = False, **arrays: np.ndarray | None) -> Path:
    """PAN and MS of ratio 4 with four bands; further arrays, or others; None: left out."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"pan": pixels(48, 64), "ms": pixels(12, 16, 4, seed=1)} | arrays
    save = np.savez_compressed if compressed else np.savez
    save(folder / f"{name}.npz", **{key: array for key, array in arrays.items() if array is not None})
    return folder / f"{name}.npz"


def manifest(folder: Path, *entries: object) -> None:
    (folder / pairs.MANIFEST).write_text(json.dumps(list(entries)), encoding="utf-8")


def told(folder: Path, arrays: dict[str, np.ndarray] | None = None, **facts: object) -> Recorded:
    """The pair with an entry of the manifest."""
    path = pair_file(folder, **(arrays or {}))
    manifest(folder, {"name": "another", "sensor": "nobody"}, {"name": "one", **facts})
    return read_pair(path)


# --- what is read -----------------------------------------------------------------------------------------


def test_a_pair_without_manifest(tmp_path):
    pan, ms = pixels(48, 64), pixels(12, 16, 4, seed=1)
    pair = read_pair(pair_file(tmp_path))
    assert (pair.name, pair.group, pair.sensor.name) == ("one", "generic", "generic")
    assert [band.name for band in pair.sensor.bands] == ["blue", "green", "red", "nir"]
    assert (pair.ratio, pair.phase, pair.full_scale) == (4, (1.5, 1.5), 2047.0)
    assert pair.pan.dtype == pair.ms.dtype == torch.float64
    assert np.array_equal(pair.pan[0, 0], pan)
    assert np.array_equal(pair.ms[0].permute(1, 2, 0), ms)
    assert pair.truth is None
    assert pair.pan_valid.all()
    assert pair.ms_valid.shape == (1, 1, 12, 16)


def test_a_path_may_be_text(tmp_path):
    assert read_pair(str(pair_file(tmp_path, compressed=True))).name == "one"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint64", "float16", "float32", "float64", ">u2"])
def test_any_real_type(tmp_path, dtype):
    ms = pixels(12, 16, 4, high=200).astype(dtype)
    pair = read_pair(pair_file(tmp_path, pan=pixels(48, 64, high=200).astype("float32"), ms=ms))
    assert np.array_equal(pair.ms[0].permute(1, 2, 0), ms.astype("float64"))
    assert pair.full_scale == 255


def test_one_band_may_be_without_axis(tmp_path):
    pair = read_pair(pair_file(tmp_path, pan=pixels(48, 64, 1), ms=pixels(12, 16)))
    assert pair.pan.shape == (1, 1, 48, 64)
    assert pair.ms.shape == (1, 1, 12, 16)
    assert len(pair.sensor.bands) == 1


def test_a_pair_with_its_truth(tmp_path):
    gt = pixels(48, 64, 4)
    pair = read_pair(pair_file(tmp_path, ms=None, gt=gt, ms_lr=pixels(12, 16, 4)))
    assert np.array_equal(pair.truth[0].permute(1, 2, 0), gt)
    assert pair.ms.shape == (1, 4, 12, 16)
    assert pair.phase == (2.0, 2.0)
    assert pair.ms_valid.shape == (1, 1, 48, 64)
    alone = read_pair(pair_file(tmp_path, "two", ms=None, gt=gt))
    assert alone.ms is None
    assert alone.ratio == 4


@pytest.mark.parametrize(("pan", "ms", "cut"), [((49, 66), (12, 16), (48, 64)), ((50, 63), (13, 16), (48, 60))])
def test_odd_sizes_are_cut_to_whole_ms_pixels(tmp_path, pan, ms, cut):
    pair = read_pair(pair_file(tmp_path, pan=pixels(*pan), ms=pixels(*ms, 3)))
    assert pair.pan.shape[-2:] == cut
    assert pair.ms.shape[-2:] == (cut[0] // 4, cut[1] // 4)
    assert pair.pan_valid.shape[-2:] == cut
    assert pair.ms_valid.shape[-2:] == pair.ms.shape[-2:]
    assert np.array_equal(pair.pan[0, 0], pixels(*pan)[: cut[0], : cut[1]])


def test_a_truth_is_cut_with_its_pan(tmp_path):
    arrays = {"pan": pixels(48, 66), "ms": None, "gt": pixels(48, 66, 4), "ms_lr": pixels(11, 16, 4)}
    pair = told(tmp_path, arrays, ratio=4)
    assert pair.pan.shape[-2:] == pair.truth.shape[-2:] == pair.ms_valid.shape[-2:] == (44, 64)


def test_the_pairs_of_a_folder(tmp_path):
    for name in ("b", "a", "c"):
        pair_file(tmp_path, name)
    (tmp_path / "a.txt").touch()
    assert [path.stem for path in find_pairs(tmp_path)] == ["a", "b", "c"]
    assert find_pairs(tmp_path / "nowhere") == []


def test_some_bands(tmp_path):
    pair = read_pair(pair_file(tmp_path, ms=None, gt=pixels(48, 64, 4), ms_lr=pixels(12, 16, 4)))
    less = only(pair, [3, 1])
    assert [band.name for band in less.sensor.bands] == ["nir", "green"]
    assert torch.equal(less.truth, pair.truth[:, [3, 1]])
    assert torch.equal(less.ms, pair.ms[:, [3, 1]])
    assert less.pan is pair.pan


# --- no data ----------------------------------------------------------------------------------------------


def test_zeros_are_no_data(tmp_path):
    pan, ms = pixels(48, 64), pixels(12, 16, 4)
    pan[3:9, 5] = 0
    ms[2, 3], ms[7, 7, :3] = 0, 0
    pair = read_pair(pair_file(tmp_path, pan=pan, ms=ms))
    assert np.array_equal(pair.pan_valid[0, 0], pan != 0)
    assert int((~pair.ms_valid).sum()) == 1
    assert not pair.ms_valid[0, 0, 2, 3]


def test_numbers_that_are_none_are_no_data(tmp_path):
    pan, ms = pixels(48, 64).astype("float32"), pixels(12, 16, 4).astype("float32")
    pan[3, 5], pan[4, 5], ms[2, 3, 1], ms[5, 6, 2] = np.nan, np.inf, np.nan, -np.inf
    pair = read_pair(pair_file(tmp_path, pan=pan, ms=ms))
    assert np.array_equal(pair.pan_valid[0, 0], np.isfinite(pan))
    assert np.array_equal(pair.ms_valid[0, 0], np.isfinite(ms).all(-1))
    assert torch.isfinite(pair.pan).all()
    assert torch.isfinite(pair.ms).all()
    assert pair.full_scale == 2047


def test_what_lies_under_no_data_is_a_continuation(tmp_path):
    """No number that stands for no data may leak into a blur."""
    pan, ms = np.full((48, 64), 300.0), np.full((12, 16, 4), 200.0)
    pan[:, 60:], ms[4:6, 4:6] = 0, np.nan
    pair = read_pair(pair_file(tmp_path, pan=pan, ms=ms))
    torch.testing.assert_close(pair.pan, torch.full_like(pair.pan, 300.0))
    torch.testing.assert_close(pair.ms, torch.full_like(pair.ms, 200.0))
    assert int((~pair.pan_valid).sum()) == 48 * 4
    assert int((~pair.ms_valid).sum()) == 4


@pytest.mark.parametrize("key", ["pan", "ms"])
@pytest.mark.parametrize("number", [0, np.nan])
def test_nothing_but_no_data(tmp_path, key, number):
    shapes = {"pan": (48, 64), "ms": (12, 16, 4)}
    with pytest.raises(SceneError, match=r"one\.npz: no pixel holds data"):
        read_pair(pair_file(tmp_path, **{key: np.full(shapes[key], number, "float32")}))


# --- the manifest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("above", [False, True])
def test_the_manifest_lies_in_the_folder_or_above(tmp_path, above):
    path = pair_file(tmp_path / "train")
    place = tmp_path if above else tmp_path / "train"
    manifest(place, {"name": "one", "sensor": "QuickBird", "bits": 11, "bands": ["B", "G", "R", "N"]})
    pair = read_pair(path)
    assert (pair.group, pair.sensor.name, pair.full_scale) == ("quickbird", "quickbird", 2047.0)
    assert [band.mtf_nyquist for band in pair.sensor.bands] == [0.34, 0.32, 0.30, 0.22]
    assert pairs.manifest_of(path) == place / pairs.MANIFEST


def test_the_nearer_manifest_counts(tmp_path):
    path = pair_file(tmp_path / "train")
    manifest(tmp_path, {"name": "one", "sensor": "QuickBird"})
    manifest(tmp_path / "train", {"name": "one", "sensor": "GeoEye-1"})
    assert read_pair(path).sensor.name == "geoeye-1"


def test_a_pair_that_the_manifest_does_not_name(tmp_path):
    path = pair_file(tmp_path)
    manifest(tmp_path, {"name": "two", "sensor": "QuickBird", "ratio": 2})
    pair = read_pair(path)
    assert (pair.group, pair.ratio) == ("generic", 4)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (-0.25, 0.25), (0.125, -0.5)])
def test_the_shift_is_the_phase(tmp_path, shift):
    pair = told(tmp_path, remaining_shift_ms_px_yx=shift)
    assert pair.phase == pytest.approx((1.5 + 4 * shift[0], 1.5 + 4 * shift[1]))


def test_the_shift_of_a_degraded_pair_is_none_of_its_phase(tmp_path):
    arrays = {"ms": None, "gt": pixels(48, 64, 4)}
    assert told(tmp_path, arrays, remaining_shift_ms_px_yx=[0.7, 0.7]).phase == (2.0, 2.0)


def test_an_unknown_instrument_is_a_group_of_its_own(tmp_path):
    pair = told(tmp_path, sensor="Some VHR camera")
    assert (pair.group, pair.sensor.name) == ("some vhr camera", "generic")
    pair = told(tmp_path, sensor=None)
    assert (pair.group, pair.sensor.name) == ("generic", "generic")


def test_words_around_the_name_of_an_instrument_are_no_other_group(tmp_path):
    assert told(tmp_path, sensor="WorldView-2 (SpaceNet-6 Rotterdam)").group == "worldview-2"


def test_bands_that_the_sensor_does_not_know(tmp_path):
    """As many as a usual product has: those of it. Else bands with the generic gain."""
    four = told(tmp_path, sensor="WorldView-3", bands=["x", "y", "z", "w"])
    assert len(four.sensor.bands) == 4
    assert not any(band.placeholder for band in four.sensor.bands)
    five = told(tmp_path, {"ms": pixels(12, 16, 5)}, sensor="WorldView-3", bands=["x", "y"])
    assert five.sensor.name == "worldview-3"
    assert all(band.placeholder for band in five.sensor.bands)
    assert {band.mtf_nyquist for band in five.sensor.bands} == {sensors.get("generic").bands[0].mtf_nyquist}


@pytest.mark.parametrize(
    ("facts", "scale", "expected"),
    [
        ({"bits": 11}, 1, 2047),
        ({"bits": 16}, 1, 65535),
        ({"bits": "float"}, 1, 1),
        ({"sensor": "QuickBird"}, 1, 2047),
        ({"sensor": "Landsat-8"}, 1, 65535),
        ({}, 1, 2047),
        ({}, 0.1, 255),
        ({}, 1 / 4000, 1),
        ({"sensor": "QuickBird"}, 1 / 4000, 1),
        ({"bits": None}, 30, 65535),
        ({}, -1, 1),
    ],
)
def test_full_scale_is_never_the_largest_number(tmp_path, facts, scale, expected):
    arrays = {"pan": scale * pixels(48, 64).astype(float), "ms": scale * pixels(12, 16, 4).astype(float)}
    assert told(tmp_path, arrays, **facts).full_scale == expected


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        '{"name": "one"}',
        "[1, 2]",
        '[{"sensor": "QuickBird"}]',
        "12",
        '[{"name": "one", "ratio": "four"}]',
        '[{"name": "one", "ratio": 0}]',
        '[{"name": "one", "ratio": 1e999}]',
        '[{"name": "one", "bits": "many"}]',
        '[{"name": "one", "bits": -3}]',
        '[{"name": "one", "bands": 4}]',
        '[{"name": "one", "remaining_shift_ms_px_yx": [0.1]}]',
        '[{"name": "one", "remaining_shift_ms_px_yx": ["a", "b"]}]',
        '[{"name": "one", "remaining_shift_ms_px_yx": 3}]',
    ],
)
def test_a_wrong_manifest(tmp_path, text):
    path = pair_file(tmp_path)
    (tmp_path / pairs.MANIFEST).write_text(text)
    with pytest.raises(SceneError, match=r"manifest\.json: not a list of objects with a name, or one has a wrong"):
        read_pair(path)


def test_a_manifest_that_is_no_text(tmp_path):
    path = pair_file(tmp_path)
    (tmp_path / pairs.MANIFEST).write_bytes(b"\xff\xfe\x00[]\x81")
    with pytest.raises(SceneError, match=r"manifest\.json"):
        read_pair(path)


@pytest.mark.parametrize("shift", [(0.5, 0.0), (0.0, -0.75), (float("nan"), 0.0)])
def test_a_shift_of_half_a_pixel_and_more(tmp_path, shift):
    with pytest.raises(SceneError, match=r"one\.npz: the manifest says .* cut whole pixels"):
        told(tmp_path, remaining_shift_ms_px_yx=shift)


# --- files that are no pairs ------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SceneError, match=r"none\.npz"):
        read_pair(tmp_path / "none.npz")


@pytest.mark.parametrize("data", [b"", b"no zip at all, but a letter", b"PK\x03\x04 and then nothing", b"\x93NUMPY"])
def test_a_file_that_is_none(tmp_path, data):
    path = tmp_path / "one.npz"
    path.write_bytes(data)
    with pytest.raises(SceneError, match=r"one\.npz: "):
        read_pair(path)


def test_a_single_array_under_the_wrong_name(tmp_path):
    np.save(tmp_path / "one.npy", pixels(8, 8))
    path = (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(SceneError, match="one array"):
        read_pair(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.99])
def test_a_truncated_file(tmp_path, share, compressed):
    path = pair_file(tmp_path, compressed=compressed)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(SceneError, match=r"one\.npz"):
        read_pair(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("place", [0.1, 0.4, 0.6, 0.9])
def test_a_damaged_file(tmp_path, place, compressed):
    """Wrong bytes in the middle of an array: zip keeps a checksum of each."""
    path = pair_file(tmp_path, compressed=compressed)
    data = bytearray(path.read_bytes())
    middle = int(place * len(data))
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(SceneError, match=r"one\.npz"):
        read_pair(path)


class Trap:
    """Unpickling it would leave a trace."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self):
        return Path.touch, (Path(self.place),)


@pytest.mark.parametrize("key", ["pan", "ms", "gt"])
def test_pickled_objects_are_refused_and_not_run(tmp_path, key):
    trap = tmp_path / "sprung"
    array = np.array([Trap(str(trap))], dtype=object)
    path = pair_file(tmp_path, **{key: array})
    with pytest.raises(SceneError, match=r"one\.npz: not a readable"):
        read_pair(path)
    assert not trap.exists()


def test_further_arrays_are_not_looked_at(tmp_path):
    trap = tmp_path / "sprung"
    pair = read_pair(pair_file(tmp_path, note=np.array([Trap(str(trap))], dtype=object), text=np.array("words")))
    assert pair.ms.shape == (1, 4, 12, 16)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("arrays", "has"),
    [({"pan": None}, "ms"), ({"ms": None}, "pan"), ({"pan": None, "ms": None, "other": pixels(3, 3)}, "none of them")],
)
def test_missing_arrays(tmp_path, arrays, has):
    with pytest.raises(SceneError, match=rf"needs the arrays `pan`, and `ms` or `gt`; it has {has}"):
        read_pair(pair_file(tmp_path, **arrays))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4, 4)),
        np.ones(5),
        np.ones((2, 3, 4, 5)),
        np.array(7),
        np.full((12, 16), "a"),
        np.ones((12, 16), bool),
    ],
)
def test_arrays_that_are_no_images(tmp_path, array):
    with pytest.raises(SceneError, match="ms must be"):
        read_pair(pair_file(tmp_path, ms=array))


def test_complex_numbers(tmp_path):
    with pytest.raises(SceneError, match=r"real numbers; it is .* complex128"):
        read_pair(pair_file(tmp_path, ms=np.ones((12, 16, 3), complex)))


def test_pan_of_several_bands(tmp_path):
    with pytest.raises(SceneError, match="pan must have one band; it has 3"):
        read_pair(pair_file(tmp_path, pan=pixels(48, 64, 3)))


@pytest.mark.parametrize("ms", [(12, 12, 3), (20, 16, 3), (96, 128, 3), (48, 64, 3), (500, 1, 3)])
def test_sizes_that_do_not_fit(tmp_path, ms):
    with pytest.raises(SceneError, match=r"PAN \(48, 64\) and MS .* do not fit the ratio"):
        read_pair(pair_file(tmp_path, ms=pixels(*ms)))


def test_pan_smaller_than_one_ms_pixel(tmp_path):
    with pytest.raises(SceneError, match="do not fit the ratio 4"):
        told(tmp_path, {"pan": pixels(3, 3), "ms": pixels(1, 1, 3)}, ratio=4)


def test_a_ratio_that_is_not_that_of_the_arrays(tmp_path):
    with pytest.raises(SceneError, match="do not fit the ratio 2"):
        told(tmp_path, ratio=2)


def test_a_truth_of_another_size_than_pan(tmp_path):
    with pytest.raises(SceneError, match=r"gt \(48, 60\) and pan \(48, 64\) must be of one size"):
        read_pair(pair_file(tmp_path, ms=None, gt=pixels(48, 60, 4)))


def test_a_truth_of_other_bands_than_its_image(tmp_path):
    with pytest.raises(SceneError, match="gt has 4 bands and its degraded image 3"):
        read_pair(pair_file(tmp_path, ms=None, gt=pixels(48, 64, 4), ms_lr=pixels(12, 16, 3)))
