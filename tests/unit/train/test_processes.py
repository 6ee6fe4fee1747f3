"""Two processes train as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import train_tools
from safetensors.torch import load_file
from train_tools import log, recipe

from panloom.errors import OptionError
from panloom.train import Development, Processes, Run, _loop, launched, train

registered = train_tools.toy_in_registry

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def torchrun(out: Path) -> subprocess.CompletedProcess[str]:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(HERE / "two_processes.py")]
    return subprocess.run(
        [sys.executable, *command, str(out)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_give_the_losses_of_one_with_the_double_batch(tmp_path):
    made = recipe(examples=2, development=Development(lambda net: {"one": 1.0}, 3))
    train(made, Run(tmp_path / "one", device="cpu", threads=1))
    done = torchrun(tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = log(tmp_path / "one"), log(tmp_path / "two")
    assert [line["step"] for line in two] == [line["step"] for line in one]
    for mine, other in zip(one, two, strict=True):
        assert other.get("development") == mine.get("development")
        for key in mine.keys() - {"development"}:
            assert other[key] == pytest.approx(mine[key], rel=1e-5)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], rtol=1e-4, atol=1e-6)


def test_examples_that_cannot_be_shared_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_loop, "processes", lambda device: nullcontext(Processes(0, 2)))
    with pytest.raises(OptionError, match="3 examples a step cannot be shared by 2 processes; give --examples 2"):
        train(recipe(examples=3), Run(tmp_path, device="cpu"))


def test_a_process_knows_its_number_before_they_are_bound_together(monkeypatch):
    assert launched() == Processes()
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert launched() == Processes(3, 4, 1)
    assert not launched().first


def test_each_process_of_a_machine_has_a_gpu_of_its_own():
    assert Processes(3, 4, 1).device(torch.device("cuda")) == torch.device("cuda", 1)
    assert Processes(3, 4, 1).device(torch.device("cuda:2")) == torch.device("cuda:2")
    assert Processes().device(torch.device("cuda")) == torch.device("cuda")
    assert Processes(3, 4, 1).device(torch.device("cpu")) == torch.device("cpu")
