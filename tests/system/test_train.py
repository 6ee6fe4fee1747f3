"""`panloom train`: recipe in, weights, card and log out."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from panloom import weights
from panloom.cli import main
from panloom.train import Processes

RECIPE = """
from dataclasses import replace
import torch
from panloom import sensors
from panloom.data.example import Example
from panloom.optics import physical
from panloom.pair import Pair
from panloom.train import Adam, Development, Held, Recipe, Supervised
from panloom.weights import Card

known = sensors.get("worldview-3")
SENSOR = replace(known, bands=sensors.bands_for(known, 4))


def noise(rng):
    truth = torch.nn.functional.avg_pool2d(torch.rand(1, 4, 36, 36, generator=rng), 5, 1)
    ms = torch.nn.functional.avg_pool2d(truth, 4)
    exp = physical.interpolate(ms, 4, (1.5, 1.5))
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    return Example(Pair(truth.mean(1, keepdim=True), ms, exp, valid, (1.5, 1.5), SENSOR), truth)


def recipe(data):
    return Recipe(
        network="fusionnet",
        options={"bands": 4},
        source=noise,
        objective=Supervised("mse"),
        steps=4,
        optimizer=Adam(LR),
        ema=0.9,
        development=Development(Held(noise, 2), 2),
        card=Card(name="fusionnet.noise", licence="CC0-1.0", bands=4),
    )
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "noise.py"
    path.write_text(RECIPE.replace("LR", "1e-3"))
    return path


def panloom(*words: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, words), "--device", "cpu", "--threads", "1"])


def steps(out: Path) -> list[int]:
    lines = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "loss" in line]


def test_training_gives_weights_that_load_by_their_card(recipe, tmp_path):
    out = tmp_path / "run"
    done = panloom(recipe, "--out", out)
    assert done.exit_code == 0, done.output
    assert "4/4 loss" in done.output
    assert "ergas/exp" in done.output
    assert f"{out / 'fusionnet.noise.safetensors'}: the weights, with their card" in done.output
    assert f"panloom sharpen PAN MS OUT --method {out / 'fusionnet.noise.safetensors'}" in done.output
    assert steps(out) == [1, 2, 3, 4]
    net = weights.load(out / "fusionnet.noise.safetensors")
    plain = load_file(out / "model.safetensors")
    assert all(torch.equal(value, plain[name]) for name, value in net.state_dict().items())
    facts = json.loads((out / "facts.json").read_text())
    assert facts["recipe"] == "noise.py"
    assert facts["steps"] == 4
    assert facts["torch"] == torch.__version__


def test_weights_without_a_card_are_kept_by_the_command_that_is_told(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("PANLOOM_WEIGHTS", str(tmp_path / "own"))
    recipe.write_text(recipe.read_text().replace("card=Card(name", "card=None and Card(name"))
    out = tmp_path / "a run"
    done = panloom(recipe, "--out", out)
    assert done.exit_code == 0, done.output
    told = done.output.strip().splitlines()[-1]
    assert told.startswith(f"{out / 'model.safetensors'}: the weights, without a card; panloom weights import ")
    words = shlex.split(told.partition("; panloom ")[2].partition(" keeps them for --method fusionnet.TAG")[0])
    given = [{"TAG": "mine", "TEXT": "CC0-1.0"}.get(word, word) for word in words]
    assert CliRunner().invoke(main, given).exit_code == 0
    assert weights.card("fusionnet.mine").options == {"bands": 4}


def test_only_the_first_of_several_processes_says_something(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("panloom.train.launched", lambda: Processes(1, 2, 1))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # it would write, too
    done = panloom(recipe, "--out", tmp_path / "run", "--tensorboard")
    assert (done.exit_code, done.output) == (0, "")


def test_options_change_the_recipe_and_quiet_says_nothing(recipe, tmp_path):
    done = panloom(
        recipe, "--out", tmp_path / "run", "--steps", 2, "--examples", 2, "--seed", 5, "--precision", "float32", "-q"
    )
    assert done.exit_code == 0
    assert done.output == ""
    assert steps(tmp_path / "run") == [1, 2]
    settings = json.loads((tmp_path / "run" / "facts.json").read_text())["settings"]
    assert [settings[name] for name in ("steps", "examples", "seed", "precision")] == ["2", "2", "5", "'float32'"]


def test_a_run_is_taken_up_again_or_refused(recipe, tmp_path):
    out = tmp_path / "run"
    assert panloom(recipe, "--out", out).exit_code == 0
    done = panloom(recipe, "--out", out)
    assert done.exit_code == 1
    assert "holds a run already" in done.output
    assert panloom(recipe, "--out", out, "--resume").exit_code == 0
    assert steps(out) == [1, 2, 3, 4]
    done = panloom(recipe, "--out", out, "--resume", "--steps", 9)
    assert done.exit_code == 1
    assert "steps was 4 and is 9" in done.output
    assert "--init" in done.output
    for file in ("model.safetensors", "last.pt"):
        assert panloom(recipe, "--out", tmp_path / f"next-{file}", "--init", out / file).exit_code == 0
    done = panloom(recipe, "--out", tmp_path / "nowhere", "--resume")
    assert (done.exit_code, "holds no run that --resume could go on with" in done.output) == (1, True)
    assert not (tmp_path / "nowhere").exists()


def test_a_recipe_whose_text_changed_goes_on_with_a_warning(recipe, tmp_path, caplog):
    out = tmp_path / "run"
    panloom(recipe, "--out", out)
    recipe.write_text(recipe.read_text() + "# another comment\n")
    done = panloom(recipe, "--out", out, "--resume")
    assert done.exit_code == 0
    assert "recipe_sha256" in caplog.text


def test_a_wrong_call_says_what_to_do(recipe, tmp_path):
    done = panloom(tmp_path / "none.py", "--out", tmp_path / "run")
    assert (done.exit_code, "there is no such recipe" in done.output) == (2, True)
    if not torch.cuda.is_available():
        done = CliRunner().invoke(main, ["train", str(recipe), "--out", str(tmp_path / "run"), "--device", "cuda"])
        assert (done.exit_code, "device 'cuda' is not there" in done.output) == (2, True)
    done = panloom(recipe, "--out", tmp_path / "run", "--init", tmp_path / "none.safetensors")
    assert (done.exit_code, "no weights for this network" in done.output) == (1, True)
    assert not (tmp_path / "run").exists()


def test_numbers_that_explode_stop_the_run(recipe, tmp_path):
    recipe.write_text(RECIPE.replace("LR", "1e30"))
    done = panloom(recipe, "--out", tmp_path / "run")
    assert done.exit_code == 1
    assert "not finite" in done.output
    assert "Lower the learning rate" in done.output
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_tensorboard_is_an_extra(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    done = panloom(recipe, "--out", tmp_path / "run", "--tensorboard")
    assert done.exit_code == 2
    assert "pip install panloom[tensorboard]" in done.output


def test_tensorboard_gets_every_number(recipe, tmp_path, monkeypatch):
    told = []

    class Writer:
        def __init__(self, folder):
            told.append(folder)

        def add_scalar(self, name, value, step):
            told.append((name, step))

        def close(self):
            told.append("closed")

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    assert panloom(recipe, "--out", tmp_path / "run", "--tensorboard").exit_code == 0
    assert told[0] == str(tmp_path / "run" / "events")
    assert ("train/loss", 1) in told
    assert ("development/ergas", 4) in told
    assert told[-1] == "closed"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_signal_ends_the_run_after_the_step_and_it_goes_on(recipe, tmp_path):
    out = tmp_path / "run"
    words = ["train", str(recipe), "--out", str(out), "--steps", "100000", "--device", "cpu", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "panloom", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    for _ in range(600):
        if (out / "train.jsonl").is_file() and len(steps_so_far(out)) > 3:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "go on with --resume" in said
    step = torch.load(out / "last.pt", weights_only=True)["step"]
    assert steps(out) == list(range(1, step + 1))
    assert not (out / "model.safetensors").exists()


def steps_so_far(out: Path) -> list[str]:
    return (out / "train.jsonl").read_text().splitlines()
