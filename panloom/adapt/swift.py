"""swift: the few weights that a new sensor asks to change, learned from a few patches that stand for all.

SWIFT, "Sensitive Weight Identification for Fast Transfer" (Xia et al., arXiv 2507.20311, AAAI 2026). No code is public.

Published (abstract): the architecture stays; 3 % of the target's patches are chosen along the manifold of the data
without labels; the gradients of the source network on these tell which weights are sensitive to the shift; only 10 to
30 % of the weights are updated. Proposed, because nothing more is public: descriptors, graph, scores, masks, loss and
schedule, see `_manifold`, `_sensitivity` and `_masked`. Ours: all of it as exact laws (frozen weights stay bit for
bit, the order of the patches does not matter), and the use on one scene: patches of the scene degraded once more, whose
truth is known (Wald's protocol), behind a gate.

`transfer` brings a network to a data set of labelled patches, `Swift` to one scene.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.adapt import _frame
from panloom.adapt._base import Base
from panloom.adapt._bridge import Bridge
from panloom.adapt._frame import FEWEST, Known, NoFitError, Options, Renormalise, Sample, framed
from panloom.adapt._learned import Learned, taken, told
from panloom.adapt._manifold import Sampling, Selection
from panloom.adapt._masked import Curve, Loss, Point, Schedule, Watch
from panloom.adapt._registry import adapter
from panloom.adapt._sample import Lowered
from panloom.adapt._sensitivity import Grain, Probe, Score
from panloom.adapt._transfer import SMALLEST, Method, Seconds, Settings, Transferred, Work, transfer
from panloom.compute import cut
from panloom.data.example import Example
from panloom.errors import MethodError, OptionError
from panloom.networks import Network
from panloom.optics.alignment import Aligned, aligned, halo
from panloom.pair import Pair, SceneLike
from panloom.types import Traits, Window

__all__ = [
    "Curve",
    "Point",
    "Probe",
    "Report",
    "Schedule",
    "Seconds",
    "Selection",
    "Settings",
    "Swift",
    "Transferred",
    "Watch",
    "Work",
    "transfer",
]

#: Pixels along the sides of the part of a scene's patch that counts: the first that gives so many patches.
CORES, PATCHES = (32, 16, 8), 24

#: Pixels around that part, at most; what a network sees beyond has little weight.
BORDER = 12

#: Share of a patch's pixels that must be valid.
VALID = 0.5

#: Every so many patches of a scene one is held back from all learning, for the gate.
HELD_BACK = 3

#: Error on held-back patches that may be left for the new weights to be used.
GATE = 0.95


@dataclass(frozen=True, kw_only=True)
class Report(_frame.Report):
    """What was done.

    Attributes:
        work: on the weights; its examples are the scene's patches. None where the scene gave none.
        judged: patches that were held back for the gate.
    """

    work: Work | None = None
    judged: int = 0


@dataclass(frozen=True, eq=False)
class _Ready:
    """A network for a scene, and how it came about; None: on another scene."""

    base: Base
    report: Report | None = None


@adapter("swift")
@dataclass(frozen=True, eq=False)
class Swift:
    """A trained network of which a part of the weights is learned anew on the scene degraded once more.

    Attributes:
        network: the source; it is not changed.
        share: of the weights that may change.
        method: which these are; "swift": those that the scene's slopes ask to change.
        score: what is made of the slopes.
        grain: what a mask chooses at once.
        subset: share of the scene's patches that is learned from.
        fewest: patches that are learned from at least, where there are so many.
        sampling: how they are chosen.
        loss: what is made small.
        lr: learning rate at the beginning; a tenth of it at the end.
        batch: patches of a step.
        epochs: times that each patch is seen.
        gate: share of the error of the frozen output that may be left on held-back patches; 0 always keeps it.
        tiles: of 128 x 128 MS pixels that are looked at, at most.
        renormalise: bring the scene to the means and deviations of the training data, where they are known; auto: if
            the network errs less then on the scene degraded once more.
        ready: made by `prepare`.
    """

    network: Network = field(metadata={"option": False})
    share: float = 0.2
    method: Method = "swift"
    score: Score = "gradient"
    grain: Grain = "element"
    subset: float = 0.03
    fewest: int = SMALLEST
    sampling: Sampling = "manifold"
    loss: Loss = "l1"
    lr: float = 1e-3
    batch: int = 8
    epochs: int = 30
    gate: float = GATE
    tiles: int = 4
    renormalise: Renormalise = "auto"
    ready: _Ready | None = field(default=None, metadata={"option": False})

    @property
    def traits(self) -> Traits:
        """Those of the network; behind the bridge it is not additive."""
        base = Base(self.network, None) if self.ready is None else self.ready.base
        network = base.network or self.network
        around = network.traits.halo + halo(base.offset, network.ratio)
        return replace(network.traits, halo=around, additive=False, cite=(*network.traits.cite, "xia2026"))

    @property
    def fitted(self) -> _Ready:
        """What `prepare` made.

        Raises:
            MethodError: it was not called.
        """
        if self.ready is None:
            raise MethodError("call prepare(scene, rng) first: the weights are learned on a scene")
        return self.ready

    @property
    def report(self) -> Report:
        """What `prepare` did.

        Raises:
            MethodError: it was not called, or the weights were learned on another scene.
        """
        return told(self.fitted.report)

    @property
    def settings(self) -> Settings:
        """For `transfer`; the border is that of the patches.

        Raises:
            OptionError: an option out of its range.
        """
        return Settings(
            method=self.method,
            share=self.share,
            subset=self.subset,
            fewest=self.fewest,
            sampling=self.sampling,
            probe=Probe(batch=self.batch, score=self.score),
            grain=self.grain,
            loss=self.loss,
            schedule=Schedule(lr=self.lr, final=0.1 * self.lr, batch=self.batch, epochs=self.epochs),
        )

    @torch.inference_mode(mode=False)
    def prepare(self, scene: SceneLike, rng: Generator) -> Swift:
        """The network with weights for a scene; it reads at most 12 times `tiles` tiles of it.

        Raises:
            OptionError: an option out of its range.
        """
        options, settings = Options(self.tiles, self.gate, self.renormalise), self.settings
        scene = aligned(scene)
        network = self.network.prepare(scene, rng)
        return replace(self, ready=_swift(network, scene, options, settings, rng))

    def learned(self, scene: SceneLike) -> Learned:
        """The network with its new weights, or the frozen one.

        Raises:
            MethodError: `prepare` was not called.
        """
        network, bridge = self.fitted.base.network, self.fitted.base.bridge
        assert network is not None
        return Learned(network, {} if bridge is None else bridge.tensors)

    def restored(self, tensors: Mapping[str, Tensor], scene: SceneLike, rng: Generator) -> Swift:
        """Ready for a scene with what was learned on another one; see `panloom.adapt.Keeper`.

        Raises:
            MethodError: the tensors are not those of this adapter.
        """
        taken(tensors, Bridge.shapes(len(scene.sensor.bands)))
        scene = aligned(scene)
        return replace(self, ready=_Ready(Base(self.network.prepare(scene, rng), Bridge.kept(tensors), scene.offset)))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        base = self.fitted.base
        return base.fused(base.aligned(pair))


@dataclass(frozen=True, eq=False)
class _Fit:
    """New weights, what was done for them, and what they leave of the error."""

    network: Network
    work: Work
    judged: int
    left: float


@torch.no_grad()
def _swift(network: Network, scene: Aligned, options: Options, settings: Settings, rng: Generator) -> _Ready:
    """A network brought to a scene; where that is not possible, frozen, with a warning that says why."""
    done = framed(network, scene, options, partial(_fit, settings=settings, rng=rng), Report, rng)
    made, report = done.made, done.report
    if made is None:
        return _Ready(done.base, report)
    report = replace(report, work=made.work, judged=made.judged)
    if stopped := made.work.curve.reason:
        report = replace(report, decision="frozen", reason=stopped)
    base = replace(done.base, network=made.network) if report.decision == "adapted" else done.base
    return _Ready(base, replace(report, seconds=done.seconds))


def _fit(sample: Sample, settings: Settings, rng: Generator) -> _Fit:
    """The network of a sample with other weights."""
    network, below = sample.base.network, sample.base.below(sample.low)
    assert network is not None
    patches = _patches(sample, network)
    done = _learned(below, patches, settings, rng)
    # It was told of the degraded scene, and is to be told of the scene itself.
    own = copy.deepcopy(network)
    own.load_state_dict(done.network.state_dict())
    return _Fit(own, done.report, len(patches.held), _left(below, done.network, patches, sample.known))


@dataclass(frozen=True)
class _Patches:
    """Patches of a scene degraded once more, in the values that the network sees.

    Attributes:
        learn: to learn from.
        held: never learned from.
        border: pixels around the part of each that counts.
    """

    learn: list[Example]
    held: list[Example]
    border: int

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.learn) + len(self.held)


def _patches(sample: Sample, network: Network) -> _Patches:
    """Patches whose parts that count do not overlap, as large as there are enough of.

    Raises:
        NoFitError: there are too few.
    """
    ratio = sample.scene.grid.ratio
    unit, reach = ratio * network.traits.multiple, ratio * network.traits.halo
    border = min(-(-reach // unit), max(BORDER // unit, 1)) * unit
    sides = [max(core - core % unit, unit) for core in CORES]
    best = _Patches([], [], border)
    # A scene that has few patches with all that the network looks at around them gives more with less of it.
    for side, around in dict.fromkeys((side, n) for n in (border, min(border, unit)) for side in sides):
        found = _cut(sample.low, side, around, sample.base.bridge)
        if found.count > best.count:
            best = found
        if best.count >= PATCHES:
            break
    counts = [sum(int(_inner(one.pair.valid, best.border).sum()) for one in part) for part in (best.learn, best.held)]
    if len(best.learn) < 2 or min(counts) < FEWEST:
        raise NoFitError(
            f"degraded once more it has {counts[0]} valid pixels to learn from, in {len(best.learn)} patches, and "
            f"{counts[1]} to judge by; {FEWEST} of both are needed, in 2 patches"
        )
    return best


def _cut(low: Sequence[Lowered], side: int, border: int, bridge: Bridge | None) -> _Patches:
    """The patches of a size that hold data."""
    found, whole = _Patches([], [], border), side + 2 * border
    for number, one in enumerate(low):
        ratio = one.pair.ratio
        rows, cols = (max((n - 2 * border) // side, 0) for n in one.truth.shape[-2:])
        for row, col in ((r, c) for r in range(rows) for c in range(cols)):
            cells = Window(row * side // ratio, col * side // ratio, whole // ratio, whole // ratio)
            # A patch is an image of its own: a batch has one origin.
            pair = replace(cut(one.pair, cells), origin=(0, 0))
            if float(_inner(pair.valid, border).double().mean()) < VALID:
                continue
            truth = one.truth[(..., *cells.scaled(ratio).inside(Window(0, 0, 0, 0)))]
            part = found.learn if (number + row + col) % HELD_BACK else found.held
            part.append(_seen(Example(pair, truth), bridge))
    return found


def _seen(example: Example, bridge: Bridge | None) -> Example:
    """In the values that the network sees."""
    if bridge is None:
        return example
    gain, offset = (x.to(example.truth)[:, None, None] for x in (bridge.gain, bridge.offset))
    return Example(bridge.to_source(example.pair), gain * example.truth + offset)


def _inner(image: Tensor, border: int) -> Tensor:
    inside = slice(border, -border or None)
    return image[..., inside, inside]


def _learned(base: Base, patches: _Patches, settings: Settings, rng: Generator) -> Transferred:
    """The network with other weights."""
    assert base.network is not None
    try:
        return transfer(base.network, patches.learn, replace(settings, border=patches.border), rng)
    except OptionError as stop:
        raise NoFitError(str(stop)) from stop


def _left(below: Base, learned: Network, patches: _Patches, known: Known) -> float:
    """Error on held-back patches, of the new weights over the old."""
    assert below.network is not None
    before, after = (_squares(net, below.bridge, patches, known) for net in (below.network, learned))
    return (after / before) ** 0.5 if before else 1.0


def _squares(network: Network, bridge: Bridge | None, patches: _Patches, known: Known) -> float:
    """Sum of squared errors on held-back patches, bands in units of their deviation."""
    deviation = known.statistics.std * (1.0 if bridge is None else bridge.gain)
    weight = torch.where(known.varies, 1 / torch.where(known.varies, deviation, 1.0), 0.0)[:, None]
    total = 0.0
    for one in patches.held:
        inside = _inner(one.pair.valid, patches.border)[:, 0]
        error = _inner(network(one.pair) - one.truth, patches.border).transpose(0, 1)[:, inside]
        total += float((weight.to(error.device) * error.double()).square().sum())
    return total
