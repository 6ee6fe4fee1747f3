"""Scenes behind HTTP: only the bytes that are needed travel, and the result equals that of local files."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import panloom
from panloom.data.procedural import georeference, make
from panloom.types import Window

rasterio = pytest.importorskip("rasterio")


class _Ranges(http.server.BaseHTTPRequestHandler):
    """Serves byte ranges of the files of a folder, and counts the bytes."""

    folder: Path
    sent = 0

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        file = self.folder / Path(self.path).name
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        first, last = 0, len(data) - 1
        asked = self.headers.get("Range")
        if asked:
            low, _, high = asked.removeprefix("bytes=").partition("-")
            first, last = int(low), min(int(high or last), last)
        part = data[first : last + 1]
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        if body:
            type(self).sent += len(part)
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scene = make(1600, 1600, sensor="worldview-3", bands=4, wedge=False, seed=3)
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
    handler = type("Handler", (_Ranges,), {"folder": folder, "sent": 0})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            folder.joinpath("sent").write_text(str(handler.sent))


def test_remote_equals_local(folder: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    window = Window(300, 400, 300, 200)
    options = {"weights": "0.1,0.3,0.3,0.3"}
    remote = [f"/vsicurl/{server}/{name}.tif" for name in ("pan", "ms")]
    local = [str(folder / f"{name}.tif") for name in ("pan", "ms")]
    for files, out in ((remote, "remote.tif"), (local, "local.tif")):
        panloom.sharpen(
            *files, folder / out, method="brovey", options=options, sensor="worldview-3", bands=[1, 2, 3, 4], window=window
        )
    with rasterio.open(folder / "remote.tif") as a, rasterio.open(folder / "local.tif") as b:
        np.testing.assert_array_equal(a.read(), b.read())


def test_a_missing_remote_file_is_one_clear_line(server: str, tmp_path: Path) -> None:
    with pytest.raises(panloom.errors.SceneError, match="not a raster that GDAL can read"):
        panloom.sharpen(f"/vsicurl/{server}/none.tif", f"/vsicurl/{server}/ms.tif", tmp_path / "out.tif")
