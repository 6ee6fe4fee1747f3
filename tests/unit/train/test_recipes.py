"""Every recipe of the project runs; schedules, objectives and the reading of recipe files."""

from __future__ import annotations

import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import train_tools
from tiny_scenes import tiny_scene, tiny_store
from train_tools import Toy, log, recipe, waves

from panloom import networks, weights
from panloom.compute import processor_name
from panloom.data import Mixture, WaldExamples, read_folder, truths
from panloom.data.virtual import VirtualSensors
from panloom.errors import OptionError, SceneError
from panloom.train import (
    Adam,
    Cosine,
    Held,
    Recipe,
    Run,
    Stairs,
    Supervised,
    _facts,
    load_recipe,
    origin,
    patches,
    train,
    virtual,
)
from panloom.train._learner import Learner
from panloom.train.recipe import stream

registered = train_tools.toy_in_registry

RECIPES = sorted((Path(__file__).resolve().parents[3] / "recipes").glob("*.py"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A folder with one scene of four bands."""
    return tiny_scene(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A folder of free imagery."""
    return tiny_store(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs_two_steps(path, tiny, store, tmp_path, monkeypatch):
    few = truths.procedural_truths(1, side=256)
    for place in (truths, virtual):
        monkeypatch.setattr(place, "procedural_truths", lambda count: few)
    data = store if "free imagery" in path.read_text(encoding="utf-8") else tiny
    # Looking at all development pairs takes longer than the steps.
    made = replace(load_recipe(path, data), steps=2, development=None)
    assert train(made, Run(tmp_path, device="cpu", threads=1, origin=origin(path, data)))
    assert all(math.isfinite(line["loss"]) for line in log(tmp_path))
    if made.card is not None:
        net = weights.load(tmp_path / f"{made.card.name}.safetensors")
        assert isinstance(net, networks.get(made.network))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_there_are_recipes():
    assert {path.stem for path in RECIPES} >= {
        "a_pnn", "dicnn", "drpnn", "fusionnet", "lagnet", "msdcnn", "pannet", "pnn"
    }  # fmt: skip


def test_the_card_tells_where_the_weights_come_from(tiny, tmp_path):
    path = next(path for path in RECIPES if path.stem == "fusionnet")
    made = load_recipe(path, tiny).changed(steps=1)
    train(made, Run(tmp_path, device="cpu", threads=1, origin=origin(path, tiny)))
    card = weights.verify(tmp_path / "fusionnet.own.safetensors")
    assert card.recipe == "fusionnet.py"
    assert card.options == {"bands": 4}
    assert card.seconds > 0
    assert card.hardware
    assert len(card.source.mean) == 4
    batch = made.draw(0).pair
    assert card.source.mean == pytest.approx(batch.ms.mean((0, 2, 3)).tolist(), rel=0.5)
    assert weights.load(tmp_path / "fusionnet.own.safetensors").source == card.source


def test_a_card_of_another_network_is_refused():
    with pytest.raises(OptionError, match=r"fusionnet\.own, and the network toy"):
        recipe(card=weights.Card(name="fusionnet.own", licence="CC0-1.0"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"steps": 0}, "steps must be 1 or more; given: 0"),
        ({"examples": 0}, "examples must be 1 or more"),
        ({"precision": "float16"}, "float16.*use float32 or bfloat16"),
        ({"ema": 1.0}, "ema 1.0 must lie in"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, told):
    with pytest.raises(OptionError, match=told):
        recipe(**changes) if "precision" not in changes else untyped(changes)


def untyped(changes):
    """The tests check types when they run; a user's call does not."""
    made = recipe()
    for name, value in changes.items():
        object.__setattr__(made, name, value)
    made.__post_init__()


# Schedules.


def test_the_cosine_warms_up_and_ends_where_it_says():
    rate = Cosine(warmup=10, final=0.1)
    assert [rate(step, 100) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert rate(99, 100) == pytest.approx(0.1)
    falls = [rate(step, 100) for step in range(10, 100)]
    assert falls == sorted(falls, reverse=True)
    assert Cosine()(0, 1) == 1.0


def test_stairs_fall_after_every_so_many_steps_whatever_the_end_is():
    rate = Stairs(3, 0.5)
    assert [rate(step, 7) for step in range(7)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert all(rate(step, 7) == rate(step, 700) for step in range(7))
    assert {Stairs()(step, 9) for step in range(9)} == {1.0}


def test_rates_stand_in_the_log(tmp_path):
    made = recipe(schedule=Stairs(2, 0.5))
    train(made, Run(tmp_path, device="cpu", threads=1))
    assert [line["lr"] for line in log(tmp_path)] == pytest.approx([1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3, 2.5e-3])


# Objectives and scores.


def test_the_border_does_not_count():
    batch, rng = waves(stream(0, "test")), stream(0, "test")
    net = Toy()
    inner = (net(batch.pair) - batch.truth)[..., 3:-3, 3:-3]
    assert torch.allclose(Supervised("l1", 3)(net, batch, rng), inner.abs().mean())
    assert torch.allclose(Supervised("mse", 3)(net, batch, rng), inner.square().mean())
    assert Supervised("relative", 3)(net, batch, rng) > 0


def test_scores_are_always_of_the_same_examples_and_exp_scores_one():
    net = Toy().requires_grad_(False)
    for parameter in net.last.parameters():
        parameter.zero_()
    score = Held(waves, examples=3)
    assert score(net) == score(net)
    assert score(net)["ergas/exp"] == pytest.approx(1.0)
    assert Held(waves, examples=3, seed=2)(net) != score(net)


# Recipe files.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no such recipe"),
        ("x = 1\n", r"a function `recipe\(data\)`"),
        ("def recipe(data):\n    return 3\n", "that returns a Recipe"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, text, told):
    path = tmp_path / "r.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(OptionError, match=told):
        load_recipe(path)


def test_a_recipe_file_may_define_dataclasses(tmp_path):
    path = tmp_path / "r.py"
    body = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    path.write_text(body + "@dataclass\nclass Loss:\n    size: int = 1\n\n\nmade = Loss()\n")
    with pytest.raises(OptionError, match="function"):
        load_recipe(path)


def test_settings_tell_what_is_learned_in_the_same_words_in_every_process():
    one, other = recipe().settings(), recipe(objective=lambda net, batch, rng: None).settings()
    assert one["optimizer"] == repr(Adam(1e-2, weight_decay=1e-3))
    assert one["source"] == "waves"
    assert " at 0x" not in json.dumps([one, other])
    assert one["objective"] != other["objective"]
    long = recipe(options={"bands": 2, **{f"x{i}": i for i in range(1000)}}).settings()["options"]
    assert len(long) < 100
    assert long == recipe(options={"bands": 2, **{f"x{i}": i for i in range(1000)}}).settings()["options"]


def test_settings_tell_all_that_a_source_draws_from(tiny):
    few = truths.procedural_truths(1, side=64)
    virtual_sensors = VirtualSensors(few, virtual.instrument("worldview-3"))
    real = WaldExamples(read_folder(tiny), size=32, batch=2, form="toolbox")
    words = recipe(source=Mixture([(virtual_sensors, 0.8), (real, 0.2)])).settings()["source"]
    assert words == f"Mixture([({virtual_sensors!r}, 0.8), ({real!r}, 0.2)])"
    assert "VirtualSensors(1 truths, Settings(ratios=((2, 0.25, 96)," in words
    assert "sensor=Sensor(name='worldview-3'" in words
    assert "WaldExamples(1 pairs, size=32, batch=2, form='toolbox', turn=True, even=False, noise=0.0)" in words
    assert words != recipe(source=VirtualSensors(few)).settings()["source"]


def test_the_origin_of_a_recipe_names_text_and_commit(tmp_path):
    path = tmp_path / "r.py"
    path.write_text("x = 1\n")
    assert origin(path, None)["recipe_commit"] == ""
    text = origin(path, None)["recipe_sha256"]
    path.write_text("x = 2\n")
    assert origin(path, None)["recipe_sha256"] != text
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "r.py"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    commit = origin(path, None)["recipe_commit"]
    assert len(commit) >= 40
    path.write_text("x = 3\n")
    assert origin(path, None)["recipe_commit"] == f"{commit}+"
    # A file that merely lies in a checkout is no part of it: so are packages in an environment.
    (tmp_path / "untracked.py").write_text("")
    assert origin(tmp_path / "untracked.py", None)["recipe_commit"] == ""


def test_the_commit_is_that_of_panloom_and_not_that_of_the_recipe(tmp_path, monkeypatch):
    inside = Path(_facts.__file__).resolve()
    found = {inside: ("/panloom", "abc"), RECIPES[0].resolve(): ("/panloom", "abc")}
    monkeypatch.setattr(_facts, "_checkout", lambda file: found.get(file, ("/elsewhere", "def+")))
    assert origin(RECIPES[0], None)["commit"] == "abc"
    assert "recipe_commit" not in origin(RECIPES[0], None)
    (tmp_path / "r.py").write_text("")
    elsewhere = origin(tmp_path / "r.py", None)
    assert (elsewhere["commit"], elsewhere["recipe_commit"]) == ("abc", "def+")
    card = weights.Card(name="toy.own", licence="CC0-1.0")
    told = {**_facts.facts(recipe(), Run(tmp_path), 1.0, torch.device("cpu")), "panloom": "1.2"}
    for more, words in (
        ({}, ""),
        (origin(RECIPES[0], None), "abc"),
        (elsewhere, "abc; the recipe lies elsewhere, at def+"),
        ({"commit": "", "recipe_commit": ""}, "panloom 1.2; the recipe lies elsewhere, in no repository"),
    ):
        assert _facts.completed(card, {**told, **more}).commit == words


def test_the_hardware_is_told_in_the_words_of_measurements(tmp_path):
    assert _facts.facts(recipe(), Run(tmp_path), 1.0, torch.device("cpu"))["hardware"] == processor_name()


# Data of published recipes.


def test_patches_know_bands_ratio_and_epochs(tiny):
    given = patches(tiny, batch=4)
    assert (given.bands, given.ratio) == (4, 4)
    assert given.epochs(2) == 2 * math.ceil(9714 / 4)
    assert given(stream(0, "test")).truth.shape[0] == 4


def test_patches_of_a_file_have_epochs_of_their_own(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "train.h5", "w") as file:
        for name, shape in {"gt": (10, 4, 16, 16), "ms": (10, 4, 4, 4), "pan": (10, 1, 16, 16)}.items():
            file[name] = torch.rand(shape).mul(2047).numpy()
    assert patches(tmp_path / "train.h5", batch=4).epochs(2) == 6


def test_data_that_are_missing_or_mixed_are_refused(tmp_path):
    with pytest.raises(OptionError, match="give --data"):
        patches(None, batch=4)
    with pytest.raises(SceneError):
        patches(tmp_path / "none.h5", batch=4)
    for bands in (4, 8):
        tiny_scene(tmp_path / f"s{bands}", bands)
    with pytest.raises(OptionError, match="4 bands at ratio 4, 8 bands at ratio 4"):
        patches(tmp_path, batch=4)


def test_the_recipe_of_msdcnn_decays_through_the_gradient(tiny):
    made = load_recipe(next(path for path in RECIPES if path.stem == "msdcnn"), tiny)
    assert isinstance(made, Recipe)
    assert type(made.optimizer.build(Learner(made, torch.device("cpu")).net.parameters())) is torch.optim.Adam
