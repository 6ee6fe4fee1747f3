"""The demo from end to end, on a small scene."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from panloom.cli import main
from panloom.errors import MethodError, OptionError, OutputError
from panloom.run import demo as module
from panloom.run.demo import BESIDE, GAP, demo, liveliest
from panloom.run.resolve import DEFAULT
from panloom.run.sharpen import sharpen

SIZE = 128
NAMES = {
    "pan.tif",
    "ms.tif",
    "truth.tif",
    "sharpened.tif",
    "report.json",
    "scores.json",
    "preview.png",
    "overview.png",
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return demo(tmp_path_factory.mktemp("demo") / "a" / "b", size=SIZE)


def read(path, *bands):
    with rasterio.open(path) as ds:
        return ds.read(list(bands) or None), ds.profile, ds.descriptions


def test_all_files_are_there_and_nothing_else(done):
    assert {path.name for path in done.folder.iterdir()} == NAMES
    assert set(done.files) == set(done.folder.iterdir())


def test_the_scene_is_an_awkward_one(done):
    pan, ms = (read(done.folder / name)[1] for name in ("pan.tif", "ms.tif"))
    assert (pan["height"], pan["width"]) == (125, 149)
    assert (ms["height"], ms["width"]) == (32, 38)
    assert pan["nodata"] == ms["nodata"] == 0
    # MS starts a quarter of a PAN pixel further down and to the right
    assert ms["transform"].c - pan["transform"].c == pytest.approx(0.125)
    assert pan["transform"].f - ms["transform"].f == pytest.approx(0.125)
    assert 0.05 < (read(done.folder / "pan.tif")[0] == 0).mean() < 0.5


def test_the_result_lies_on_pan_and_on_the_truth(done):
    sharp, profile, names = read(done.folder / "sharpened.tif")
    truth, exact, _ = read(done.folder / "truth.tif")
    assert (profile["transform"], profile["crs"]) == (exact["transform"], exact["crs"])
    assert names == ("blue", "green", "red", "nir")
    valid = (sharp != 0).all(0)
    assert valid.mean() > 0.5
    likeness = {
        (row, col): np.corrcoef(sharp[0][valid], np.roll(truth[0], (row, col), (0, 1))[valid])[0, 1]
        for row in (-1, 0, 1)
        for col in (-1, 0, 1)
    }
    assert max(likeness, key=likeness.get) == (0, 0)
    assert likeness[0, 0] > 0.85


def test_the_sensor_is_recognised_from_the_files(done):
    report = json.loads((done.folder / "report.json").read_text())
    assert report["sensor"]["name"] == "quickbird"
    assert "tags" in report["sensor"]["source"]
    assert report["pixels"]["missing"] == 0


def test_nothing_is_warned_of_that_a_new_user_could_not_act_on(tmp_path):
    # In a scene of 128 pixels the overshoot of a few edges is a larger share of all.
    assert demo(tmp_path, size=256).report.warnings == ()


def test_scores_are_those_of_the_result_and_of_the_methods_beside_it(done):
    assert list(done.scores) == [DEFAULT, *BESIDE]
    assert json.loads((done.folder / "scores.json").read_text()) == done.scores
    assert done.scores[DEFAULT]["ERGAS"] < 0.75 * done.scores["exp"]["ERGAS"]
    for scores in done.scores.values():
        assert scores.keys() == {"ERGAS", "SAM", "bias"}
        assert 0 <= scores["bias"] < 1
        assert 0 < scores["SAM"] < 10


def test_a_score_beside_is_that_of_the_file_that_sharpen_writes(done, tmp_path):
    out = tmp_path / "exp.tif"
    sharpen(done.folder / "pan.tif", done.folder / "ms.tif", out, method="exp")
    image, truth = (read(path)[0].astype(float) for path in (out, done.folder / "truth.tif"))
    valid = (image != 0).all(0)
    error = ((image - truth)[:, valid] ** 2).mean(1) ** 0.5 / truth[:, valid].mean(1)
    assert 25 * (error**2).mean() ** 0.5 == pytest.approx(done.scores["exp"]["ERGAS"], rel=2e-3)


def test_the_picture_has_three_panels_in_one_stretch(done):
    picture, _, _ = read(done.folder / "preview.png")
    assert picture.shape[0] == 4
    assert (picture[3] == 255).all()
    side = (picture.shape[2] - 2 * GAP) // 3
    assert picture.shape[1:] == (side, 3 * side + 2 * GAP)
    ms, sharp, truth = (picture[:3, :, k * (side + GAP) :][:, :, :side].astype(float) for k in range(3))
    assert (picture[:3, :, side : side + GAP] == 255).all()
    # MS in blocks of 4 PAN pixels, that is 8 on the screen; the result is much nearer to the truth
    inner = ms[:, 8:-8, 8:-8]
    steps = np.abs(np.diff(inner, axis=2)).sum((0, 1)) > 0
    assert np.diff(np.flatnonzero(steps)).min() == 8
    assert np.abs(sharp - truth).mean() < 0.6 * np.abs(ms - truth).mean()
    for one in (ms, sharp):
        assert one.mean() == pytest.approx(truth.mean(), rel=0.1)


def test_the_overview_is_the_whole_result(done):
    picture, profile, _ = read(done.folder / "overview.png")
    assert (profile["height"], profile["width"]) == (125, 149)
    valid = (read(done.folder / "sharpened.tif")[0] != 0).all(0)
    np.testing.assert_array_equal(picture[3] > 0, valid)


def test_the_same_seed_gives_the_same_files_and_another_one_does_not(done, tmp_path):
    same, other = demo(tmp_path / "same", size=SIZE), demo(tmp_path / "other", size=SIZE, seed=2)
    for name in NAMES - {"report.json"}:
        assert (same.folder / name).read_bytes() == (done.folder / name).read_bytes(), name
    assert other.scores != done.scores


def test_the_last_line_says_what_to_look_at(tmp_path):
    said = CliRunner().invoke(main, ["demo", str(tmp_path / "here"), "--size", "64", "--method", "exp"])
    assert said.exit_code == 0
    last = said.stdout.splitlines()[-1]
    assert last.startswith(f"Open {tmp_path / 'here' / 'preview.png'}: ")
    assert all(word in last for word in ("MS", "result", "truth"))


def test_an_earlier_demo_is_kept_unless_told_otherwise(tmp_path):
    (tmp_path / "scores.json").write_text("mine")
    with pytest.raises(OutputError, match=r"scores\.json exists already"):
        demo(tmp_path, size=64)
    assert {path.name for path in tmp_path.iterdir()} == {"scores.json"}
    told = []
    again = demo(
        tmp_path, size=64, method="brovey", overwrite=True, progress=lambda done, total: told.append((done, total))
    )
    assert list(again.scores) == ["brovey", "exp", "mtf-glp-hpm"]
    assert told == [(k, 7) for k in range(1, 8)]
    assert "mine" not in (tmp_path / "scores.json").read_text()


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"size": 16}, OptionError, "at least 64 pixels per side; given: 16"),
        ({"method": "gsaa"}, MethodError, "did you mean"),
        ({"seed": -1}, OptionError, "seed is a whole number from 0 to 9223372036854775807; given: -1"),
        ({"seed": 2**63}, OptionError, "given: 9223372036854775808"),
    ],
)
def test_bad_arguments_leave_nothing(tmp_path, given, error, told):
    with pytest.raises(error, match=told):
        demo(tmp_path / "demo", **given)
    assert not (tmp_path / "demo").exists()


def test_files_are_closed(tmp_path, monkeypatch):
    opened = []

    class Watched(module.Reader):
        def close(self):
            super().close()
            opened.remove(self)

        def read(self, window):
            if self not in opened:
                opened.append(self)
            return super().read(window)

    monkeypatch.setattr(module, "Reader", Watched)
    demo(tmp_path, size=64)
    assert opened == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        demo(tmp_path / "file" / "demo", size=64)


def test_the_liveliest_square_is_whole_and_has_the_detail():
    pan, valid = np.zeros((64, 80)), np.ones((64, 80), bool)
    pan[40:56:2, 60:76] = 9
    pan[0:16:2, 0:16] = 99
    valid[:20, :20] = False
    found = liveliest(pan, valid, 4, side=16)
    assert (found.row, found.col, found.height, found.width) == (40, 60, 16, 16)
    # no square is wholly valid: the one with most valid pixels
    valid[:] = False
    valid[:, :12] = True
    assert liveliest(pan, valid, 4, side=16).col == 0
