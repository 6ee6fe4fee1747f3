"""`--explain`: the page shows what the user gets, beside the controls, and says what the numbers say."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from test_page import Page

from panloom.adapt import Report
from panloom.cli import main
from panloom.compute import Policy
from panloom.data import procedural
from panloom.errors import MethodError, OutputError
from panloom.run import _explained
from panloom.run._conclusions import compared, conclusions, used_role, verdict
from panloom.run._explained import _quick_look
from panloom.run._part import Ground, part
from panloom.run._power import frequencies, radial_power, squares
from panloom.run.demo import demo
from panloom.run.evaluate import Score
from panloom.run.explain import NUMBERS, PAGE, check_explain, explain
from panloom.run.fuse import fuse
from panloom.run.fuse import whole as fused
from panloom.run.page import explanation_page
from panloom.run.resolve import resolve
from panloom.scene import array_scene
from panloom.types import Window

METHOD, NETWORK, BRIDGED = "dicnn.qb-open+refit", "dicnn.qb-open", "dicnn.qb-open, renormalised"
NAMES = {"exp": "exp", "network": "n", "bridged": "b", "fitted": "n+refit", "regression": "r", "random": "f"}
REPORT = Report(
    decision="adapted",
    reason="",
    validated=0.7,
    gate=0.9,
    places=(),
    renormalised=True,
    unfitted=(),
    seconds=0.1,
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(height=128, width=144, bands=4, *, wedge=False, sensor="worldview-3"):
    return procedural.make(height, width, sensor=sensor, bands=bands, seed=3, wedge=wedge)


def scene_of(made, **changes):
    pan, ms = (torch.from_numpy(np.asarray(x, "float32"))[None] for x in (made.pan[None], made.ms))
    known = {} if made.nodata is None else {"pan_valid": pan != made.nodata, "ms_valid": ms != made.nodata}
    given = known | changes
    return array_scene(pan, ms, sensor=made.sensor, phase=made.phase, full_scale=2047.0, **given)


@pytest.fixture(scope="module")
def made():
    return drawn()


@pytest.fixture(scope="module")
def larger():
    """As large as it must be to be degraded and fitted again."""
    return drawn(240, 256)


@pytest.fixture(scope="module")
def explained(larger, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("explain") / "report"
    return explain(scene_of(larger), METHOD, None, folder, name="a <b> scene", seed=5), folder


# --- laws -------------------------------------------------------------------------------------------------


def test_what_is_drawn_is_what_the_user_gets(larger, explained):
    made, (done, _) = larger, explained
    settings = {"sensor": made.sensor, "phase": made.phase, "full_scale": 2047.0, "precision": "float32"}
    got = fuse(made.pan.astype("float32"), made.ms.astype("float32"), method=METHOD, seed=5, **settings)
    assert done.used == "fitted"
    np.testing.assert_allclose(done.pictures.fused[METHOD].numpy(), got, rtol=1e-4, atol=1e-2)


def test_the_page_is_whole_and_loads_nothing(explained):
    done, folder = explained
    page = Page((folder / PAGE).read_text(encoding="utf-8"))
    assert "a <b> scene" in page.text
    assert done.verdict in page.text
    assert all(text in page.text for text in done.conclusions)
    assert {image["src"].partition(":")[0] for image in page.of("img")} == {"data"}
    shown = {image.get("data-what") for image in page.of("img")}
    assert {"PAN", "interpolated MS", NETWORK, BRIDGED, METHOD, "regression", "random+refit"} <= shown
    assert sorted(path.name for path in folder.iterdir()) == [PAGE, NUMBERS]


def test_the_numbers_are_those_of_the_page(explained):
    done, folder = explained
    told = json.loads((folder / NUMBERS).read_text())
    assert told["report"] == "panloom explain"
    assert told["verdict"] == done.verdict
    assert told["fit"]["validated"] == done.fit["validated"]
    scores = told["evaluation"]["scores"]
    assert {score["protocol"] for score in scores} == {"wald-physical", "wald-toolbox", "full"}
    assert {score["method"] for score in scores} == set(done.names.values())
    assert all(score["error"] is None for score in scores)
    assert done.conclusions[0].startswith("The fit ")
    assert "pictures" not in told["evaluation"]
    assert len(told["values"]["scene"][0]) == len(told["values"]["source"][0]) == 5
    assert set(told["power"]["images"]) == {"exp", NETWORK, METHOD}


def test_same_seed_same_scores(larger, explained, tmp_path):
    done, _ = explained
    again = explain(scene_of(larger), METHOD, resolve(METHOD), tmp_path / "again", seed=5)
    values = [[score.values for score in one.evaluation.scores] for one in (done, again)]
    assert values[0] == values[1]
    assert again.conclusions == done.conclusions


def test_a_ready_fuser_is_drawn_on_a_part_as_it_is(made, monkeypatch, tmp_path):
    monkeypatch.setattr(_explained, "SIDE", 64)
    scene = scene_of(made)
    ready = resolve(METHOD, {"tiles": 1}).prepare(scene, torch.Generator().manual_seed(0))
    done = explain(scene, METHOD, ready, tmp_path)
    assert done.fit["seconds"] == ready.report.seconds
    assert done.options["tiles"] == "1"
    assert (done.window, done.low_window) == (Window(32, 40, 64, 64), Window(0, 0, 128, 144))
    whole = fused(scene, ready, Policy.in_memory("cpu", 1))
    # Away from the border of the part, beyond which nothing is seen.
    part, inner = done.pictures.fused[METHOD], slice(28, 36)
    np.testing.assert_allclose(part[:, inner, inner], whole[:, 60:68, 68:76], rtol=1e-3)


def test_a_refused_fit_is_shown_and_not_used(made, tmp_path):
    done = explain(scene_of(made), METHOD, {"gate": 0.0, "renormalise": "always"}, tmp_path)
    assert done.used == "bridged"
    assert done.verdict.startswith("The output is the network as it is")
    fused = done.pictures.fused
    assert not torch.equal(fused[METHOD], fused[BRIDGED])
    assert "as it would be without the gate" in (tmp_path / PAGE).read_text(encoding="utf-8")


@pytest.mark.parametrize("method", ["dicnn.qb-open+tailor", "dicnn.qb-open+swift", "dicnn.qb-open+project"])
def test_every_kind_of_adapter(method, tmp_path):
    options = {"+tailor": {"steps": 2}, "+swift": {"epochs": 1}, "+project": {}}[method[method.index("+") :]]
    done = explain(scene_of(drawn(144, 144)), method, options, tmp_path)
    page = Page((tmp_path / PAGE).read_text(encoding="utf-8"))
    charts = [chart["aria-label"] for chart in page.of("svg") if "over steps" in chart.get("aria-label", "")]
    assert len(charts) == (0 if method.endswith("project") else 1)
    assert (done.fit is None) == method.endswith("project")
    assert not any(score.error for score in done.evaluation.scores if score.protocol == "full")


@pytest.mark.parametrize("bands", [("nir1",), ("coastal", "red-edge", "nir1"), 8])
def test_any_number_of_bands_with_missing_data(bands, tmp_path):
    scene = scene_of(drawn(80, 96, bands=bands, wedge=True))
    done = explain(scene, "universal.open-small+refit", {"tiles": 1}, tmp_path)
    page = Page((tmp_path / PAGE).read_text(encoding="utf-8"))
    assert len(done.pictures.fused) == len(done.names)
    assert done.verdict in page.text


# --- scenes that cannot be fitted -------------------------------------------------------------------------


def test_a_scene_that_cannot_be_fitted_is_explained(made, tmp_path):
    flat = SimpleNamespace(**{key: getattr(made, key) for key in ("sensor", "phase", "nodata", "ms")})
    flat.pan = np.full_like(made.pan, 700)
    done = explain(scene_of(flat), METHOD, None, tmp_path)
    assert done.used == "network"
    assert "PAN is constant" in done.verdict
    assert any("PAN is constant" in text for text in done.warnings)
    assert done.conclusions[0].startswith("The error of the fit is not known")
    assert "There is no curve" in (tmp_path / PAGE).read_text(encoding="utf-8")


def test_a_tiny_scene_is_explained(tmp_path):
    done = explain(scene_of(drawn(24, 24)), METHOD, None, tmp_path)
    assert done.used == "bridged"
    assert done.fit["validated"] is None
    assert done.fit["reason"] in (tmp_path / PAGE).read_text(encoding="utf-8")


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exp", "regression", "random+refit", "dicnn.qb-open"])
def test_only_adapters_are_explained(method, tmp_path):
    with pytest.raises(MethodError, match="has no adapter"):
        check_explain(method, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", [PAGE, NUMBERS])
def test_pages_of_something_else_stay(name, made, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=name):
        explain(scene_of(made), METHOD, None, tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        check_explain(METHOD, tmp_path / "file")


def test_an_earlier_report_may_be_replaced_and_other_files_stay(tmp_path):
    (tmp_path / NUMBERS).write_text('{"report": "panloom explain"}')
    (tmp_path / PAGE).write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    check_explain(METHOD, tmp_path)


@pytest.fixture
def files(tmp_path):
    made = demo(tmp_path / "demo", size=64, method="exp")
    return [str(made.folder / name) for name in ("pan.tif", "ms.tif")]


def test_the_command_line(files, tmp_path):
    call = ["sharpen", *files, str(tmp_path / "out.tif"), "--explain", str(tmp_path / "why"), "--threads", "1"]
    refused = CliRunner().invoke(main, [*call, "--method", "gsa"])
    assert refused.exit_code == 2
    assert "has no adapter" in refused.output
    assert not (tmp_path / "out.tif").exists()
    words = ["--method", METHOD, "--set", "tiles=1", "-q", "--report", str(tmp_path / "report.json")]
    done = CliRunner().invoke(main, [*call, *words])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "why" / NUMBERS).read_text())
    assert (told["options"]["tiles"], told["options"]["ridge"]) == ("1", "none")
    # No other fit takes the very same time: what is explained is what was used.
    assert told["fit"]["seconds"] == json.loads((tmp_path / "report.json").read_text())["fit"]["seconds"]
    page = Page((tmp_path / "why" / PAGE).read_text(encoding="utf-8"))
    assert "map coordinates" in page.text
    assert "y of the centre" in page.text


def test_an_adaptation_that_is_kept_is_explained(files, tmp_path):
    call = ["adapt", METHOD, *files, "--out", str(tmp_path / "out"), "--explain", str(tmp_path / "why"), "--json"]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "why" / NUMBERS).read_text())
    assert told["fit"]["seconds"] == json.loads(done.stdout)["fit"]["seconds"]
    assert (tmp_path / "why" / PAGE).exists()


def test_several_scenes_adapted_to_together_are_not_explained(files, tmp_path):
    folder = str(tmp_path / "demo")
    done = CliRunner().invoke(main, ["adapt", METHOD, folder, "--out", str(tmp_path / "out"), "--explain", "why"])
    assert done.exit_code == 2
    assert "--explain tells of one scene" in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


# --- where things lie -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "side", "expected"), [(600, 512, 510), (301, 512, 300)])
def test_a_part_is_of_whole_ms_pixels(size, side, expected):
    pan, ms = torch.zeros(1, 1, size, size), torch.zeros(1, 4, -(-size // 3), -(-size // 3))
    scene = array_scene(pan, ms, sensor=drawn(24, 24).sensor, phase=(1.0, 1.0), full_scale=1.0)
    found = part(scene, side)
    assert (found.height, found.width) == (expected, expected)
    assert (found.row % 3, found.col % 3) == (0, 0)


def test_what_is_drawn_is_as_large_as_it_says(larger, monkeypatch, tmp_path):
    monkeypatch.setattr(_explained, "SIDE", 66)
    done = explain(scene_of(larger), METHOD, {"tiles": 1}, tmp_path)
    assert done.pictures.pan.shape[-2:] == (64, 64) == (done.window.height, done.window.width)
    page = Page((tmp_path / PAGE).read_text(encoding="utf-8"))
    row, col = done.window.row, done.window.col
    assert f"64 x 64 PAN pixels from row {row}, column {col}" in page.text
    # Places are told in pixels of PAN, not of the picture.
    noted = re.findall(r"(\d+) x \d+ PAN pixels from row (\d+), column (\d+); 2 times", page.text)
    assert noted
    assert all(row <= int(r) <= row + 64 - int(n) and col <= int(c) <= col + 64 - int(n) for n, r, c in noted)


def test_pixels_and_map():
    window = Window(10, 20, 4, 8)
    assert Ground((-3, 5)).pixel(window) == (7, 25)
    assert Ground().centre(window) is None
    assert Ground((0, 0), None, (0.5, 0, 1000.0, 0, -0.5, 2000.0)).centre(window) == (1012.0, 1994.0)


def test_a_column_is_told_once(explained):
    page = Page((explained[1] / PAGE).read_text(encoding="utf-8"))
    assert page.text.count("L=2047") == 2  # in each form of reduced resolution


def test_whether_pan_was_moved_is_told(explained):
    done, _ = explained
    pages = [replace(done, fit={**done.fit, "offset": offset}) for offset in ((0.31, -0.2), (0.0, 0.0))]
    words = [Page(explanation_page(page)).text for page in pages]
    assert "PAN was moved to where MS lies, +0.31 rows, -0.20 columns (PAN pixels) away" in words[0]
    assert "PAN was not moved" in words[1]


def test_conclusions_are_a_list(explained):
    done, folder = explained
    (items,) = re.findall(r'<ol class="said">(.*?)</ol>', (folder / PAGE).read_text(encoding="utf-8"), re.DOTALL)
    assert items.count("<li>") == len(done.conclusions) > 1


def test_options_are_in_the_words_of_the_command_line(explained):
    options = explained[0].options
    assert options["ridge"] == "none"
    assert resolve(METHOD, options).ridge is None


# --- the parts --------------------------------------------------------------------------------------------


def test_the_part_of_a_large_scene_holds_data(made):
    whole = scene_of(made)
    assert part(whole, 512) == Window(0, 0, 128, 144)
    assert part(whole, 64) == Window(32, 40, 64, 64)
    valid = torch.ones((1, 1, 128, 144), dtype=torch.bool)
    valid[..., 36:92, 36:108] = False
    window = part(scene_of(made, pan_valid=valid), 32)
    assert bool(valid[0, 0, window.row : window.row_end, window.col : window.col_end].all())


def test_the_quick_look_is_the_mean_of_ms(made, monkeypatch):
    monkeypatch.setattr(_explained, "MAP", 18)
    look = _quick_look(scene_of(made))
    assert look.image.shape == (3, 16, 18)
    assert look.complete
    red = made.ms[[band.name for band in made.sensor.bands].index("red")].reshape(16, 2, 18, 2).mean((1, 3))
    np.testing.assert_allclose(look.image[0], red, rtol=1e-5)


def test_power_is_that_of_the_rings():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3, (256, 256))
    where = squares(np.ones(noise.shape, bool))
    assert where[0].height == 64
    np.testing.assert_allclose(radial_power(noise, where)[2:], 10 * np.log10(9), atol=1.5)
    wave = np.broadcast_to(np.cos(2 * np.pi * 16 / 64 * np.arange(256)), (256, 256))
    assert frequencies(64)[int(radial_power(wave, where).argmax())] == 0.25


def test_power_needs_squares_without_missing_data():
    valid = np.ones((40, 40), bool)
    assert [w.height for w in squares(valid)] == [32]
    valid[20, 20] = False
    assert {w.height for w in squares(valid)} == {16}
    assert squares(np.zeros((40, 40), bool)) == []


# --- words ------------------------------------------------------------------------------------------------


def rows(hqnr=None, **ergas):
    found = [Score(NAMES[role], "wald-physical", {"ergas": value}, {}, 0.1) for role, value in ergas.items()]
    found += [Score(NAMES[role], "full", {"hqnr-physical": value}, {}, 0.1) for role, value in (hqnr or {}).items()]
    return found


def said(report=REPORT, **scores):
    return " ".join(conclusions(NAMES, rows(**scores), report))


def test_differences_below_two_percent_do_not_count():
    assert [compared(value, 2.0) for value in (1.9, 1.97, 2.03, 2.1)] == ["less", "same", "same", "more"]


def test_wins_and_losses_are_said_alike():
    won = said(exp=4.0, network=3.0, bridged=2.5, fitted=2.0, regression=2.4, random=2.2)
    assert "lowers the error of the network by 33 %" in won
    assert "50 % is renormalisation alone" in won
    assert "less error than the regression" in won
    assert "what the network learned counts (" in won
    lost = said(exp=1.9, network=1.8, bridged=2.5, fitted=2.0, regression=1.5, random=1.6)
    assert "raises the error of the network" in lost
    assert "see --set renormalise=never" in lost
    assert "the network does not help on this scene" in lost
    assert "what the network learned does not help" in lost
    assert "worse than not sharpening" in lost


def test_the_number_of_what_a_sentence_speaks_of_comes_first():
    assert "has less error than the regression without any network (ERGAS 2.000 against 2.400)" in said(
        network=3.0, fitted=2.0, regression=2.4
    )
    assert "(ERGAS 1.500 against 2.000)" in said(network=3.0, fitted=2.0, regression=1.5)


def test_renormalisation_that_was_not_used_is_not_advised_against():
    plain = replace(REPORT, renormalised=False, bridged=1.2)
    words = said(plain, network=2.0, bridged=2.5, fitted=1.5)
    assert "what was adapted is the network without it" in words
    assert "--set" not in words
    assert "renormalisation alone" not in said(plain, network=2.0, bridged=1.9, fitted=1.5)


def test_an_index_without_reference_is_not_believed_against_the_error():
    words = said(network=2.0, fitted=3.0, hqnr={"network": 0.90, "fitted": 0.95})
    assert "rises while the error rises" in words
    assert "HQNR" not in said(network=3.0, fitted=2.0, hqnr={"network": 0.90, "fitted": 0.95})


def test_a_gate_that_errs_is_named():
    assert "let a fit pass" in said(network=2.0, bridged=2.0, fitted=3.0)
    refused = replace(REPORT, decision="frozen", reason="too much is left")
    assert "refused a fit that lowers the error" in said(refused, network=3.0, bridged=3.0, fitted=2.0)
    assert "gate" not in said(network=3.0, bridged=3.0, fitted=2.0)


def test_without_errors_nothing_is_concluded():
    assert said(network=2.0).startswith("The error of the fit is not known")


def test_the_verdict_names_what_is_used():
    said = verdict(REPORT, "n+refit")
    # The share as the gate is set, once in the sentence and in no other unit.
    assert "leaves 0.700 of the error that the network, in the values of its training data, has" in said
    assert "the gate lets 0.9 or less pass" in said
    assert "%" not in said
    for one in (REPORT, replace(REPORT, renormalised=False)):
        assert "is is" not in verdict(one, "n+refit")
    frozen = replace(REPORT, decision="frozen", reason="because", validated=None)
    assert verdict(frozen, "n+refit").endswith("in the values of its training data: because.")
    assert verdict(None, "n+project").startswith("The output is that of n+project")
    plain = replace(frozen, renormalised=False)
    assert [used_role(one) for one in (REPORT, frozen, plain, None)] == ["fitted", "bridged", "network", "fitted"]
