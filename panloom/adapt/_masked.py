"""Adam on a part of the weights: the frozen ones stay bit for bit, and the best weights on a hold-out are kept."""

from __future__ import annotations

import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from panloom import losses
from panloom.adapt._batch import joined
from panloom.compute import to_device
from panloom.data.example import Example
from panloom.errors import OptionError, PanloomWarning
from panloom.networks import Network

#: What is made small; see `panloom.losses`. "relative" has no slope where the error is above three times that of EXP.
Loss = Literal["l1", "mse", "relative"]

#: One mask for each parameter of a network, in their order: True may change.
Masks = tuple[Bool[Tensor, "..."], ...]

#: Told after every step: the step, seconds so far, and the network as it is. Its own time does not count.
Watch = Callable[[int, float, Network], None]


@dataclass(frozen=True)
class Task:
    """Examples and what is to become small on them.

    Attributes:
        examples: all of them, learned from or not.
        loss: which.
        border: pixels along each border of an example that do not count.
    """

    examples: Sequence[Example]
    loss: Loss = "l1"
    border: int = 0

    def value(self, network: Network, numbers: Sequence[int]) -> float:
        """The mean loss of the examples with these numbers."""
        with torch.no_grad():
            return float(
                sum(share * float(self._loss(network, batch)) for share, batch in self._batches(numbers, network))
            )

    def slopes(
        self, network: Network, numbers: Sequence[int], parameters: Sequence[Tensor]
    ) -> tuple[float, list[Float[Tensor, "..."]]]:
        """The mean loss, and its slopes with respect to parameters, in their type."""
        total, sums = 0.0, [torch.zeros_like(p) for p in parameters]
        for share, batch in self._batches(numbers, network):
            with torch.enable_grad():
                loss = share * self._loss(network, batch)
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
            total += float(loss.detach())
            sums = [s if slope is None else s + slope for s, slope in zip(sums, found, strict=True)]
        return total, sums

    def _batches(self, numbers: Sequence[int], network: Network) -> Iterator[tuple[float, Example]]:
        """Examples that can stand in one batch, with the share of the images that they are."""
        device = next(network.parameters()).device
        sorts: dict[object, list[Example]] = defaultdict(list)
        for number in numbers:
            one = self.examples[number]
            sorts[
                (one.truth.shape[1:], one.pair.pan.shape[1:], one.pair.phase, one.pair.sensor, one.pair.origin)
            ].append(one)
        images = sum(len(one.truth) for alike in sorts.values() for one in alike)
        for alike in sorts.values():
            batch = joined(alike)
            yield len(batch.truth) / images, Example(to_device(batch.pair, device), batch.truth.to(device))

    def _loss(self, network: Network, batch: Example) -> Float[Tensor, ""]:
        pair = batch.pair
        # Losses live in float32 at least, whatever the network computes in.
        kind = torch.promote_types(pair.exp.dtype, torch.float32)
        inner = slice(self.border, -self.border or None)
        image, truth, exp = (x[..., inner, inner].to(kind) for x in (network(pair), batch.truth, pair.exp))
        valid = pair.valid[..., inner, inner]
        if self.loss == "relative":
            return losses.relative(image, truth, exp, valid)
        return (losses.l1 if self.loss == "l1" else losses.mse)(image, truth, valid)


@dataclass(frozen=True)
class Schedule:
    """How long, and how fast.

    Attributes:
        lr: learning rate of Adam at the beginning.
        final: at the end, half a cosine later.
        warmup: share of the way over which the rate rises from a tenth. Adam's first steps are long in all weights, and
            weights that were chosen because they pull the same way then go too far.
        batch: examples of a step.
        epochs: times that each example is seen, at most; 0 changes nothing.
        seconds: of the fit, at most; None: no limit. With a limit the result depends on the machine.

    Raises:
        OptionError: a number out of its range.
    """

    lr: float = 1e-3
    final: float = 1e-4
    warmup: float = 0.1
    batch: int = 32
    epochs: int = 300
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not (self.lr > 0 and self.final >= 0 and self.batch >= 1 and self.epochs >= 0 and 0 <= self.warmup <= 1):
            raise OptionError(
                "a fit needs a learning rate above 0, one of 0 or more at the end, a batch of 1 or more, 0 epochs or "
                f"more and a warm-up of 0 to 1; given: {self.lr:g}, {self.final:g}, {self.batch}, {self.epochs}, "
                f"{self.warmup:g}"
            )

    def rate(self, way: float) -> float:
        """The learning rate after a share of the way."""
        rising = 0.1 + 0.9 * min(way / self.warmup, 1.0) if self.warmup else 1.0
        return rising * (self.final + (self.lr - self.final) * 0.5 * (1 + math.cos(math.pi * min(way, 1.0))))


@dataclass(frozen=True)
class Point:
    """A look at the fit.

    Attributes:
        step: updates made.
        seconds: spent on them.
        learned: mean loss of the steps since the last point; NaN before the first.
        held: loss on the hold-out; NaN where there is none.
    """

    step: int
    seconds: float
    learned: float
    held: float


@dataclass(frozen=True)
class Curve:
    """What a fit did.

    Attributes:
        points: before the first step, and after each epoch.
        best: step whose weights were kept.
        reason: why the weights are as they were before; empty where they are not.
    """

    points: tuple[Point, ...]
    best: int
    reason: str = ""


class _Clock:
    """Seconds, but for pauses."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def skip(self, seconds: float) -> None:
        self._began += seconds


class _Entries:
    """The entries of a network's parameters that may change, as one vector in float32 (float64 where they are that)."""

    def __init__(self, network: Network, masks: Masks) -> None:
        pairs = [(p, m) for p, m in zip(network.parameters(), masks, strict=True) if bool(m.any())]
        self.parameters = [p for p, _ in pairs]
        self._places = [m.to(p.device).flatten().nonzero()[:, 0] for p, m in pairs]
        for p in network.parameters():
            p.requires_grad_(False)
        for p in self.parameters:
            p.requires_grad_(True)
        self.values = self.gathered(self.parameters)
        self.source = self.values.clone()

    def gathered(self, tensors: Sequence[Tensor]) -> Float[Tensor, " m"]:
        """Those of tensors that look like the parameters."""
        parts = [x.detach().flatten()[at] for x, at in zip(tensors, self._places, strict=True)]
        return torch.cat([part.to(torch.promote_types(part.dtype, torch.float32)) for part in parts])

    @torch.no_grad()
    def write(self, values: Float[Tensor, " m"]) -> None:
        """Into the network; all other entries stay bit for bit."""
        parts = values.split([len(at) for at in self._places])
        for p, at, part in zip(self.parameters, self._places, parts, strict=True):
            # Not in place: a parameter may lie channels last in memory.
            p.copy_(p.detach().flatten().index_copy(0, at, part.to(p.dtype)).view(p.shape))


def fit(
    network: Network,
    masks: Masks,
    task: Task,
    learn: Sequence[int],
    held: Sequence[int],
    schedule: Schedule,
    rng: Generator,
    watch: Watch | None = None,
) -> Curve:
    """Change some entries of a network's parameters; the others stay bit for bit.

    The weights that did best on the hold-out are kept, and those before the first step are among the candidates;
    without a hold-out, the last. A loss that is not finite ends the fit with the weights as they were, and a warning.

    Args:
        network: is changed; its parameters need no slopes afterwards.
        masks: what may change.
        task: the loss and all examples.
        learn: numbers of examples to learn from.
        held: numbers of examples to judge by.
        schedule: how long.
        rng: order of the examples.
        watch: told after every step.
    """
    try:
        if not (learn and any(bool(mask.any()) for mask in masks)):
            return Curve((), 0)
        return _Fit(network, masks, task, learn, held, schedule).run(rng, watch)
    finally:
        network.requires_grad_(False)


class _Fit:
    """One run of `fit`."""

    def __init__(
        self,
        network: Network,
        masks: Masks,
        task: Task,
        learn: Sequence[int],
        held: Sequence[int],
        schedule: Schedule,
    ) -> None:
        self._network, self._task, self._learn, self._held = network, task, learn, held
        self._schedule, self._clock = schedule, _Clock()
        self._entries = _Entries(network, masks)
        self._optimizer = torch.optim.Adam([self._entries.values], lr=schedule.lr)
        self._points: list[Point] = []
        self._best, self._kept, self._kept_step = math.inf, self._entries.source, 0
        self._losses: list[float] = []
        self._step = 0

    def run(self, rng: Generator, watch: Watch | None) -> Curve:
        """All steps."""
        self._look()
        if watch is not None:
            self._told(watch)
        while not self._failed and not self._ended:
            for numbers in self._epoch(rng):
                self._update(numbers)
                if watch is not None:
                    self._told(watch)
                if self._failed or self._ended:
                    break
            self._look()
        return self._done()

    @property
    def _steps(self) -> int:
        return self._schedule.epochs * -(-len(self._learn) // self._schedule.batch)

    @property
    def _way(self) -> float:
        """Share of the way: in steps or in time, whichever is farther."""
        limit = self._schedule.seconds
        timed = 0.0 if limit is None else self._clock.seconds / limit if limit > 0 else 1.0
        return max(self._step / self._steps if self._steps else 1.0, timed)

    @property
    def _ended(self) -> bool:
        return self._way >= 1

    @property
    def _failed(self) -> bool:
        """Whether a loss was not finite."""
        last = self._points[-1].held if self._points and self._held else 0.0
        return not all(map(math.isfinite, [*self._losses[-1:], last]))

    def _epoch(self, rng: Generator) -> Iterator[list[int]]:
        order = torch.randperm(len(self._learn), generator=rng).tolist()
        for first in range(0, len(order), self._schedule.batch):
            yield [self._learn[k] for k in order[first : first + self._schedule.batch]]

    def _update(self, numbers: Sequence[int]) -> None:
        loss, slopes = self._task.slopes(self._network, numbers, self._entries.parameters)
        slope = self._entries.gathered(slopes)
        finite = math.isfinite(loss) and bool(slope.isfinite().all())
        self._losses.append(loss if finite else math.nan)
        if not finite:
            return
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.rate(self._way)
        self._entries.values.grad = slope
        self._optimizer.step()
        self._entries.write(self._entries.values)
        self._step += 1

    def _look(self) -> None:
        """Judge the weights as they are."""
        held = self._task.value(self._network, self._held) if self._held else math.nan
        learned = sum(self._losses) / len(self._losses) if self._losses else math.nan
        self._points.append(Point(self._step, self._clock.seconds, learned, held))
        if held < self._best or not self._held:
            self._best, self._kept, self._kept_step = held, self._entries.values.clone(), self._step
        if not self._failed:
            self._losses.clear()

    def _told(self, watch: Watch) -> None:
        seconds, began = self._clock.seconds, time.perf_counter()
        watch(self._step, seconds, self._network)
        self._clock.skip(time.perf_counter() - began)

    def _done(self) -> Curve:
        """The best weights, or those before."""
        if not self._failed:
            self._entries.write(self._kept)
            return Curve(tuple(self._points), self._kept_step)
        self._entries.write(self._entries.source)
        reason = f"the loss was not finite after {self._step} steps; the weights are those of the source"
        warnings.warn(reason, PanloomWarning, stacklevel=6)
        return Curve(tuple(self._points), 0, reason)
