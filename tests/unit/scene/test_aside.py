from __future__ import annotations

import os

import numpy as np
import pytest
import rasterio

from panloom.errors import OutputError
from panloom.run._aside import write_text
from panloom.scene import write_aside
from panloom.scene.picture import write_png


def test_an_earlier_file_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    write_text(path, "jetzt schön")
    assert path.read_text(encoding="utf-8") == "jetzt schön"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_picture(tmp_path):
    rgba = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    write_png(str(tmp_path / "a.png"), rgba)
    with rasterio.open(tmp_path / "a.png") as ds:
        np.testing.assert_array_equal(ds.read(), rgba)
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("place", ["no/a", "file/a", "folder", "n" * 300])
def test_what_cannot_be_written(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_aside(tmp_path / place, b"x")
    with pytest.raises(OutputError, match="cannot be written"):
        write_png(str(tmp_path / place), np.zeros((4, 2, 2), np.uint8))
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_aside(tmp_path / "a", b"x")
    assert os.listdir(tmp_path) == []
