"""`panloom analyze` from end to end."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from system_tools import call, done, fails, leftovers

from panloom.analysis import models
from panloom.run import analysis

pytestmark = pytest.mark.usefixtures("no_registration", "small_figures")


@pytest.fixture
def small_figures(monkeypatch):
    """Coarse figures and few places: what is drawn is looked at in the unit tests."""
    monkeypatch.setattr(analysis.plots, "DPI", 40)
    monkeypatch.setattr(analysis.method, "RESPONSE_SIDE", 96)
    monkeypatch.setattr(analysis.model, "SIDE", 40)
    monkeypatch.setattr(analysis.model, "PATCHES", 4)


def record(folder) -> dict:
    """JSON without NaN and Infinity, which it has not."""
    return json.loads((folder / "analysis.json").read_text(), parse_constant=pytest.fail)


def test_a_classical_method_on_a_scene_in_files(whole, tmp_path):
    out = tmp_path / "some" / "folder"
    result = done(call("analyze", "mtf-glp-cbd", *whole.words, "--out", out, "--sensor", "worldview-3"))
    told = record(out)
    assert told["window"] == {"row": 0, "col": 0, "height": 200, "width": 180}
    assert told["about"]["sensor"] == "worldview-3"
    assert [f"- {sentence}" for sentence in told["conclusions"]] == result.stdout.splitlines()
    assert {path.name for path in out.iterdir()} >= {"index.html", "analysis.json", "pan-impulse.png", "mixing.png"}
    assert "index.html: open it in a browser" in result.stderr
    assert 'href="http' not in (out / "index.html").read_text()
    assert not leftovers(out)


@pytest.mark.slow  # derivatives of a network in four bands and PAN
def test_the_default_network_on_a_scene_with_missing_data(small, tmp_path):
    result = done(call("analyze", "universal.open", *small.words, "--out", tmp_path / "n", "--json", "--seed", "3"))
    told = json.loads(result.stdout, parse_constant=pytest.fail)
    assert told == record(tmp_path / "n")
    assert told["seed"] == 3
    assert told["kind"] == "method"
    assert len(told["method"]["leakage"]) == 4


def test_a_model_from_a_file(tmp_path):
    torch.manual_seed(0)
    save_file(models.get("imdn")(scale=2, features=8, blocks=1).state_dict(), tmp_path / "tiny.safetensors")
    done(call("analyze", tmp_path / "tiny.safetensors", "--out", tmp_path / "m", "--quiet"))
    told = record(tmp_path / "m")
    assert told["kind"] == "model"
    assert told["model"]["scale"] == 2
    assert "tiny.safetensors" in told["about"]["licence"]
    assert "drawn pictures" in told["about"]["looked at"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("gsaa",), 2, "unknown method 'gsaa'"),
        (("fusionnet",), 2, "Random weights are not analysed"),
        (("exp", "pan.tif"), 2, "PAN is named and MS is not"),
        (("exp", "--bands", "red"), 2, "--bands is about a scene in files"),
        (("exp", "--scale", "2"), 2, "--scale is for model files"),
        (("none.pth",), 1, "no such file"),
        (("none.pth", "--set", "a=1"), 2, "is of no use to it"),
    ],
)
def test_bad_words_are_told_once_and_nothing_is_written(words, code, text, tmp_path):
    out = tmp_path / "new"
    fails(call("analyze", *words, "--out", out), code, text)
    assert not out.exists()


def test_a_scene_that_does_not_fit_is_told(small, tmp_path):
    out = tmp_path / "new"
    fails(call("analyze", "dicnn.wv3-open", *small.words, "--out", out), 2, "works on 8 bands")
    fails(call("analyze", "exp", *small.words, "--window", "0,0,40,40", "--out", out), 1, "10 x 10 MS pixels")
    assert not out.exists()


def test_help_shows_examples():
    shown = done(call("analyze", "--help")).stdout
    assert "panloom analyze mtf-glp-cbd --out look" in shown
    assert "panloom analyze carn_m.pth --scale 2 --out look" in shown
    assert analysis.scenes.SIDE == 512  # as the help says
    assert "512 x 512" in shown
