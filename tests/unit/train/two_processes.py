"""Run by torchrun in a test: `two_processes.py OUT` trains the toy network in that folder."""

from __future__ import annotations

import sys
from pathlib import Path

from train_tools import Toy, recipe

from panloom.networks import _registry
from panloom.train import Development, Run, train

if __name__ == "__main__":
    _registry._NETWORKS["toy"] = Toy
    made = recipe(examples=2, development=Development(lambda net: {"one": 1.0}, 3))
    train(made, Run(Path(sys.argv[1]), device="cpu", threads=1))
