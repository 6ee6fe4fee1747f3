"""The engine: the same bytes whatever the machine, memory that runs out, interruption and resumption."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from system_tools import digest, pixels, scene_files
from system_tools import run_api as run

from panloom.errors import OptionError, OutputError, PanloomError
from panloom.run import sharpen as engine
from panloom.scene.writer import GeoTiffWriter

pytestmark = pytest.mark.usefixtures("tiles_of_64", "no_registration")


# --- the same bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "gsa"},
        {"method": "mtf-glp-hpm"},
        {"method": "brovey", "nodata": "mask"},
        {"method": "sfim", "format": "cog"},
        {"method": "gs", "overviews": True, "dtype": "float32"},
    ],
    ids=lambda s: " ".join(s.values() if "overviews" not in s else ["gs", "overviews"]),
)
def test_same_bytes_for_any_threads_and_memory(many, tmp_path, settings):
    machines = [(1, 2048), (4, 100_000), (3, 390)]
    outs = [tmp_path / f"{threads}-{memory}.tif" for threads, memory in machines]
    for out, (threads, memory) in zip(outs, machines, strict=True):
        report = run(many, out, threads=threads, memory=memory, **settings)
        assert report.tiles == {"all": 16, "resumed": 0}
        assert report.threads <= threads
    assert len({digest(out) for out in outs}) == 1


def test_tiles_of_another_size_give_the_same_pixels(many, tmp_path, monkeypatch):
    """Not the same bytes, as the file is cut otherwise; but no seam anywhere."""
    run(many, tmp_path / "64.tif", method="mtf-glp", dtype="float32")
    monkeypatch.setattr(engine, "tile_size", lambda ratio, multiple=1: 512)
    run(many, tmp_path / "512.tif", method="mtf-glp", dtype="float32")
    one, other = pixels(tmp_path / "64.tif"), pixels(tmp_path / "512.tif")
    assert np.allclose(one, other, rtol=2e-6, atol=1e-2)


def test_a_method_that_needs_the_whole_scene(tmp_path, monkeypatch):
    """One block of the engine, nine tiles of the file; also resumed in the middle of them."""
    files = scene_files(tmp_path / "in", 140, 150, sensor="worldview-3", bands=4, phase=(2.0, 2.0))
    settings = {"method": "mtf-glp", "options": {"form": "toolbox"}, "dtype": "float32"}
    report = run(files, tmp_path / "64.tif", **settings)
    assert report.tiles == {"all": 1, "resumed": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "tile_size", lambda ratio, multiple=1: 512)
        run(files, tmp_path / "512.tif", **settings)
    assert np.array_equal(pixels(tmp_path / "64.tif"), pixels(tmp_path / "512.tif"))
    real = GeoTiffWriter.put

    def put(self, index, pieces):
        if index == 5:
            raise OutputError("the power went off")
        real(self, index, pieces)

    out = tmp_path / "out.tif"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GeoTiffWriter, "put", put)
        with pytest.raises(OutputError):
            run(files, out, **settings)
    run(files, out, resume=True, **settings)
    assert digest(out) == digest(tmp_path / "64.tif")


def test_threads_are_honoured(many, tmp_path, monkeypatch):
    busy, most, inner, lock = [0], [0], set(), threading.Lock()
    real = engine.finish

    def counted(*words):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            inner.add(torch.get_num_threads())
        time.sleep(0.01)
        try:
            return real(*words)
        finally:
            with lock:
                busy[0] -= 1

    monkeypatch.setattr(engine, "finish", counted)
    for threads in (1, 3):
        most[0] = 0
        run(many, tmp_path / f"{threads}.tif", threads=threads)
        assert most[0] == threads
    assert inner == {1}
    with pytest.raises(OptionError, match="threads"):
        run(many, tmp_path / "0.tif", threads=0)


# --- memory that runs out ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hungry:
    """A method that fails with `error` on images of more than `limit` PAN pixels."""

    fuser: Any
    limit: int
    error: Exception

    @property
    def traits(self):
        return self.fuser.traits

    def prepare(self, scene, rng):
        return replace(self, fuser=self.fuser.prepare(scene, rng))

    def __call__(self, pair):
        if pair.pan.numel() > self.limit:
            raise self.error
        return self.fuser(pair)


@pytest.fixture
def hungry(monkeypatch):
    def install(limit, error):
        real = engine.resolve
        monkeypatch.setattr(engine, "resolve", lambda *words: Hungry(real(*words), limit, error))
        monkeypatch.setattr(engine, "tile_size", lambda ratio, multiple=1: 256)

    return install


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: 12 bytes"),
]


@pytest.mark.parametrize(
    ("error", "method", "nodata"),
    list(zip(OUT_OF_MEMORY, ["gsa", "mtf-glp-hpm", "mtf-glp"], [None, None, "mask"], strict=True)),
    ids=["python", "cuda", "cpu"],
)
def test_a_block_that_does_not_fit_is_halved(many, tmp_path, monkeypatch, hungry, caplog, error, method, nodata):
    monkeypatch.setattr(engine, "tile_size", lambda ratio, multiple=1: 256)
    plenty = run(many, tmp_path / "plenty.tif", method=method, nodata=nodata)
    hungry(190 * 190, error)
    short = run(many, tmp_path / "short.tif", method=method, nodata=nodata)
    assert "memory ran out on a tile of 256 x 240" in caplog.text
    reason = str(error) or "MemoryError"
    assert reason in caplog.text
    assert "halved" in caplog.text
    one, other = pixels(tmp_path / "plenty.tif").astype(int), pixels(tmp_path / "short.tif").astype(int)
    different = one != other
    assert np.abs(one - other).max() <= 1
    assert different.mean() <= 0.001
    assert method != "gsa" or not different.any()
    assert short.pixels == plenty.pixels


def test_halving_goes_on_until_it_fits(many, tmp_path, hungry, caplog):
    hungry(80 * 80, MemoryError())
    run(many, tmp_path / "short.tif", method="gsa")
    assert "tile of 256 x 240" in caplog.text
    assert "tile of 128 x 128" in caplog.text


def test_memory_for_nothing_at_all(many, tmp_path, hungry):
    hungry(100, MemoryError())
    with pytest.raises(PanloomError, match="memory ran out"):
        run(many, tmp_path / "none.tif")
    assert not (tmp_path / "none.tif").exists()


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("wrong"), KeyError("x")])
def test_other_errors_come_through(many, tmp_path, hungry, caplog, error):
    hungry(190 * 190, error)
    with pytest.raises(type(error)):
        run(many, tmp_path / "none.tif")
    assert "halved" not in caplog.text
    assert not (tmp_path / "none.tif").exists()
