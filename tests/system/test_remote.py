"""Scenes behind HTTP: the result equals that of local files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import panloom
from panloom.data.procedural import georeference, make
from panloom.types import Window

rasterio = pytest.importorskip("rasterio")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scene = make(900, 900, sensor="worldview-3", bands=4, wedge=False, seed=3)
    place = georeference(scene)
    rng = np.random.default_rng(0)
    for name, image, transform in (("pan", scene.pan[None], place.pan), ("ms", scene.ms, place.ms)):
        noisy = (image + rng.integers(0, 3, image.shape)).astype("uint16")
        with rasterio.open(
            tmp_path / f"{name}.tif",
            "w",
            driver="GTiff",
            height=noisy.shape[1],
            width=noisy.shape[2],
            count=noisy.shape[0],
            dtype="uint16",
            crs=place.crs,
            transform=rasterio.Affine(*transform),
            tiled=True,
            blockxsize=256,
            blockysize=256,
        ) as ds:
            ds.write(noisy)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The folder behind HTTP; in another process, because GDAL opens files without letting Python threads run."""
    script = Path(__file__).parents[1] / "range_server.py"
    with subprocess.Popen([sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


def test_remote_equals_local(folder: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    window = Window(300, 400, 300, 200)
    options = {"weights": "0.1,0.3,0.3,0.3"}
    remote = [f"/vsicurl/{server}/{name}.tif" for name in ("pan", "ms")]
    local = [str(folder / f"{name}.tif") for name in ("pan", "ms")]
    for files, out in ((remote, "remote.tif"), (local, "local.tif")):
        panloom.sharpen(
            *files,
            folder / out,
            method="brovey",
            options=options,
            sensor="worldview-3",
            bands=[1, 2, 3, 4],
            window=window,
        )
    with rasterio.open(folder / "remote.tif") as a, rasterio.open(folder / "local.tif") as b:
        np.testing.assert_array_equal(a.read(), b.read())


def test_a_missing_remote_file_is_one_clear_line(server: str, tmp_path: Path) -> None:
    with pytest.raises(panloom.errors.SceneError, match="not a raster that GDAL can read"):
        panloom.sharpen(f"/vsicurl/{server}/none.tif", f"/vsicurl/{server}/ms.tif", tmp_path / "out.tif")
