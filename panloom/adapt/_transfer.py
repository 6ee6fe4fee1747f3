"""A network brought to the patches of another sensor: which are looked at, which weights change, how they change."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Generator

from panloom.adapt._manifold import Look, Sampling, Selection, describe, select, split, wanted
from panloom.adapt._masked import Curve, Loss, Masks, Schedule, Task, Watch, fit
from panloom.adapt._sensitivity import (
    Grain,
    Probe,
    Score,
    chances,
    every,
    last_layer,
    magnitudes,
    masks,
    only,
    sensitivities,
)
from panloom.compute import to_device
from panloom.data.example import Example
from panloom.errors import OptionError, unknown
from panloom.networks import Network

#: Which weights are updated: the sensitive ones, those of the last layer, random ones, the largest, or all.
Method = Literal["swift", "last-layer", "random", "magnitude", "full"]

#: What settings may say.
WORDS: Mapping[str, tuple[str, ...]] = {
    "method": get_args(Method),
    "sampling": get_args(Sampling),
    "look": get_args(Look),
    "score": get_args(Score),
    "grain": get_args(Grain),
    "loss": get_args(Loss),
}

#: Examples to learn from at least, where there are so many.
SMALLEST = 16


@dataclass(frozen=True)
class Settings:
    """How a network is brought to other data.

    Attributes:
        method: which weights are updated.
        share: of all weights; of "swift", "random" and "magnitude".
        subset: share of the examples that is learned from; 1: all, and none is looked at to choose.
        fewest: examples that are learned from at least.
        sampling: how they are chosen.
        look: what they are chosen by.
        probe: how slopes are looked at.
        grain: what a mask chooses at once.
        loss: what is made small.
        border: pixels along each border of an example that do not count.
        held: share of the chosen examples that weights are judged by.
        schedule: how long, and how fast.

    Raises:
        OptionError: a share that is none, or an unknown word.
    """

    method: Method = "swift"
    share: float = 0.2
    subset: float = 0.03
    fewest: int = SMALLEST
    sampling: Sampling = "manifold"
    look: Look = "features"
    probe: Probe = field(default_factory=Probe)
    grain: Grain = "element"
    loss: Loss = "l1"
    border: int = 0
    held: float = 0.1
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        for name in ("share", "subset", "held"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} {getattr(self, name)} must be in 0 to 1")
        for name, words in WORDS.items():
            value = self.probe.score if name == "score" else getattr(self, name)
            if value not in words:
                raise OptionError(unknown(name, value, words))


@dataclass(frozen=True)
class Seconds:
    """Where the time went.

    Attributes:
        choose: descriptors and selection of examples.
        probe: masks.
        fit: updates, and looks at the hold-out.
    """

    choose: float
    probe: float
    fit: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.choose + self.probe + self.fit


@dataclass(frozen=True)
class Work:
    """What was done to a network.

    Attributes:
        method: which weights were updated.
        selection: of the examples, and how well they cover all; None where all were taken.
        learned: examples that slopes came from.
        held: examples that the weights were judged by.
        parameters: entries of the network.
        free: entries that were allowed to change.
        changed: entries that did.
        curve: losses as the fit went on, which step was kept, and why none if so.
        seconds: where the time went.
    """

    method: Method
    selection: Selection | None
    learned: tuple[int, ...]
    held: tuple[int, ...]
    parameters: int
    free: int
    changed: int
    curve: Curve
    seconds: Seconds


@dataclass(frozen=True, eq=False)
class Transferred:
    """A network of the same architecture with other weights, and how it came to them."""

    network: Network
    report: Work


@torch.inference_mode(mode=False)
def transfer(
    network: Network, examples: Sequence[Example], settings: Settings, rng: Generator, watch: Watch | None = None
) -> Transferred:
    """A network brought to the data of another sensor by a few examples and a part of its weights.

    Which weights come out does not depend on the order of the examples, unless all of them are taken. A loss that is
    not finite gives the source's weights, with a warning and `report.curve.reason`.

    Args:
        network: the source; it is not changed.
        examples: target pairs with their truth, by index; one that holds several images counts as one.
        settings: how.
        rng: for the hold-out, the order of examples, and chance where the method asks for it.
        watch: told after every step; its own time does not count.

    Raises:
        OptionError: no example, none with a valid pixel, or a border that leaves nothing.
    """
    if not examples:
        raise OptionError("transfer needs an example at least")
    side = min(examples[0].truth.shape[-2:])
    if not 0 <= 2 * settings.border < side:
        raise OptionError(f"border {settings.border} leaves nothing of examples of {side} pixels")
    clock = [time.perf_counter()]
    selection = _chosen(network, examples, settings, rng)
    chosen = range(len(examples)) if selection is None else selection.indices
    learned, held = split(chosen, settings.held, rng)
    clock.append(time.perf_counter())
    target, task = copy.deepcopy(network), Task(examples, settings.loss, settings.border)
    free = _masks(target, task, learned, settings, rng)
    clock.append(time.perf_counter())
    curve = fit(target, free, task, learned, held, settings.schedule, rng, watch)
    seconds = curve.points[-1].seconds if curve.points else 0.0
    pairs = list(zip(network.parameters(), target.parameters(), strict=True))
    report = Work(
        method=settings.method,
        selection=selection,
        learned=tuple(learned),
        held=tuple(held),
        parameters=sum(old.numel() for old, _ in pairs),
        free=sum(int(mask.sum()) for mask in free),
        changed=sum(int((old != new).sum()) for old, new in pairs),
        curve=curve,
        seconds=Seconds(clock[1] - clock[0], clock[2] - clock[1], seconds),
    )
    return Transferred(target, report)


def _chosen(network: Network, examples: Sequence[Example], settings: Settings, rng: Generator) -> Selection | None:
    """The examples that stand for all; None: all."""
    count = wanted(settings.subset, len(examples), settings.fewest)
    if count == len(examples):
        return None
    device = next(network.parameters()).device
    rows = [describe(network, to_device(examples[k].pair, device), settings.look) for k in range(len(examples))]
    known = [row for row in rows if row is not None]
    if not known:
        raise OptionError(f"none of the {len(examples)} examples has a valid pixel")
    nothing = torch.full_like(known[0], torch.nan)
    return select(torch.stack([nothing if row is None else row for row in rows]), count, settings.sampling, rng)


def _masks(network: Network, task: Task, numbers: Sequence[int], settings: Settings, rng: Generator) -> Masks:
    """What may change."""
    if settings.method == "full":
        return every(network)
    device = next(network.parameters()).device
    last = last_layer(network, to_device(task.examples[numbers[0]].pair, device))
    if settings.method == "last-layer":
        return only(network, last)
    if settings.method == "swift":
        scores = sensitivities(network, task, numbers, settings.probe, rng)
    else:
        scores = magnitudes(network) if settings.method == "magnitude" else chances(network, rng)
    biases = [parameter for parameter in last if parameter.ndim == 1]
    return masks(network, scores, settings.share, settings.grain, biases)
