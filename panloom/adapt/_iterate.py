"""A small module between the frozen features and the frozen head of a network, trained on patches of one scene."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from panloom.adapt import _frame
from panloom.adapt._base import Base
from panloom.adapt._bridge import Bridge
from panloom.adapt._frame import FEWEST, Known, NoFitError, Options, Sample, framed
from panloom.adapt._learned import taken
from panloom.adapt._module import Moments, Tailor
from panloom.adapt._patches import SIDE, Cutter, Patch, batched, head_reach
from panloom.adapt._sample import Lowered
from panloom.adapt._selection import Candidate, Selection, candidates, chosen
from panloom.adapt._terms import Low, Measure, Sum, Weights, weighted
from panloom.compute import cut, together
from panloom.errors import MethodError
from panloom.networks import Network
from panloom.optics.alignment import Aligned
from panloom.pair import Pair, SceneLike
from panloom.types import Window

#: Decay of the means of slopes and of their squares in Adam, and the share of the rate that is left at the end.
BETAS, LAST = (0.9, 0.99), 0.1

#: What the names of a module's tensors begin with, where it is kept.
MODULE = "module."

#: MS pixels at the border of a tile that may be given up so that all patches have one shape.
INSET = 2


@dataclass(frozen=True)
class Settings:
    """Of one fit; see `panloom.adapt._tailoring`."""

    steps: int
    rate: float
    patches: int
    selection: Selection
    weights: Weights


class Step(NamedTuple):
    """The loss before a step, and its terms.

    Attributes:
        loss: weighted sum of the terms.
        terms: mean of each term that has a weight.
    """

    loss: float
    terms: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Report(_frame.Report):
    """What was done.

    Attributes:
        patches: that were learned from at full resolution, PAN pixels of the scene.
        low_patches: that were learned from on the scene degraded once more, PAN pixels of the scene as well.
        curve: the loss before each step and after the last one.
        best: index in the curve of what is used.
        terms: of the loss, each before and after.
        parameters: that were trained.
        pixels: MS pixels of the spectral term, pixels of the Wald term, and pixels held back.
    """

    patches: tuple[Window, ...] = ()
    low_patches: tuple[Window, ...] = ()
    curve: tuple[float, ...] = ()
    best: int = 0
    terms: dict[str, tuple[float, float]] | None = None
    parameters: int = 0
    pixels: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, eq=False)
class Tailored:
    """A frozen network and a module between its features and its head.

    Attributes:
        base: the network and its bridge.
        module: None: the frozen output.
        frozen_bands: indices of bands that keep the frozen output.
        halo: MS pixels that an output pixel looks at.
        report: what was done; None where the module was trained on another scene.
    """

    base: Base
    module: nn.Module | None
    frozen_bands: tuple[int, ...]
    halo: int
    report: Report | None = None

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        network = self.base.network
        assert network is not None
        seen = self.base.seen(self.base.aligned(pair))
        if self.module is None:
            fused = network(seen)
        else:
            features = network.features(seen)
            fused = network.head(self.module(features), seen)
            if self.frozen_bands:
                kept = list(self.frozen_bands)
                fused = fused.clone()
                fused[:, kept] = network.head(features, seen)[:, kept]
        return self.base.to_scene(fused)


class Made(NamedTuple):
    """What a module is made for.

    Attributes:
        moments: of the features in the patches.
        known: of the scene.
        bridge: through which the network sees it; None: as it is.
        rng: what weights are drawn from.
    """

    moments: Moments
    known: Known
    bridge: Bridge | None
    rng: Generator


Maker = Callable[[Made], Tailor]


@torch.no_grad()
def tailored(
    network: Network, scene: Aligned, make: Maker, options: Options, settings: Settings, rng: Generator
) -> Tailored:
    """A network tailored to a scene; where that is not possible, frozen, with a warning that says why.

    `network` is ready for the scene and is not changed.
    """
    done = framed(network, scene, options, partial(_fit, make=make, settings=settings, rng=rng), Report, rng)
    report = done.report if done.made is None else done.made.told(done.report)
    module, halo = None, scene.halo + network.traits.halo
    if done.used is not None:
        module, halo = done.used.module.folded(), halo + _more(done.used.module, scene)
    kept = tuple(k for k, band in enumerate(scene.sensor.bands) if band.name in report.unfitted)
    return Tailored(done.base, module, kept, halo, replace(report, seconds=done.seconds))


def _more(module: Tailor, scene: SceneLike) -> int:
    """MS pixels that a module looks at."""
    return math.ceil(module.body.reach / scene.grid.ratio)


def kept(fitted: Tailored) -> dict[str, Tensor]:
    """What was learned on a scene, by name, without the network; see `restored`."""
    found = {} if fitted.base.bridge is None else fitted.base.bridge.tensors
    if fitted.module is not None:
        found |= {f"{MODULE}{name}": tensor for name, tensor in fitted.module.state_dict().items()}
        found["frozen_bands"] = torch.tensor(fitted.frozen_bands, dtype=torch.int64)
    return found


@torch.no_grad()
def restored(network: Network, empty: Tailor, tensors: Mapping[str, Tensor], scene: Aligned) -> Tailored:
    """What was learned on one scene, for another one.

    Args:
        network: ready for this scene.
        empty: a module of the same form, of any values.
        tensors: from `kept`.
        scene: this one.

    Raises:
        MethodError: the tensors are not those of this network and module.
    """
    bands, kept_bands = len(scene.sensor.bands), tensors.get("frozen_bands")
    module = empty.folded().requires_grad_(False)
    state = {name: tensor for name, tensor in tensors.items() if name.startswith(MODULE)}
    shapes = {f"{MODULE}{name}": tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    count = 0 if kept_bands is None else min(kept_bands.numel(), bands)
    taken(tensors, {**Bridge.shapes(bands), **shapes, "frozen_bands": (count,)})
    base, halo = Base(network, Bridge.kept(tensors), scene.offset), scene.halo + network.traits.halo
    if not state:
        return Tailored(base, None, (), halo)
    if missing := shapes.keys() - state.keys():
        raise MethodError(f"what was learned lacks {', '.join(sorted(missing))}")
    module.to(next(iter(state.values())).dtype).load_state_dict(
        {name.removeprefix(MODULE): tensor for name, tensor in state.items()}
    )
    frozen = () if kept_bands is None else tuple(kept_bands.tolist())
    return Tailored(base, module, frozen, halo + _more(empty, scene))


@dataclass(frozen=True, eq=False)
class _Fit:
    """A trained module, and how it was trained."""

    module: Tailor
    left: float
    steps: Sequence[Step]
    best: int
    chosen: tuple[_Chosen, _Chosen]
    pixels: tuple[int, int, int]

    def told(self, report: Report) -> Report:
        """The report with what was done."""
        first, best = self.steps[0].terms, self.steps[self.best].terms
        return replace(
            report,
            patches=self.chosen[0].places,
            low_patches=self.chosen[1].places,
            curve=tuple(step.loss for step in self.steps),
            best=self.best,
            terms={name: (first[name], best[name]) for name in first},
            parameters=sum(p.numel() for p in self.module.parameters()),
            pixels=self.pixels,
        )


class _Chosen(NamedTuple):
    """Patches of one kind, and where they lie on the scene's PAN grid."""

    patches: list[Patch]
    places: tuple[Window, ...]


def _fit(sample: Sample, make: Maker, settings: Settings, rng: Generator) -> _Fit:
    """A module trained on patches of a sample."""
    known, base = sample.known, sample.base.quick
    measure = Measure(sample.scene.sensor, known.statistics.std, known.statistics.pan_std, known.varies)
    cutter = Cutter(base, measure, settings.weights, _reach(base, sample.tiles))
    below = replace(cutter, base=base.below(sample.low))
    full, low = _full(cutter, sample.tiles, settings, rng), _low(below, sample.low, settings, rng)
    patches = batched([*full.patches, *low.patches])
    pixels = _counted(full.patches, low.patches)
    frozen = together(lambda patch: patch.image(patch.features), patches)
    if not all(bool(x.isfinite().all()) for x in (*(patch.features for patch in patches), *frozen)):
        raise NoFitError("the network's output on it is not finite")
    before = _error(patches, frozen, measure)
    if not before > 0:
        raise NoFitError("the network makes no error on what is held back of it")
    moments = Moments.of([patch.features for patch in patches], patches[0].seen.exp.dtype)
    module = make(Made(moments, known, base.bridge, rng))
    steps, best = _train(module, list(zip(patches, frozen, strict=True)), measure, settings)
    low_ones = [patch for patch in patches if isinstance(patch.target, Low)]
    after = _error(low_ones, together(lambda patch: patch.image(module(patch.features)), low_ones), measure)
    return _Fit(module, math.sqrt(after / before), steps, best, (full, low), pixels)


def _reach(base: Base, sample: Sequence[Pair]) -> int:
    """MS pixels around a cell that the head looks at; at most the halo of the network."""
    network, multiple = base.network, base.multiple
    assert network is not None
    side = -(-(2 * network.traits.halo + 1) // multiple) * multiple
    rows, cols = (n - n % multiple for n in sample[0].ms.shape[-2:])
    window = Window(0, 0, min(side, rows), min(side, cols))
    return head_reach(network, base.seen(cut(sample[0], window)))


def _full(cutter: Cutter, sample: Sequence[Pair], settings: Settings, rng: Generator) -> _Chosen:
    """Patches at full resolution."""
    if not (settings.weights.spectral or settings.weights.spatial or settings.weights.consistency):
        return _Chosen([], ())
    found = _choose(cutter, sample, settings, rng)
    patches = together(lambda one: cutter.full(sample[one.tile], one.window), found)
    places = (one.window.scaled(sample[0].ratio).shifted(*sample[one.tile].origin) for one in found)
    return _Chosen(patches, tuple(places))


def _low(cutter: Cutter, low: Sequence[Lowered], settings: Settings, rng: Generator) -> _Chosen:
    """Patches of the sample degraded once more; without a Wald term they are there to be judged by."""
    found = _choose(cutter, [one.pair for one in low], settings, rng)
    patches = together(lambda one: cutter.low(low[one.tile], one.window), found)
    places = (one.window.scaled(low[0].pair.ratio ** 2).shifted(*low[one.tile].origin) for one in found)
    return _Chosen(patches, tuple(places))


def _choose(cutter: Cutter, pairs: Sequence[Pair], settings: Settings, rng: Generator) -> list[Candidate]:
    # Patches with all that the head looks at around them are of one shape: one batch, one call of every layer.
    inset = cutter.around if cutter.around <= INSET else 0
    return chosen(candidates(pairs, SIDE, cutter.base.multiple, inset), settings.patches, settings.selection, rng)


def _counted(full: Sequence[Patch], low: Sequence[Patch]) -> tuple[int, int, int]:
    """MS pixels of the spectral term, pixels of the Wald term, pixels held back.

    Raises:
        NoFitError: there are too few of the last two.
    """
    learn = sum(p.target.usable for p in low)
    held = sum(int(p.target.held.sum()) for p in low if isinstance(p.target, Low))
    if min(learn, held) < FEWEST:
        raise NoFitError(
            f"degraded once more it has {learn} pixels to learn from and {held} to be judged by, less than {FEWEST}"
        )
    return sum(p.target.usable for p in full), learn, held


def _error(patches: Sequence[Patch], images: Sequence[Tensor], measure: Measure) -> float:
    """Sum of squared errors of the pixels held back."""
    both = zip(patches, images, strict=True)
    return sum((p.target.squared(image, measure) for p, image in both if isinstance(p.target, Low)), 0.0)


class _Part(NamedTuple):
    """What patches of one shape say of the module as it is.

    Attributes:
        terms: their sums, without slopes.
        slopes: of their share of the loss, for each parameter of the module.
    """

    terms: Mapping[str, Sum]
    slopes: Sequence[Tensor]


def _train(
    module: Tailor, patches: Sequence[tuple[Patch, Tensor]], measure: Measure, settings: Settings
) -> tuple[list[Step], int]:
    """Every step sees all patches; the module is left as it was where the loss was least.

    Args:
        module: not yet trained.
        patches: with their frozen output.
        measure: of the scene.
        settings: of the training.

    Returns:
        The steps and the index of the best.

    Raises:
        NoFitError: the loss is not finite.
    """
    parameters = list(module.parameters())
    optimiser = torch.optim.Adam(parameters, settings.rate, BETAS)
    sums = [patch.target.terms(image, measure, settings.weights) for patch, image in patches]
    # What the module makes has no say in how much counts in each term.
    counts = {name: term.count for name, term in _total(sums).items()}
    learned = [patch for (patch, _), terms in zip(patches, sums, strict=True) if terms]
    entered = together(lambda patch: (patch, module.enter(patch.features)), learned)
    look = partial(_looked, module, measure=measure, weights=settings.weights, counts=counts)
    steps: list[Step] = []
    best, kept = 0, _copied(module)
    for k in range(settings.steps + 1):
        parts = together(look, entered)
        sums = _total([part.terms for part in parts])
        loss = float(weighted(sums, settings.weights))
        if not math.isfinite(loss):
            raise NoFitError(f"the loss is not finite after {k} steps at learning rate {settings.rate:g}")
        steps.append(Step(loss, {name: term.mean.item() for name, term in sums.items()}))
        if loss < steps[best].loss:
            best, kept = k, _copied(module)
        if k == settings.steps:
            break
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * cosine(k / settings.steps)
        for parameter, *slopes in zip(parameters, *(part.slopes for part in parts), strict=True):
            parameter.grad = sum(slopes[1:], slopes[0])
        optimiser.step()
    module.load_state_dict(kept)
    module.requires_grad_(False)
    return steps, best


def _copied(module: nn.Module) -> dict[str, Tensor]:
    """The values of a module."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _looked(
    module: Tailor, seen: tuple[Patch, Tensor], measure: Measure, weights: Weights, counts: Mapping[str, int]
) -> _Part:
    """Patches and what the body sees of them, judged."""
    patch, inner = seen
    with torch.enable_grad():
        image = patch.image(module.leave(patch.features, inner))
        sums = patch.target.terms(image, measure, weights)
        # Of the loss of all patches that which comes from these.
        share = weighted({name: Sum(term.total, counts[name]) for name, term in sums.items()}, weights)
        slopes = torch.autograd.grad(share, list(module.parameters()), materialize_grads=True)
    return _Part({name: Sum(term.total.detach(), term.count) for name, term in sums.items()}, slopes)


def cosine(part: float) -> float:
    """The share of the learning rate when a part of the steps is done, from 1 to LAST."""
    return LAST + (1 - LAST) * (1 + math.cos(math.pi * part)) / 2


def _total(parts: Sequence[Mapping[str, Sum]]) -> dict[str, Sum]:
    """The terms of all parts, added in their order."""
    sums: dict[str, Sum] = {}
    for part in parts:
        for name, term in part.items():
            sums[name] = sums[name] + term if name in sums else term
    return sums
