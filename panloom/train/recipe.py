"""What a training run is: a network, examples, an objective, and numbers. A recipe file is a function that says so."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.data.example import Example, Source
from panloom.errors import OptionError
from panloom.networks import Network
from panloom.train import _muon
from panloom.weights import Card

#: Letters of a setting that is told in full; a source tells all the ranges that it draws from.
_LONG = 4000

Option = int | float | str | bool


@runtime_checkable
class Objective(Protocol):
    """The one plug of the loop."""

    def __call__(self, net: Network, batch: Example, rng: Generator) -> Float[Tensor, ""]:
        """The loss of a batch; whatever the objective draws, it draws from `rng`, a CPU generator."""
        ...


@dataclass(frozen=True)
class Adam:
    """Adam.

    Attributes:
        lr: learning rate that the schedule scales.
        betas: decay of the two moments.
        weight_decay: see `decoupled`.
        decoupled: weights decay beside the gradient (AdamW), and not through it (Adam with an L2 term).
    """

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    decoupled: bool = True

    def build(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of some parameters."""
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        return kind(parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Muon:
    """Muon: layers move along orthogonal matrices, constants by AdamW; see `panloom.train._muon`.

    Attributes:
        lr: learning rate that the schedule scales; about that of Adam.
        momentum: of the gradient of a layer.
        betas: decay of the two moments of Adam.
        weight_decay: of all weights, beside the gradient.
    """

    lr: float
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.0

    def build(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of some parameters."""
        return _muon.Muon(parameters, self.lr, self.momentum, self.betas, self.weight_decay)


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent.

    Attributes:
        lr: learning rate that the schedule scales.
        momentum: of the heavy ball.
        weight_decay: an L2 term.
    """

    lr: float
    momentum: float = 0.9
    weight_decay: float = 0.0

    def build(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of some parameters."""
        return torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine down to the last step.

    Attributes:
        warmup: steps until the full rate.
        final: the rate at the end, as a part of the full one.
    """

    warmup: int = 0
    final: float = 0.0
    open_ended = False

    def __call__(self, step: int, steps: int) -> float:
        """The factor of the learning rate at a step, from 0 on, of so many."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        way = (step - self.warmup) / max(steps - 1 - self.warmup, 1)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * way))


@dataclass(frozen=True)
class Stairs:
    """A rate that is multiplied by `factor` after every so many steps; constant as it stands.

    Attributes:
        every: steps of one stair.
        factor: from stair to stair.
    """

    every: int = 1
    factor: float = 1.0
    open_ended = True

    def __call__(self, step: int, steps: int) -> float:
        """The factor of the learning rate at a step, from 0 on; how many there are does not matter."""
        return self.factor ** (step // self.every)


@dataclass(frozen=True)
class Development:
    """Scores on data that are not trained on, to watch a run and to choose settings; never those of final tables.

    Attributes:
        score: the scores of a network in evaluation mode, without gradients; it has the averaged weights.
        every: steps between two looks; the last step is always looked at.
    """

    score: Callable[[Network], Mapping[str, float]]
    every: int


@dataclass(frozen=True)
class Recipe:
    """A whole training run.

    Attributes:
        network: registry name.
        options: those of the network's constructor.
        source: gives the examples; each one a batch of its own.
        objective: the loss of an example.
        steps: updates of the weights.
        optimizer: the rule of an update.
        schedule: the factor of the learning rate.
        examples: drawn for one step, by all processes together; the loss is their mean.
        clip: longest gradient; None: any.
        ema: decay of the moving average of the weights, which is what is kept; shorter in the first steps. None:
            the last weights are kept.
        precision: of the layers and their gradients. Weights, their average, the optimizer and the loss are float32.
        seed: of the first weights, and of every example.
        development: scores to show on the way.
        card: of the weights, as far as it is known beforehand; None: no card is written.
    """

    network: str
    options: Mapping[str, Option]
    source: Source
    objective: Objective
    steps: int
    optimizer: Adam | Muon | Sgd
    schedule: Cosine | Stairs = field(default_factory=Cosine)
    examples: int = 1
    clip: float | None = None
    ema: float | None = None
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    seed: int = 0
    development: Development | None = None
    card: Card | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "examples"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be 1 or more; given: {getattr(self, name)}")
        if self.precision not in ("float32", "bfloat16"):
            raise OptionError(f"precision {self.precision!r} is unknown; use float32 or bfloat16")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise OptionError(f"ema {self.ema} must lie in [0, 1)")
        if self.card is not None and self.card.network != self.network:
            raise OptionError(f"the card is called {self.card.name}, and the network {self.network}")

    def changed(self, **settings: int | str | None) -> Recipe:
        """The recipe with other settings; those that are None stay."""
        return replace(self, **{name: value for name, value in settings.items() if value is not None})

    def draw(self, index: int) -> Example:
        """Example `index` of the run: a pure function of the seed and of that number."""
        return self.source(stream(self.seed, "example", index))

    def settings(self) -> dict[str, str]:
        """All that decides what is learned, in words; functions by their name only."""
        kept = (entry.name for entry in fields(self) if entry.name not in ("development", "card"))
        return {name: _words(getattr(self, name)) for name in kept}


def _words(value: object) -> str:
    """A value in words that stay the same from process to process; long ones, such as images, by their hash."""
    said = repr(dict(value)) if isinstance(value, Mapping) else repr(value)
    name = getattr(value, "__qualname__", type(value).__qualname__)
    if " at 0x" in said:
        return name
    return said if len(said) < _LONG else f"{name} {hashlib.blake2b(said.encode(), digest_size=8).hexdigest()}"


def stream(seed: int, use: str, index: int = 0) -> Generator:
    """The generator of one use of randomness: another number or another use, another stream."""
    key = hashlib.blake2b(f"{seed} {use} {index}".encode(), digest_size=8).digest()
    return Generator().manual_seed(int.from_bytes(key, "big") >> 1)


def load_recipe(path: str | Path, data: Path | None = None) -> Recipe:
    """What `recipe(data)` of a Python file returns. The file is run: it is code, not data.

    Args:
        path: the file.
        data: a folder of training data, for recipes that want one.

    Raises:
        OptionError: no such file, or it has no function `recipe` that returns a Recipe.
    """
    module = _module(Path(path))
    make = getattr(module, "recipe", None)
    made = make(data) if callable(make) else None
    if not isinstance(made, Recipe):
        raise OptionError(f"{path}: a recipe is a Python file with a function `recipe(data)` that returns a Recipe")
    return made


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"panloom_recipe_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise OptionError(f"{path}: there is no such recipe; give a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass in the recipe looks its module up
    spec.loader.exec_module(module)
    return module
