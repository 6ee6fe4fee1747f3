"""The report beside the output, what is printed, and the picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from system_tools import call, done, leftovers, outside, pixels, placed, sharpened, told, write

pytestmark = pytest.mark.usefixtures("no_registration")


def test_report(small, tmp_path):
    out, path = tmp_path / "out.tif", tmp_path / "report.json"
    result = done(call("sharpen", *small.words, out, "--report", path, "--json", "--method", "mtf-glp", "--threads", 1))
    report = json.loads(path.read_text())
    assert json.loads(result.stdout) == report
    assert report["inputs"] == list(small.words)
    assert report["output"] == str(out)
    assert (report["method"], report["options"], report["seed"], report["threads"]) == ("mtf-glp", {}, 0, 1)
    assert report["sensor"] == {"name": "generic", "source": "not recognised"}
    assert [b["name"] for b in report["bands"]["bands"]] == ["blue", "green", "red", "nir"]
    grid = report["grid"]
    assert (grid["height"], grid["width"], grid["ratio"]) == (200, 180, 4)
    assert grid["phase"] == pytest.approx(small.scene.phase)
    with rasterio.open(out) as ds:
        assert tuple(ds.transform)[:6] == pytest.approx(tuple(grid["transform"]))
        valid = int((ds.dataset_mask() > 0).sum())
    assert report["pixels"]["written"] == 200 * 180
    assert report["pixels"]["valid"] == valid == int(small.scene.pan_valid.sum())
    assert report["pixels"]["missing"] == 0
    assert report["tiles"] == {"all": 1, "resumed": 0}
    assert report["seconds"]["total"] == pytest.approx(
        sum(v for k, v in report["seconds"].items() if k != "total"), abs=0.05
    )
    assert report["peak_mb"] > 50
    assert any("sensor not recognised" in warning for warning in report["warnings"])
    assert any("Aiazzi" in text for text in report["cite"])
    assert set(report["versions"]) >= {"panloom", "torch", "numpy", "rasterio", "python"}
    assert report["device"] in ("cpu", "cuda", "cuda:0")


def test_json_is_all_that_stands_on_standard_output(small, tmp_path):
    seen = outside("sharpen", *small.words, tmp_path / "out.tif", "--json")
    assert seen.returncode == 0
    assert json.loads(seen.stdout)["method"] == "gsa"
    assert "warning: sensor not recognised" in seen.stderr
    seen = outside("sharpen", *small.words, tmp_path / "out.tif", "--overwrite")
    assert seen.stdout == ""
    assert "200" in seen.stderr
    assert "gsa" in seen.stderr


@pytest.mark.parametrize(
    ("words", "shown"),
    [((), (2, 1, 0)), (("--preview-bands", "nir1,2,blue"), (3, 1, 0)), (("--preview-bands", "4"), (3,))],
)
def test_preview(small, tmp_path, words, shown):
    out, png = tmp_path / "out.tif", tmp_path / "look.png"
    sharpened(small, out, "--preview", png, *words)
    image, picture = pixels(out).astype(float), pixels(png)
    assert picture.shape == (4, 200, 180)
    valid = small.scene.pan_valid
    assert np.array_equal(picture[3] > 0, valid)
    for k, band in enumerate(shown * (3 // len(shown))):
        order = np.corrcoef(image[band][valid], picture[k][valid])[0, 1]
        assert order > 0.85
        assert picture[k][valid].min() == 0
        assert picture[k][valid].max() == 255
    assert not leftovers(tmp_path)
    assert not (tmp_path / "look.png.aux.xml").exists()


def test_preview_of_a_large_image_is_small(tmp_path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "large.tif", rng.integers(1, 255, (3, 100, 2600), dtype="uint8"), placed(1.0))
    from panloom.run.preview import preview

    preview(path, tmp_path / "look.png")
    assert pixels(tmp_path / "look.png").shape == (4, 46, 1200)


def test_preview_of_a_band_that_does_not_exist_keeps_the_result(small, tmp_path):
    out = tmp_path / "out.tif"
    result = call("sharpen", "-q", *small.words, out, "--preview", tmp_path / "look.png", "--preview-bands", "77")
    assert result.exit_code == 2
    assert "'77'" in told(result)
    assert pixels(out).shape == (4, 200, 180)
