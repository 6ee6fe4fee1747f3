"""The report beside the output, what is printed, and the picture."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import rasterio
from system_tools import call, done, leftovers, outside, pixels, placed, sharpened, told, write

from panloom.errors import PanloomWarning
from panloom.run import sharpen as engine
from panloom.run.resolve import DEFAULT

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
    assert json.loads(seen.stdout)["method"] == DEFAULT
    assert "warning: sensor not recognised" in seen.stderr
    seen = outside("sharpen", *small.words, tmp_path / "out.tif", "--overwrite")
    assert seen.stdout == ""
    assert "200" in seen.stderr
    assert DEFAULT in seen.stderr


def test_what_is_as_it_should_be_is_no_warning(small, tmp_path):
    words = ("sharpen", *small.words, tmp_path / "out.tif", "--overwrite", "--sharpen", "red,green,blue")
    words += ("--method", "gsa")
    seen = outside(*words, "--report", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    passed, clipped, filled = report["notes"]
    assert passed.startswith("without detail of PAN")
    assert "filled from neighbouring MS pixels" in filled
    assert report["warnings"][0].startswith("sensor not recognised")
    assert "outside the output type" in clipped  # so few that nobody need act
    assert not {passed, clipped, filled} & set(report["warnings"])
    lines = seen.stderr.splitlines()
    assert [line for line in lines if line.startswith("warning: ")] == [
        f"warning: {text}" for text in report["warnings"]
    ]
    assert [line for line in lines if line.startswith("note: ")] == [f"note: {text}" for text in report["notes"]]
    quiet = outside(*words, "--quiet").stderr
    assert "warning: sensor not recognised" in quiet
    assert "without detail" not in quiet


def test_a_precision_without_a_network_is_warned_about(small, tmp_path):
    words = ("sharpen", *small.words, "--method", "exp", "--report", tmp_path / "report.json")
    done(call(*words, tmp_path / "given.tif", "--precision", "float32"))
    warned = json.loads((tmp_path / "report.json").read_text())["warnings"]
    assert [text for text in warned if "precision float32 is for networks: exp has none" in text]
    done(call(*words, tmp_path / "out.tif"))
    assert not [text for text in json.loads((tmp_path / "report.json").read_text())["warnings"] if "networks" in text]
    assert (pixels(tmp_path / "given.tif") == pixels(tmp_path / "out.tif")).all()


@pytest.mark.parametrize(("gate", "decision", "told"), [(0, "frozen", "is not used"), (1e9, "adapted", "is used")])
def test_whether_a_fit_is_used_is_told_once(small, tmp_path, gate, decision, told):
    words = ("--method", "regression", "--set", f"gate={gate}", "--report", tmp_path / "report.json")
    said = done(call("sharpen", *small.words, tmp_path / "out.tif", *words)).stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["fit"]["decision"] == decision
    assert 0 < report["fit"]["validated"] < 2
    assert said.count("the fit to the scene ") == 1
    assert [note for note in report["notes"] if f"the fit to the scene {told}" in note]


def test_a_method_that_fits_nothing_tells_of_no_fit(small, tmp_path):
    done(call("sharpen", *small.words, tmp_path / "out.tif", "--method", "exp", "--report", tmp_path / "report.json"))
    assert json.loads((tmp_path / "report.json").read_text())["fit"] is None


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


@pytest.mark.parametrize(("bands", "said"), [("77", "'77'"), ("1,2,purple", "'purple'"), ("1,2", "one or three bands")])
def test_preview_of_bands_that_do_not_exist_is_refused_before_the_work(small, tmp_path, monkeypatch, bands, said):
    monkeypatch.setattr(engine, "_write", lambda *_: pytest.fail("tiles were computed"))
    words = ("--preview", tmp_path / "look.png", "--preview-bands", bands)
    result = call("sharpen", "-q", *small.words, tmp_path / "out.tif", *words)
    assert result.exit_code == 2
    assert said in told(result)
    assert not list(tmp_path.iterdir())


def test_preview_bands_without_a_preview(small, tmp_path):
    result = call("sharpen", "-q", *small.words, tmp_path / "out.tif", "--preview-bands", "1")
    assert result.exit_code == 2
    assert "--preview" in told(result)


@pytest.mark.parametrize(
    ("words", "shown"), [((), ["red", "green", "blue"]), (("--preview-bands", "4"), ["nir1"])], ids=["default", "grey"]
)
def test_the_bands_of_the_preview_are_told(small, tmp_path, words, shown):
    words, png = (*words, "--report", tmp_path / "report.json"), tmp_path / "look.png"
    result = done(call("sharpen", *small.words, tmp_path / "out.tif", "--preview", png, *words))
    assert f"{png}: quick look, shows {', '.join(shown)}\n" in result.stderr
    assert json.loads((tmp_path / "report.json").read_text())["preview"] == {"path": str(png), "bands": shown}


def test_what_a_method_warns_of_while_it_looks_at_the_scene_stands_in_the_report(small, tmp_path, monkeypatch):
    plain = engine.resolve("gsa")

    class Doubtful:
        traits = plain.traits

        def prepare(self, scene, rng):
            warnings.warn("PAN looks odd", PanloomWarning, stacklevel=2)
            warnings.warn("a library's news", DeprecationWarning, stacklevel=2)
            return plain.prepare(scene, rng)

        def __call__(self, pair):
            raise AssertionError("prepare gave another one")

    monkeypatch.setattr(engine, "resolve", lambda *_: Doubtful())
    with pytest.warns(DeprecationWarning, match="a library's news") as news:
        report = engine.sharpen(*small.words, tmp_path / "out.tif")
    assert "PAN looks odd" in report.warnings
    assert not [one for one in news if one.category is PanloomWarning]
