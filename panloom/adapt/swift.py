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

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.adapt import _frame
from panloom.adapt._bridge import Bridge
from panloom.adapt._equations import Base
from panloom.adapt._frame import FEWEST, Known, NoFitError, Verdict, constant, every_band, look, over, refused
from panloom.adapt._learned import Learned, taken, told
from panloom.adapt._manifold import Sampling, Selection
from panloom.adapt._masked import Curve, Loss, Point, Schedule, Watch
from panloom.adapt._registry import adapter
from panloom.adapt._sample import Lowered, lowered, places, tiles
from panloom.adapt._sensitivity import Grain, Probe, Score
from panloom.adapt._transfer import SMALLEST, Method, Seconds, Settings, Transferred, Work, transfer
from panloom.compute import cut
from panloom.data.example import Example
from panloom.errors import MethodError, OptionError, PanloomWarning
from panloom.networks import Network
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

    work: Work | None
    judged: int


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
        renormalise: bring the scene to the means and deviations of the training data, where they are known.
        direct: the network without that may be chosen too, where it has the least error on held-back patches.
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
    renormalise: bool = True
    direct: bool = True
    ready: _Ready | None = field(default=None, metadata={"option": False})

    @property
    def traits(self) -> Traits:
        """Those of the network; behind the bridge it is not additive."""
        network = self.network if self.ready is None else self.ready.base.network or self.network
        return replace(network.traits, additive=False, cite=(*network.traits.cite, "xia2026"))

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
        if self.tiles < 1 or not self.gate >= 0:
            raise OptionError(f"swift needs 1 tile or more and a gate of 0 or more; given: {self.tiles}, {self.gate:g}")
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
        began, settings = time.perf_counter(), self.settings
        base = Base(self.network.prepare(scene, rng), None)
        sample = tiles(scene, self.tiles, rng)
        varies, work, judged, verdict = every_band(scene.sensor), None, 0, Verdict()
        used = base
        try:
            known = look(base.network, scene.sensor, sample, renormalise=self.renormalise)
            varies, used = known.varies, replace(base, bridge=known.bridge)
            patches = _patches(sample, scene, used)
            done = _learned(used, patches, settings, rng)
            work, judged = done.report, len(patches.held)
            verdict = _judged(used, done, patches if self.direct else replace(patches, plain=[]), known, self.gate)
            used = used.used(verdict.decision) if verdict.reason else replace(used, network=done.network)
        except NoFitError as stop:
            verdict = Verdict(reason=refused(stop))
            warnings.warn(verdict.reason, PanloomWarning, stacklevel=2)
        report = Report(
            decision=verdict.decision,
            reason=verdict.reason,
            validated=verdict.validated,
            bridged=verdict.bridged,
            gate=self.gate,
            places=places(sample),
            renormalised=used.bridge is not None,
            unfitted=constant(scene.sensor, varies),
            seconds=time.perf_counter() - began,
            work=work,
            judged=judged,
        )
        return replace(self, ready=_Ready(used, report))

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
        return replace(self, ready=_Ready(Base(self.network.prepare(scene, rng), Bridge.kept(tensors))))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        base = self.fitted.base
        assert base.network is not None
        fused = base.network(base.seen(pair))
        return base.to_scene(fused)


@dataclass(frozen=True)
class _Patches:
    """Patches of a scene degraded once more, in the values that the network sees.

    Attributes:
        learn: to learn from.
        held: never learned from.
        border: pixels around the part of each that counts.
        plain: those held back in the values of the scene, where the network sees others.
    """

    learn: list[Example]
    held: list[Example]
    border: int
    plain: list[Example] = field(default_factory=list[Example])

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.learn) + len(self.held)


def _patches(sample: Sequence[Pair], scene: SceneLike, base: Base) -> _Patches:
    """Patches whose parts that count do not overlap, as large as there are enough of.

    Raises:
        NoFitError: there are too few.
    """
    low = [one for tile in sample if (one := lowered(tile, scene.sensor, base.multiple)) is not None]
    unit = scene.grid.ratio * base.multiple
    reach = 0 if base.network is None else base.network.traits.halo * scene.grid.ratio
    border = min(-(-reach // unit), max(BORDER // unit, 1)) * unit
    sides = [max(core - core % unit, unit) for core in CORES]
    best = _Patches([], [], border)
    # A scene that has few patches with all that the network looks at around them gives more with less of it.
    for side, around in dict.fromkeys((side, n) for n in (border, min(border, unit)) for side in sides):
        found = _cut(low, side, around, base.bridge)
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
            if part is found.held and bridge is not None:
                found.plain.append(Example(pair, truth))
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


@torch.no_grad()
def _judged(base: Base, done: Transferred, patches: _Patches, known: Known, gate: float) -> Verdict:
    """What is used, by errors on held-back patches: of the new weights, the old, and the old without a bridge."""
    assert base.network is not None
    before, after = (
        _squares(net, base.bridge, patches.held, patches.border, known) for net in (base.network, done.network)
    )
    bridged = None
    if patches.plain:
        plain = _squares(base.network, None, patches.plain, patches.border, known)
        bridged = over(before, plain)
    verdict = Verdict.of((after / before) ** 0.5 if before else 1.0, bridged, gate)
    stopped = done.report.curve.reason
    if stopped and verdict.decision == "adapted":
        verdict = replace(verdict, decision="frozen")
    return replace(verdict, reason=stopped or verdict.reason)


def _squares(network: Network, bridge: Bridge | None, patches: Sequence[Example], border: int, known: Known) -> float:
    """Sum of squared errors, bands in units of their deviation."""
    deviation = known.statistics.std * (1.0 if bridge is None else bridge.gain)
    weight = torch.where(known.varies, 1 / torch.where(known.varies, deviation, 1.0), 0.0)[:, None]
    total = 0.0
    for one in patches:
        inside = _inner(one.pair.valid, border)[:, 0]
        error = _inner(network(one.pair) - one.truth, border).transpose(0, 1)[:, inside]
        total += float((weight.to(error.device) * error.double()).square().sum())
    return total
