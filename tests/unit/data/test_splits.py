"""What may be learned from."""

from __future__ import annotations

import data_tools
import pytest

from panloom.data import open_splits, refuse_validation, split_of, training_pairs
from panloom.errors import OptionError, SceneError


@pytest.fixture
def folder(tmp_path):
    """Three pairs to train on, one of them looked at while tuning, and one to judge by."""
    home = tmp_path / "pansharpening"
    entries = [("a", "train", "open"), ("b", "train", "internal"), ("c", "train", "open"), ("v", "val", "open")]
    for name, split, _ in entries:
        arrays = {"pan": data_tools.pixels(48, 48), "ms": data_tools.pixels(12, 12, 4)}
        data_tools.npz(home / split / f"{name}.npz", **arrays)
    data_tools.manifest(home, *({"name": name, "split": split, "use": use} for name, split, use in entries))
    (tmp_path / "development.txt").write_text("# looked at\nc  # a remark\n\n", encoding="utf-8")
    return tmp_path


def test_the_pairs_of_each_split(folder):
    splits = open_splits(folder, folder / "development.txt")
    assert splits.names("train") == ["a", "b"]
    assert splits.names("development") == ["c"]
    assert splits.names("val") == ["v"]
    assert splits.names("train", only_open=True) == ["a"]
    assert splits.path("v") == folder / "pansharpening" / "val" / "v.npz"
    assert open_splits(folder / "pansharpening").names("train") == ["a", "b", "c"]


def test_what_is_read_for_what(folder):
    splits = open_splits(folder, ["c"])
    assert [pair.name for pair in splits.training()] == ["a", "b"]
    assert [pair.name for pair in splits.training(development=True)] == ["a", "b", "c"]
    assert [pair.name for pair in splits.training(only_open=True)] == ["a"]
    assert [pair.name for pair in splits.training(validation=True)] == ["a", "b", "v"]
    assert [pair.name for pair in splits.watched()] == ["c"]
    assert [pair.name for pair in splits.judged()] == ["v"]


def test_validation_is_refused(folder):
    home = folder / "pansharpening"
    assert split_of(home / "val" / "v.npz") == "val"
    assert split_of(home / "train" / "a.npz") == "train"
    assert split_of(home / "train" / "stranger.npz") is None
    assert [pair.name for pair in training_pairs(home / "train")] == ["a", "b", "c"]
    with pytest.raises(OptionError, match=r"1 of 1 files are validation imagery \(.*v.npz first\)"):
        training_pairs(home / "val")
    assert [pair.name for pair in training_pairs(home / "val", validation=True)] == ["v"]
    refuse_validation([home / "val" / "v.npz"], allow=True)


def test_a_users_own_folder_needs_no_manifest(tmp_path):
    data_tools.npz(tmp_path / "p.npz", pan=data_tools.pixels(48, 48), ms=data_tools.pixels(12, 12, 4))
    assert [pair.name for pair in training_pairs(tmp_path)] == ["p"]


def test_a_manifest_of_another_kind_says_nothing(tmp_path):
    (tmp_path / "manifest.json").write_text('{"files": []}', encoding="utf-8")
    assert split_of(tmp_path / "scene_pan.tif") is None


def test_what_is_wrong_is_told(folder, tmp_path):
    with pytest.raises(OptionError, match=r"not so: nobody, v\. .*docs/data\.md"):
        open_splits(folder, ["a", "v", "nobody"])
    with pytest.raises(OptionError, match="names no pair 'x'"):
        open_splits(folder).path("x")
    with pytest.raises(OptionError, match="not a readable list"):
        open_splits(folder, folder / "none.txt")
    with pytest.raises(SceneError, match=r"no manifest\.json .*docs/data\.md"):
        open_splits(tmp_path / "nowhere")
    with pytest.raises(SceneError, match=r"no \.npz pairs"):
        training_pairs(folder)
    (folder / "pansharpening" / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SceneError, match="not a list of objects with a name"):
        open_splits(folder)
    (folder / "pansharpening" / "manifest.json").write_text("[", encoding="utf-8")
    with pytest.raises(SceneError, match="not a readable manifest"):
        open_splits(folder)


def test_the_real_splits(shared):
    splits = open_splits(shared)
    assert (len(splits.names("train")), len(splits.names("val"))) == (38, 13)
    assert len(splits.names("train", only_open=True)) == 29
    assert split_of(shared / "data" / "geotiff" / "landsat7_07" / "pan.tif") == "val"
    assert split_of(shared / "data" / "geotiff" / "landsat7_15" / "pan.tif") == "train"
