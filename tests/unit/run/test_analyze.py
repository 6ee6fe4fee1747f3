"""`panloom analyze`: the page shows every figure and loads nothing, the JSON is finite, what cannot be done is said."""

from __future__ import annotations

import builtins
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_page import Page

from panloom.analysis import models
from panloom.compute import Policy
from panloom.data import procedural
from panloom.errors import MethodError, OptionError, OutputError, SceneError, WeightsError
from panloom.run import analysis
from panloom.run.analysis.captions import CAPTIONS
from panloom.run.analysis.scenes import Site, drawn_pictures, drawn_site, evenly, read_pictures
from panloom.run.analyze import NUMBERS, PAGE, Request, analyze, check_analyze
from panloom.run.resolve import resolve
from panloom.scene import array_scene
from panloom.scene.picture import write_png
from panloom.types import Traits, Window

METHOD, ONE = "mtf-glp", Policy.in_memory("cpu", 1)
METHOD_FIGURES = {
    "pan-impulse", "pan-frequency", "ms-impulse", "ms-frequency", "mixing", "transfer", "parts", "quality", "phases",
}  # fmt: skip
MODEL_FIGURES = {
    "impulse", "frequency", "channels", "parts", "parts-published", "quality", "sweep", "places",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _small():
    """Small scenes and pictures, one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis.scenes, "SIDE", 128)
        patch.setattr(analysis.method, "RESPONSE_SIDE", 128)
        patch.setattr(analysis.model, "SIDE", 40)
        patch.setattr(analysis.model, "PATCHES", 6)
        patch.setattr(analysis.plots, "DPI", 40)
        yield
    torch.set_num_threads(before)


def model_file(folder: Path, name: str = "tiny.safetensors", **changed: object) -> Path:
    """A super-resolution network of random numbers."""
    torch.manual_seed(0)
    net = models.get("imdn")(**({"scale": 2, "features": 8, "blocks": 1} | changed))
    save_file(net.state_dict(), folder / name)
    return folder / name


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyze") / "method"
    told: list[tuple[int, int]] = []
    done = analyze(METHOD, out=folder, policy=ONE, progress=lambda n, total: told.append((n, total)))
    return done, folder, told


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyze")
    return analyze(model_file(folder), out=folder / "model", policy=ONE), folder / "model"


def record(folder: Path) -> dict:
    """The JSON, which has no NaN and no infinity."""
    return json.loads((folder / NUMBERS).read_text(), parse_constant=pytest.fail)


# --- what is written --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "figures"), [("method", METHOD_FIGURES), ("model", MODEL_FIGURES)])
def test_every_figure_is_there_as_a_file_and_in_the_page(kind, figures, request):
    done, folder, *_ = request.getfixturevalue(kind)
    assert {figure.name for figure in done.figures} == figures
    assert {path.name for path in folder.iterdir()} == {f"{name}.png" for name in figures} | {PAGE, NUMBERS}
    page = Page((folder / PAGE).read_text(encoding="utf-8"))
    assert {image["data-what"] for image in page.of("img")} == figures
    assert all(figure.png[1:4] == b"PNG" and figure.shows in page.text and figure.ideal in page.text
               for figure in done.figures)  # fmt: skip


@pytest.mark.parametrize("kind", ["method", "model"])
def test_the_page_loads_nothing_and_says_what_was_found(kind, request):
    done, folder, *_ = request.getfixturevalue(kind)
    text = (folder / PAGE).read_text(encoding="utf-8")
    page = Page(text)
    assert {image["src"].partition(":")[0] for image in page.of("img")} == {"data"}
    assert not page.of("link")
    assert not any("src" in script for script in page.of("script"))
    assert all(link["href"].startswith("#") for link in page.of("a"))
    assert "http" not in text.replace("http-equiv", "")
    assert all(sentence in page.text for sentence in done.conclusions)


@pytest.mark.parametrize("kind", ["method", "model"])
def test_the_numbers_are_finite_json_and_those_of_the_record(kind, request):
    done, folder, *_ = request.getfixturevalue(kind)
    told = record(folder)
    assert told["report"] == "panloom analyze"
    assert told["conclusions"] == list(done.conclusions)
    assert [figure["file"] for figure in told["figures"]] == [figure.file for figure in done.figures]
    assert "png" not in told["figures"][0]
    assert told["parts"][0]["bands"][0]["r2"] == done.parts[0].bands[0].r2


def test_progress_counts_to_its_end(method):
    *_, told = method
    assert [n for n, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, total in told} == {len(told)}


def test_the_same_call_gives_the_same_numbers_and_pictures(method, tmp_path):
    done, *_ = method
    again = analyze(METHOD, out=tmp_path / "again", policy=ONE)
    assert again.method == done.method
    assert again.conclusions == done.conclusions
    assert [figure.png for figure in again.figures] == [figure.png for figure in done.figures]


# --- what is found ----------------------------------------------------------------------------------------


def test_a_linear_method_is_found_to_be_linear(method):
    done, *_ = method
    assert min(band.r2 for band in done.parts[0].bands) > 0.9999
    assert "there is no nonlinear part" in " ".join(done.conclusions)
    assert done.parts[0].response.startswith("16 filters of PAN")


def test_interpolation_needs_one_filter_only():
    found = analysis.method.method_findings(resolve("exp"), drawn_site("exp", resolve("exp"), None), 0, lambda: None)
    assert found.parts.response == "one filter of PAN for all places"
    assert min(band.r2 for band in found.parts.bands) > 0.9999
    assert found.numbers.sums == pytest.approx((1.0,) * 4, abs=1e-4)


def test_mtf_glp_leaks_nothing_mixes_nothing_and_injects_high_frequencies(method):
    found = method[0].method
    np.testing.assert_allclose(found.leakage, 0, atol=0.02)
    np.testing.assert_allclose(found.mixing, np.eye(4), atol=1e-3)
    np.testing.assert_allclose(found.sums, 1, atol=0.02)
    for band, gain in zip(found.bands, found.injection, strict=True):
        row = found.pan_profile.values[band]
        assert abs(row[0]) < 0.03
        assert row[len(row) // 2] == pytest.approx(gain, rel=0.05)


def test_the_part_of_a_drawn_scene_is_compared_with_its_truth(method):
    done, *_ = method
    assert "drawn" in done.quality.truth
    assert set(done.quality.rows) == {METHOD, "exp"}
    ours, plain = done.quality.rows[METHOD], done.quality.rows["exp"]
    assert sum(row.psnr for row in ours) > sum(row.psnr for row in plain)
    assert "a drawn scene of worldview-3" in done.about["looked at"]


def test_a_bicubic_model_would_be_level_and_random_weights_are_not(model):
    found = model[0].model
    assert found.scale == 2
    assert found.channels == (3, 3)
    assert len(found.sweep) == 9
    places, values = found.profile.places, found.profile.values["ideal low-pass"]
    assert [value for place, value in zip(places, values, strict=True) if place > 0.5] == [0.0] * sum(
        place > 0.5 for place in places
    )


def test_captions_stand_for_every_figure():
    assert set(CAPTIONS) == METHOD_FIGURES | MODEL_FIGURES


# --- what is looked at ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sensor", "bands", "ratio"),
    [("exp", "worldview-3", 4, 4), ("dicnn.qb-open", "quickbird", 4, 4), ("dicnn.wv2-open", "worldview-2", 8, 4)],
)
def test_a_drawn_scene_suits_the_weights(name, sensor, bands, ratio):
    site = drawn_site(name, resolve(name), None)
    assert (site.scene.sensor.name, len(site.scene.sensor.bands), site.scene.grid.ratio) == (sensor, bands, ratio)
    assert site.truth.shape[-2:] == (128, 128)


def test_the_sensor_of_a_drawn_scene_can_be_chosen():
    site = drawn_site("exp", resolve("exp"), "spot-6")
    assert site.scene.sensor.name == "spot-6"
    with pytest.raises(MethodError, match="spot-6 has"):
        drawn_site("dicnn.wv3-open", resolve("dicnn.wv3-open"), "spot-6")


def test_the_part_of_a_ground_is_its_middle():
    site = drawn_site("exp", resolve("exp"), None)
    pair = site.pair(multiple=4, side=60)
    assert pair.ms.shape[-2:] == (12, 12)
    assert pair.origin == (40, 40)


def test_a_picture_without_a_place_is_read_without_a_warning(tmp_path, recwarn):
    write_png(str(tmp_path / "a.png"), np.full((4, 20, 20), 255, np.uint8))
    read_pictures([tmp_path / "a.png"], 3, (20, 20))
    assert not recwarn.list


def test_pictures_are_read_from_their_middle(tmp_path):
    picture = np.zeros((4, 50, 60), np.uint8)
    picture[0, 15:35, 20:40] = 255
    picture[3] = 255
    write_png(str(tmp_path / "a.png"), picture)
    read = read_pictures([tmp_path / "a.png"], 3, (20, 20)).images[0]
    assert read.shape == (3, 20, 20)
    assert float(read[0].min()) == 1.0
    assert float(read[1].max()) == 0.0
    grey = read_pictures([tmp_path / "a.png"], 1, (20, 20)).images[0]
    assert float(grey.mean()) == pytest.approx(0.299)
    with pytest.raises(OptionError, match=r"50 x 60 pixels; this model needs 64 x 64"):
        read_pictures([tmp_path / "a.png"], 3, (64, 64))
    with pytest.raises(OptionError, match=r"3 bands, and the model takes 5"):
        read_pictures([tmp_path / "a.png"], 5, (20, 20))
    with pytest.raises(SceneError):
        read_pictures([tmp_path / "none.png"], 3, (20, 20))


def test_drawn_pictures_have_three_channels_or_one():
    found = drawn_pictures(3, (32, 48), 2)
    assert [image.shape for image in found.images] == [(3, 32, 48)] * 2
    assert not torch.equal(*found.images)
    assert 0 <= float(found.images[0].min()) < float(found.images[0].max()) <= 1
    with pytest.raises(OptionError, match=r"takes 8 channels.*--images"):
        drawn_pictures(8, (32, 32), 1)


def test_evenly_keeps_the_ends():
    assert evenly(3, 8) == [0, 1, 2]
    assert evenly(100, 8)[0] == 0
    assert evenly(100, 8)[-1] == 99
    assert len(set(evenly(100, 8))) == 8


# --- refusals ---------------------------------------------------------------------------------------------


def refused(tmp_path, error, match, subject=METHOD, **words):
    with pytest.raises(error, match=match):
        analyze(subject, out=tmp_path / "new", policy=ONE, **words)
    assert not (tmp_path / "new").exists()


def test_unknown_methods_and_networks_without_weights_are_told(tmp_path):
    refused(tmp_path, MethodError, r"unknown method 'mtf-glpp'; did you mean 'mtf-glp'", "mtf-glpp")
    refused(tmp_path, MethodError, r"fusionnet is a network without weights.*[Rr]andom weights", "fusionnet")
    refused(tmp_path, MethodError, r"unknown option", METHOD, options={"gian": "1"})


def test_a_scene_is_pan_and_ms(tmp_path):
    refused(tmp_path, OptionError, "PAN is named and MS is not", pan="pan.tif")
    refused(tmp_path, OptionError, "MS is named and PAN is not", ms="ms.tif")


def test_words_of_the_other_kind_are_refused(tmp_path):
    path = model_file(tmp_path)
    refused(tmp_path, OptionError, r"fuses PAN and MS: --scale", scale=2)
    refused(tmp_path, OptionError, r"fuses PAN and MS: --images, --architecture", images=["a.png"], architecture="imdn")
    refused(tmp_path, OptionError, r"enlarges pictures: a scene", path, pan="pan.tif", ms="ms.tif")
    refused(tmp_path, OptionError, r"enlarges pictures: options of a method", path, options={"a": "1"})


def test_a_model_that_cannot_be_read_is_told(tmp_path):
    refused(tmp_path, WeightsError, "no such file", tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"no model")
    refused(tmp_path, WeightsError, "bad.pth", tmp_path / "bad.pth")
    refused(tmp_path, OptionError, r"for x2; asked for: x3", model_file(tmp_path), scale=3)


def test_a_method_that_draws_noise_needs_a_seed(tmp_path, monkeypatch):
    from panloom.run import analyze as module

    class Noisy:
        traits = Traits(stochastic=True)

        def prepare(self, scene, rng):
            return self

        def __call__(self, pair):
            return pair.exp

    monkeypatch.setattr(module, "resolve", lambda name, options=None: Noisy())
    with pytest.raises(MethodError, match=r"draws noise: give a --seed"):
        check_analyze(Request(METHOD), tmp_path / "new")
    check_analyze(Request(METHOD, seed=0), tmp_path / "new")


def test_a_model_that_draws_noise_needs_a_seed(tmp_path):
    from panloom.analysis.foreign import open_model
    from panloom.run.analysis.model import model_findings

    opened = open_model(model_file(tmp_path))
    noisy = replace(opened, net=lambda x: opened.net(x) + torch.rand(()))
    with pytest.raises(OptionError, match="two outputs for one input"):
        model_findings(noisy, drawn_pictures(3, (80, 80), 2), None, lambda: None)


def test_a_model_of_one_size_is_given_that_size(tmp_path):
    from panloom.analysis.foreign import open_model
    from panloom.run.analysis.model import PUBLISHED, model_findings, pictures_for

    opened = open_model(model_file(tmp_path))

    def only(x):
        assert x.shape[-2:] == (36, 40)
        return opened.net(x)

    fixed = replace(opened, net=only, fixed=(36, 40))
    found = model_findings(fixed, pictures_for(fixed, ()), None, lambda: None)
    assert found.numbers.patches == 4
    assert found.numbers.published is None
    assert PUBLISHED not in found.splits
    assert any("no picture of 11 x 11" in note for note in found.notes)


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    refused(tmp_path, OptionError, r'pip install "panloom\[analyze\]"')


@pytest.mark.parametrize("name", [PAGE, NUMBERS])
def test_pages_of_something_else_stay(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=name):
        analyze(METHOD, out=tmp_path, policy=ONE)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        check_analyze(Request(METHOD), tmp_path / "file")


def test_an_earlier_analysis_is_replaced_with_its_figures_and_other_files_stay(model, tmp_path):
    from panloom.run.analyze import _write

    done, _ = model
    (tmp_path / NUMBERS).write_text(
        '{"report": "panloom analyze", "figures": [{"file": "old.png"}, {"file": "../x.png"}]}'
    )
    for name in ("old.png", "mine.png", "notes.txt", PAGE):
        (tmp_path / name).write_text("before")
    check_analyze(Request(METHOD), tmp_path)
    _write(tmp_path, done)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{name}.png" for name in MODEL_FIGURES} | {PAGE, NUMBERS, "mine.png", "notes.txt"}


def scene(height: int, width: int, valid: bool = True) -> Site:
    """A drawn scene as if it came from files: no truth."""
    made = procedural.make(height, width, sensor="worldview-3", bands=4, wedge=False, seed=3)
    pan, ms = (torch.from_numpy(np.asarray(x, "float32"))[None] for x in (made.pan[None], made.ms))
    known = torch.full(pan.shape, valid)
    opened = array_scene(pan, ms, sensor=made.sensor, phase=made.phase, full_scale=2047.0, pan_valid=known)
    return Site("s", opened, Window(0, 0, height, width), None, "s")


def test_a_scene_that_is_too_small_or_empty_is_told():
    with pytest.raises(SceneError, match=r"10 x 12 MS pixels.*needs 16 x 16"):
        analysis.scenes._part(scene(40, 48).scene, "s")
    with pytest.raises(SceneError, match="no pixel of the chosen part is valid"):
        analysis.scenes._part(scene(96, 96, valid=False).scene, "s")


def test_a_scene_is_compared_with_its_own_ms_where_it_is_large_enough():
    exp = resolve("exp")
    quality, notes = analysis.method.method_quality("exp", exp, exp, scene(256, 256), 0, ONE)
    assert notes == []
    assert quality.size == (40, 40)
    assert "its own MS" in quality.truth
    nothing, said = analysis.method.method_quality("exp", exp, exp, scene(96, 96), 0, ONE)
    assert nothing is None
    assert "32 x 32" in said[0]
