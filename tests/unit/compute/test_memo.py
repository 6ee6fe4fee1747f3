"""Measurements are kept between runs; a damaged or unwritable file is no error."""

from __future__ import annotations

import pytest

from panloom.compute import _memo as memo
from panloom.compute import measurements, memo_file


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(memo.Path, "home", lambda: tmp_path)
    return tmp_path


def test_what_is_remembered_is_found_again(cache):
    assert measurements() == {}
    memo.remember("a", {"rate": 1.5})
    memo.remember("b", {"rate": 2.5})
    memo.remember("a", {"rate": 3.5})
    assert list(measurements().items()) == [("b", {"rate": 2.5}), ("a", {"rate": 3.5})]
    assert cache in memo_file().parents
    assert [p.name for p in memo_file().parent.iterdir()] == ["compute.json"], "nothing is left aside"


def test_only_so_many_are_kept():
    for k in range(memo.KEPT + 3):
        memo.remember(str(k), {"rate": 1.0})
    assert list(measurements()) == [str(k) for k in range(3, memo.KEPT + 3)]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 3}', "\x00\xff"])
def test_a_damaged_file_counts_as_none(text):
    memo_file().parent.mkdir()
    memo_file().write_text(text, encoding="latin-1")
    assert measurements() == {}
    memo.remember("a", {"rate": 1.0})
    assert measurements() == {"a": {"rate": 1.0}}


def test_a_folder_that_cannot_be_made_is_no_error(cache):
    (cache / "panloom").write_text("a file")
    (cache / "Library").write_text("a file")
    memo.remember("a", {"rate": 1.0})
    assert measurements() == {}


def test_a_key_tells_facts_apart():
    assert memo.key_of(["x", 1]) == memo.key_of(["x", 1]) != memo.key_of(["x", 2])
    assert memo.processor_name()
