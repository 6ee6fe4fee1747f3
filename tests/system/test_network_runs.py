"""Networks in the engine: the same bytes on any number of threads, precision by word and by measurement."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import torch
from system_tools import call, digest, one_line, pixels
from system_tools import run_api as run

from panloom import networks
from panloom.compute import _tune
from panloom.errors import OptionError, OutputError
from panloom.run import sharpen as engine
from panloom.scene.writer import GeoTiffWriter
from panloom.types import Window

pytestmark = pytest.mark.usefixtures("tiles_of_64", "no_registration", "a_network")


@pytest.fixture
def a_network(monkeypatch, tmp_path):
    """FusionNet as drawn, in place of whatever method is named; measurements go to a folder of the test."""
    torch.manual_seed(0)
    net = networks.build("fusionnet", {"bands": 4}).eval().requires_grad_(False)
    monkeypatch.setattr(engine, "resolve", lambda *_words: net)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    return net


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_same_bytes_for_any_threads_and_memory_and_after_an_interruption(many, tmp_path, precision):
    machines = [(1, 2048), (4, 100_000), (3, 400)]
    outs = [tmp_path / f"{threads}-{memory}.tif" for threads, memory in machines]
    for out, (threads, memory) in zip(outs, machines, strict=True):
        run(many, out, threads=threads, memory=memory, precision=precision)
    real, out = GeoTiffWriter.put, tmp_path / "out.tif"

    def put(self, index, pieces):
        if index == 5:
            raise OutputError("the power went off")
        real(self, index, pieces)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GeoTiffWriter, "put", put)
        with pytest.raises(OutputError):
            run(many, out, precision=precision)
    assert run(many, out, resume=True, precision=precision).tiles["resumed"] == 5
    assert len({digest(path) for path in [*outs, out]}) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_window_is_cut_out_of_the_whole(whole, tmp_path, precision):
    window = Window(37, 21, 90, 77)
    run(whole, tmp_path / "all.tif", precision=precision)
    run(whole, tmp_path / "part.tif", precision=precision, window=window)
    everything, part = pixels(tmp_path / "all.tif"), pixels(tmp_path / "part.tif")
    assert np.array_equal(everything[(..., *window.inside(Window(0, 0, 200, 180)))], part)


def test_precisions_differ_little_and_are_never_mixed(many, tmp_path):
    for precision in ("float32", "bfloat16"):
        run(many, tmp_path / f"{precision}.tif", precision=precision, dtype="float32")
    exact, reduced = (pixels(tmp_path / f"{p}.tif") for p in ("float32", "bfloat16"))
    error = (exact - reduced)[np.isfinite(exact)]
    assert 0 < np.sqrt((error**2).mean()) < 1e-3 * np.nanmax(exact)
    with rasterio.open(tmp_path / "bfloat16.tif") as file:
        assert file.tags()["PANLOOM_PRECISION"] == "bfloat16"
        assert "precision=bfloat16" in file.tags()["PANLOOM_SETTINGS"]


def test_the_run_says_what_it_will_do(many, tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(_tune, "has_bfloat16", lambda _device: False)
    report = run(many, tmp_path / "out.tif", say=said.append, threads=2)
    (text,) = said
    assert text.startswith("about ")
    assert " s on cpu with 2 threads, after " in text
    assert text.endswith(" s of preparation")
    assert any("the network ran in float32" in note for note in report.notes)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.tags()["PANLOOM_PRECISION"] == "float32"


def test_a_wrong_precision_is_refused_before_anything_is_opened(tmp_path):
    with pytest.raises(OptionError, match="precision is auto, float32, bfloat16; given: 'half'"):
        engine.sharpen("no.tif", "none.tif", tmp_path / "out.tif", precision="half")
    assert "precision" in one_line(call("sharpen", "a.tif", "b.tif", tmp_path / "o.tif", "--precision", "half").stderr)


def test_info_shows_the_machine(many, tmp_path):
    facts = json.loads(call("info", "--compute", "--json").stdout)
    assert facts["threads"] >= 1
    assert facts["precision"] in ("float32", "bfloat16")
    assert facts["networks"] == []
    assert call("sharpen", *many.words, tmp_path / "out.tif", "-q").exit_code == 0
    (found,) = json.loads(call("info", "--compute", "--json").stdout)["networks"]
    assert found["network"] == "FusionNet, 4 bands, ratio 4"
    assert found["rate"] > 0
    assert "FusionNet" in call("info", "--compute").stdout
    assert "--compute" in one_line(call("info").stderr)


def test_info_shows_the_scene_beside_the_machine(many):
    words = ("info", *many.words, "--compute")
    facts = json.loads(call(*words, "--json").stdout)
    assert facts["grid"]["ratio"] == 4
    assert facts["compute"]["precision"] in ("float32", "bfloat16")
    text = call(*words).stdout
    assert "misregistration" in text
    assert "networks in" in text
    assert "name PAN and MS" in one_line(call("info", many.words[0], "--compute").stderr)
