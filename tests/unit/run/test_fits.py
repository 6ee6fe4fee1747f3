"""What the card of a method's weights did not foresee in a scene, and what a fit to it did, is told."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from eval_tools import noisy, pair

from panloom import networks, sensors, weights
from panloom.errors import MethodError, PanloomWarning
from panloom.run import _fits
from panloom.run._fits import beyond_training, check_fits, fit_in_words, fit_of
from panloom.run.evaluate import Evaluation, Score, evaluate
from panloom.run.fuse import fuse
from panloom.run.resolve import resolve
from panloom.scene import array_scene
from panloom.types import corner_phase
from panloom.weights import _store


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "SHIPPED", tmp_path / "nothing")
    monkeypatch.setenv("PANLOOM_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    return tmp_path / "own"


def keep(name: str, options: dict[str, int] | None = None, **facts: object) -> str:
    """A small network as drawn, kept with these facts in its card."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = networks.build(name, options or {"bands": 4})
    weights.save(net, weights.Card(f"{name}.x", "MIT", options=options or {"bands": 4}, **facts))
    return f"{name}.x"


def a_scene(ratio: int = 4, sensor: str = "quickbird", size: int = 16):
    chosen = sensors.get(sensor)
    chosen = replace(chosen, bands=sensors.bands_for(chosen, 4))
    draw = torch.Generator().manual_seed(0)
    pan, ms = (torch.rand(1, n, s, s, generator=draw) for n, s in ((1, ratio * size), (4, size)))
    return array_scene(pan, ms, sensor=chosen, phase=(corner_phase(ratio),) * 2, full_scale=1.0)


def said(method: str, scene) -> tuple[list[str], list[str]]:
    return beyond_training(resolve(method), method, scene)


def test_a_wrong_ratio_names_what_works(monkeypatch):
    name, scene = keep("fusionnet", ratios=(4,)), a_scene(3)
    with pytest.raises(MethodError, match=r"works at ratio 4, and this scene has ratio 3; mtf-glp-cbd works at any$"):
        check_fits(resolve(name), name, scene)
    keep("universal", {"width": 8, "depth": 0, "maps": 8}, ratios=(2, 3, 4))
    monkeypatch.setattr(_fits, "DEFAULT", "universal.x")
    with pytest.raises(MethodError, match=r"the network universal\.x works at ratio 2 to 4, mtf-glp-cbd works at any$"):
        check_fits(resolve(name), name, scene)
    with pytest.raises(MethodError, match=r"this scene has ratio 9; mtf-glp-cbd works at any$"):
        check_fits(resolve("universal.x"), "universal.x", a_scene(9))


# --- what a card did not foresee ------------------------------------------------------------------------------


def test_a_scene_as_in_training_needs_no_word():
    name = keep("fusionnet", bands=("blue", "green", "red", "nir"), ratios=(4,))
    assert said(name, a_scene()) == said(f"{name}+refit", a_scene()) == said("gsa", a_scene(3)) == ([], [])
    assert said(name, a_scene(sensor="generic")) == ([], [])


def test_a_band_by_another_name_is_the_same_band():
    name = keep("fusionnet", bands=("blue", "green", "red", "nir"))
    scene = a_scene(sensor="worldview-3")
    assert scene.sensor.bands[3].name == "nir1"
    assert said(name, scene) == ([], [])


def test_a_number_of_bands_names_none():
    assert said(keep("fusionnet"), a_scene()) == ([], [])


def test_other_bands_are_told():
    name = keep("fusionnet", bands=("red", "green", "blue", "nir"))
    notes, doubts = said(name, a_scene())
    assert notes == []
    assert doubts == [
        "fusionnet.x was trained on the bands red, green, blue, nir, and is given blue, green, red, nir in their "
        "place; --bands names and orders them"
    ]


def test_another_ratio_is_told():
    name = keep("universal", {"width": 4, "depth": 1, "maps": 8}, ratios=(2, 4))
    assert said(name, a_scene(4)) == ([], [])
    assert said(name, a_scene(3)) == ([], ["universal.x was trained at ratio 2, 4, and this scene has ratio 3"])


def test_what_an_adapter_fits_to_the_scene_is_a_note():
    name = keep("fusionnet", bands=("red", "green", "blue", "nir"), ratios=(4,))
    notes, doubts = said(f"{name}+refit", a_scene(2))
    assert doubts == []
    assert ["ratio" in note for note in notes] == [True, False]


def test_arrays_are_warned_about():
    name = keep("fusionnet", bands=("red", "green", "blue", "nir"))
    pan, ms = torch.rand(32, 32), torch.rand(4, 8, 8)
    with pytest.warns(PanloomWarning, match="was trained on the bands red, green, blue, nir"):
        fuse(pan, ms, method=name, threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fuse(pan, ms, method="gsa", threads=1)


def test_a_precision_without_a_network_is_warned_about():
    with pytest.warns(PanloomWarning, match="precision bfloat16 is for networks: gsa has none"):
        fuse(torch.rand(32, 32), torch.rand(4, 8, 8), method="gsa", precision="bfloat16", threads=1)


# --- what a fit did -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    return pair(160, 160)


def test_a_fit_that_is_used_and_one_that_is_not(made):
    scene = array_scene(made.pan / 2047, made.ms / 2047, sensor=made.sensor, phase=made.phase, full_scale=2047.0)
    name = keep("fusionnet")

    def told(method: str, **options: float) -> str:
        ready = resolve(method, options).prepare(scene, torch.Generator().manual_seed(0))
        assert fit_of(ready).decision in ("adapted", "frozen")
        (text,) = fit_in_words(ready)
        return text

    used = told(f"{name}+refit", gate=1e9)
    assert used.startswith("the fit to the scene is used: on held-back pixels 0.")
    kept = told(f"{name}+refit", gate=0)
    assert kept.startswith("the fit to the scene is not used, but the network as it is: on held-back pixels")
    assert "interpolated MS" in told("random+refit", gate=0)
    assert fit_in_words(resolve("gsa")) == []
    assert fit_in_words(resolve(name)) == []
    assert fit_of(resolve("gsa")) is None


@pytest.mark.filterwarnings("ignore::panloom.errors.PanloomWarning")  # degraded it is too small to be fitted
def test_evaluate_tells_which_is_used(made):
    done = evaluate(made, ["exp", "regression"], protocol="both", options={"gate": 0.0})
    notes = {score.protocol: score.notes for score in done.scores if score.method == "regression"}
    assert all(len(texts) == 1 and "not used, but interpolated MS" in texts[0] for texts in notes.values())
    told = [text for text in done.remarks if text.startswith("regression (")]
    assert sum(text.count("wald-") + text.count("full") for text in told) == 3
    assert not [text for text in done.remarks if text.startswith("exp")]


def test_remarks_on_several_protocols_are_joined():
    def score(protocol: str, *notes: str) -> Score:
        return Score("net", protocol, {}, {}, 0.0, notes=notes)

    scores = (score("wald-toolbox", "a"), score("wald-physical", "a", "b"), score("full"))
    empty = evaluate(noisy(), ["exp"], protocol="wald-physical")
    done = Evaluation(**{**vars(empty), "scores": scores, "notes": ("first",)})
    assert done.remarks == ("first", "net (wald-toolbox, wald-physical): a", "net (wald-physical): b")
