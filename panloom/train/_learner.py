"""What learns: float32 weights, their moving average, and a working copy that computes in the fast precision."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Generator, Tensor
from torch.torch_version import TorchVersion

from panloom import networks
from panloom.data.example import Example
from panloom.errors import TrainingError
from panloom.networks import Network
from panloom.state import SAFE_TORCH
from panloom.train.recipe import Recipe, stream


class Learner:
    """The state of a run: everything that a step changes.

    Attributes:
        net: the weights, float32.
        average: their moving average, which is what is kept; `net` itself where the recipe has none.
        step: updates made.
        seconds: spent on them.
    """

    def __init__(self, recipe: Recipe, device: torch.device, start: Path | None = None) -> None:
        with torch.random.fork_rng(devices=[]):  # constructors draw from torch's own generator
            torch.manual_seed(stream(recipe.seed, "weights").initial_seed())
            self.net: Network = networks.build(recipe.network, recipe.options).to(device).train()
        if start is not None:
            _load_weights(self.net, start)
        self.average = self.net if recipe.ema is None else copy.deepcopy(self.net).eval().requires_grad_(False)
        # A second network in the fast precision, and no autocast: what a layer computes in is what its weights are.
        fast = {"float32": torch.float32, "bfloat16": torch.bfloat16}[recipe.precision]
        self._working = copy.deepcopy(self.net).to(fast).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._recipe, self._optimizer = recipe, recipe.optimizer.build(self.net.parameters())
        self.step, self.seconds = 0, 0.0

    def gradient(self, batch: Example, rng: Generator) -> tuple[float, Float[Tensor, " n"]]:
        """The loss of a batch and its gradient with respect to all weights in one float32 vector."""
        parameters = list(self._working.parameters())
        loss = self._recipe.objective(self._working, batch, rng)
        slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
        # A weight that the objective does not use has no slope.
        whole = [torch.zeros_like(p) if slope is None else slope for p, slope in zip(parameters, slopes, strict=True)]
        return float(loss.detach()), torch.cat([slope.float().reshape(-1) for slope in whole])

    def update(self, gradient: Float[Tensor, " n"], norm: float) -> float:
        """One step against a gradient of known length.

        Returns:
            The learning rate.
        """
        recipe = self._recipe
        if recipe.clip is not None and norm > recipe.clip:
            gradient = gradient * (recipe.clip / norm)
        rate = recipe.optimizer.lr * recipe.schedule(self.step, recipe.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        parameters = list(self.net.parameters())
        for parameter, part in zip(parameters, gradient.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)
        self._optimizer.step()
        self.step += 1
        self._follow()
        return rate

    @torch.no_grad()
    def _follow(self) -> None:
        """Average and working copy follow the weights."""
        if self._recipe.ema is not None:
            # The first weights are random: the average forgets them faster than its decay says.
            share = 1 - min(self._recipe.ema, (1 + self.step) / (10 + self.step))
            for mean, parameter in zip(self.average.parameters(), self.net.parameters(), strict=True):
                mean.lerp_(parameter, share)
        for copied, parameter in zip(self._working.parameters(), self.net.parameters(), strict=True):
            copied.copy_(parameter)

    def finite(self) -> bool:
        """Whether all weights are numbers."""
        return all(bool(p.isfinite().all()) for net in (self.net, self.average) for p in net.parameters())

    def kept(self) -> Network:
        """A copy of the network that is kept, in evaluation mode."""
        return copy.deepcopy(self.average).eval().requires_grad_(False)

    def state(self) -> dict[str, Any]:
        """All of it, as tensors, numbers and words."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` said."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            for copied, parameter in zip(self._working.parameters(), self.net.parameters(), strict=True):
                copied.copy_(parameter)


def length(vector: Float[Tensor, " n"]) -> float:
    """Euclidean length; not a number where an entry is none."""
    found = float(torch.linalg.vector_norm(vector))
    return found if math.isfinite(found) else math.nan


def refuse_old_torch(path: Path) -> None:
    """Leave a checkpoint alone where a made-up one could run code in spite of `weights_only`.

    Raises:
        TrainingError: this torch is such a one.
    """
    need = ".".join(map(str, SAFE_TORCH))
    if TorchVersion(torch.__version__) < need:
        raise TrainingError(
            f"{path}: torch {torch.__version__} cannot read a checkpoint without danger; update torch to {need} or "
            "later and call again"
        )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a run wrote of its state, with `version`, `settings` and `origin`; see `refuse_old_torch`.

    Raises:
        TrainingError: it cannot be read, holds more than numbers and words, or is something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        raise TrainingError(" ".join(str(error).split())) from error
    if not isinstance(state, dict) or "version" not in state:
        raise TrainingError("it is no checkpoint of a training run")
    return state


def _load_weights(net: Network, path: Path) -> None:
    """Begin with the weights of a safetensors file, or with those that a checkpoint would keep.

    Raises:
        TrainingError: no such file, or weights of another network.
    """
    checkpoint = path.suffix != ".safetensors"
    if checkpoint:
        refuse_old_torch(path)
    try:
        net.load_state_dict(read_checkpoint(path)["average"] if checkpoint else load_file(path))
    except (OSError, RuntimeError, SafetensorError, TrainingError) as error:
        said = " ".join(str(error).split())
        raise TrainingError(
            f"{path}: these are no weights for this network ({said}); --init takes a safetensors file, such as "
            "model.safetensors of another run, or a run's last.pt"
        ) from error
