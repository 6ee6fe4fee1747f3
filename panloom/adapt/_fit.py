"""From a scene to fitted weights: sample, equations, cross-validated ridge, gate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom.adapt import _frame, _physics
from panloom.adapt._base import Base
from panloom.adapt._bridge import Bridge
from panloom.adapt._equations import Columns, Scaling, added, halves, patches, pixels, spectral, wald
from panloom.adapt._frame import FEWEST, NoFitError, Options, Sample, framed
from panloom.adapt._head import Kernel, Mix, merged
from panloom.adapt._learned import taken
from panloom.adapt._ridge import Products, Roles, solve, validate
from panloom.adapt._sample import statistics, tiles
from panloom.compute import cut, started, together
from panloom.errors import OptionError
from panloom.networks import Network
from panloom.optics.alignment import Aligned
from panloom.pair import Pair, SceneLike
from panloom.types import Window

#: Ridges of network features that cross-validation chooses from; columns have a deviation of 1.
RIDGES = (0.01, 0.1, 1.0, 10.0, 100.0)

#: The ridge of the constant, in shares of that of physics features.
CONSTANT = 0.01

#: Tiles of 128 x 128 MS pixels that the scale of a scene is taken from, where a fit is brought to it.
SCALE_TILES = 4

#: MS pixels along a side of the part of a scene on which a merged head is compared with the sum of both.
PROBE = 8


@dataclass(frozen=True)
class Settings:
    """Constants of the fit; see `panloom.adapt.refit.Refit`.

    Raises:
        OptionError: one of them makes no sense.
    """

    ridge: float | None
    kappa: float
    physics: float
    patches: int

    def __post_init__(self) -> None:
        # Without a ridge the equations of a small scene have many solutions.
        ridges = (self.physics,) if self.ridge is None else (self.ridge, self.physics)
        if self.patches < 1 or not 0 <= self.kappa < math.inf or not all(0 < one < math.inf for one in ridges):
            raise OptionError(
                "a refit needs 1 patch or more, a kappa of 0 or more and ridges above 0; given: patches "
                f"{self.patches}, kappa {self.kappa:g}, physics {self.physics:g}, ridge "
                f"{'chosen' if self.ridge is None else format(self.ridge, 'g')}"
            )


@dataclass(frozen=True, kw_only=True)
class Report(_frame.Report):
    """What was done.

    Attributes:
        ridge: of the network's features; None where nothing was solved, or there is no network.
        equations: pixels of the scene degraded once more, and MS pixels of the spectral equations.
        merged: the fit is part of the network's own head.
    """

    ridge: float | None = None
    equations: tuple[int, int] = (0, 0)
    merged: bool = False


@dataclass(frozen=True, eq=False)
class Fitted:
    """A frozen network and what was fitted to a scene.

    Attributes:
        columns: how features are made.
        kernel: what the fit makes of the network's features; None: nothing, or it is part of the network's head.
        mix: what it makes of physics features, and the constant; None: nothing.
        halo: MS pixels that an output pixel looks at.
        report: what was done; None where the fit was made on another scene.
    """

    columns: Columns
    kernel: Kernel | None
    mix: Mix | None
    halo: int
    report: Report | None = None

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        base = self.columns.base
        pair = base.aligned(pair)
        if self.kernel is None:
            fused = base.fused(pair)
        else:
            features = base.features(pair)
            fused = base.image(features, pair)
            if features is not None:
                fused = fused + self.kernel(features, pair)
        if self.mix is None:
            return fused.clone() if fused is pair.exp else fused
        if not self.mix.weight.shape[1]:
            return fused + self.mix.constant.to(fused)[:, None, None]
        return fused + self.mix(self.columns.physics(pair))


@dataclass(frozen=True)
class _Solution:
    """Weights of the features as they are (not scaled), and how they were found."""

    kernel: Tensor | None
    mix: Mix
    pan_mean: float
    probe: Pair
    ridge: float | None
    left: float
    equations: tuple[int, int]


@torch.no_grad()
def fit(network: Network | None, scene: Aligned, options: Options, settings: Settings, rng: Generator) -> Fitted:
    """A network (None: EXP) fitted to a scene; where that is not possible, frozen, with a warning that says why.

    `network` is ready for the scene and is not changed.
    """
    done = framed(network, scene, options, partial(_solve, settings=settings, rng=rng), Report, rng)
    made, report = done.made, done.report
    if made is not None:
        report = replace(report, ridge=made.ridge, equations=made.equations)
    fitted, inside = _fitted(done.base, done.used, scene)
    return replace(fitted, report=replace(report, merged=inside, seconds=done.seconds))


def kept(fitted: Fitted, scene: SceneLike) -> dict[str, Tensor]:
    """What was fitted to a scene, by name, without the network; see `restored`."""
    bridge, kernel, mix = fitted.columns.base.bridge, fitted.kernel, fitted.mix
    found = {} if bridge is None else bridge.tensors
    if mix is not None:
        found |= {"mix.weight": mix.weight, "mix.constant": mix.constant}
        found["pan_mean"] = torch.tensor(fitted.columns.pan_mean, dtype=torch.float64)
    if kernel is not None:
        found["kernel"] = kernel.weight
    if _scaled_by_network(fitted.columns.base.network, kernel):
        deviations = _deviations(scene)
        found |= {} if deviations is None else {"deviations": deviations}
    return found


@torch.no_grad()
def restored(network: Network, tensors: Mapping[str, Tensor], scene: Aligned) -> Fitted:
    """What was fitted to one scene, for another one.

    Args:
        network: ready for this scene, with the weights that it came out of the fit with.
        tensors: from `kept`.
        scene: this one.

    Raises:
        MethodError: the tensors are not those of this network.
    """
    bands, features = len(scene.sensor.bands), network.channels
    kernel, weight, constant = (tensors.get(name) for name in ("kernel", "mix.weight", "mix.constant"))
    own = kernel is not None and kernel.ndim == 2
    shapes = {
        "kernel": (bands, features) if own else (bands, features, 3, 3),
        "mix.weight": (bands, 0 if own else 1 + 2 * bands),
        "mix.constant": (bands,),
        "pan_mean": (),
        "deviations": (bands,),
    }
    taken(tensors, {**Bridge.shapes(bands), **shapes})
    pan_mean = float(tensors["pan_mean"]) if "pan_mean" in tensors else 0.0
    columns = Columns(Base(network, Bridge.kept(tensors), scene.offset), scene.sensor, pan_mean)
    mix = None if weight is None or constant is None else Mix(weight, constant)
    fitted = Fitted(columns, None if kernel is None else Kernel(kernel), mix, _halo(columns, mix, scene))
    return _rescaled(fitted, tensors["deviations"], scene) if "deviations" in tensors else fitted


def _scaled_by_network(network: Network | None, kernel: Kernel | None) -> bool:
    """Whether features are in units of the bands' deviations in the scene, so that the kernel must be in them too.

    A network for any number of bands finds the scale of a scene itself; one for fixed bands is behind the bridge.
    """
    return kernel is not None and kernel.weight.ndim == 2 and network is not None and network.traits.bands is None


def _deviations(scene: SceneLike) -> Float[Tensor, " C"] | None:
    """Of the bands in a sample that is the same for every fit; None where nothing is valid."""
    sample = tiles(scene, SCALE_TILES, Generator().manual_seed(0))
    known = statistics(sample) if sample else None
    return None if known is None else known.std


def _rescaled(fitted: Fitted, before: Float[Tensor, " C"], scene: SceneLike) -> Fitted:
    """The fit in units of the bands' deviations in a scene, in place of those `before`."""
    now, kernel, mix = _deviations(scene), fitted.kernel, fitted.mix
    if now is None or kernel is None or mix is None:
        return fitted
    gain = torch.where((before > 0) & (now > 0), now / before, 1.0)
    return replace(
        fitted,
        kernel=Kernel(gain[:, None] * kernel.weight),
        mix=Mix(mix.weight, gain * mix.constant),
    )


def _solve(sample: Sample, settings: Settings, rng: Generator) -> _Solution:
    """The weights of a scene."""
    known, base = sample.known, sample.base.quick
    columns = Columns(base, sample.scene.sensor, known.statistics.pan_mean)
    below = replace(columns, base=base.below(sample.low))
    found = patches(sample.tiles, settings.patches, base.multiple, rng)
    # It takes as long as all that comes before its results are needed.
    seen = started(lambda patch: spectral(columns, *patch), found)
    made = together(lambda one: wald(below, one), sample.low)
    valid = [pixels(one.columns, one.keep) for one in made]
    every = torch.cat(valid, 2) if len(valid) > 1 else valid[0]
    learned = columns.learned(made[0].columns)
    scaling = Scaling.of(every, learned)
    # What is not finite in one pixel makes the mean so.
    if not all(bool(x.isfinite().all()) for x in (scaling.mean, *(one.residual for one in made))):
        raise NoFitError("the network's output on it is not finite")
    folds = halves(made, scaling)
    if min(fold.count for fold in folds) < FEWEST:
        counts = " and ".join(str(fold.count) for fold in folds)
        raise NoFitError(f"{counts} pixels for the two halves of the validation, less than {FEWEST}")
    none = Products(torch.zeros_like(folds[0].gram), 0)
    more = added([none, *together(lambda one: one.products(scaling), seen())])
    roles = columns.roles(len(every), every.shape[1])
    weights, ridge, left = _weights(
        folds, settings.kappa * more.mean, roles, _ridges(roles, learned, settings), known.variance
    )
    kernel, mix = _unscaled(weights * (known.variance > 0)[:, None], scaling, roles, learned)
    return _Solution(
        kernel=kernel,
        mix=mix,
        pan_mean=columns.pan_mean,
        probe=_probe(sample.tiles[0], base.multiple),
        ridge=_choices(settings)[ridge] if learned else None,
        left=left,
        equations=(folds[0].count + folds[1].count, more.count),
    )


def _choices(settings: Settings) -> tuple[float, ...]:
    return RIDGES if settings.ridge is None else (settings.ridge,)


def _ridges(roles: Roles, learned: int, settings: Settings) -> list[Float[Tensor, " k"]]:
    """The diagonal that is added to the equations, for each ridge to choose from."""
    choices = _choices(settings) if learned else (0.0,)
    count = roles.features.shape[1]
    fixed = torch.full((count,), settings.physics, dtype=torch.float64)
    fixed[-1] *= CONSTANT
    network = torch.arange(count) < learned
    return [torch.where(network, torch.full_like(fixed, ridge), fixed) for ridge in choices]


def _weights(
    folds: tuple[Products, Products],
    more: Float[Tensor, "g K K"],
    roles: Roles,
    ridges: Sequence[Float[Tensor, " k"]],
    variance: Float[Tensor, " C"],
) -> tuple[Float[Tensor, "C k"], int, float]:
    """Weights from all equations, the index of their ridge, and what the validation says of it."""
    judged = validate(folds, more, roles, ridges, variance)
    matrix, right, _ = roles.system((folds[0] + folds[1]).mean + more)
    weights = None if judged is None else solve(matrix, right, ridges[judged.ridge], roles.shared)
    if judged is None or weights is None:
        raise NoFitError("its equations have no finite solution")
    return weights, judged.ridge, judged.ratio


def _unscaled(weights: Float[Tensor, "C k"], scaling: Scaling, roles: Roles, learned: int) -> tuple[Tensor | None, Mix]:
    """The convolution of the network's features, and the map of physics features, without the scaling."""
    own, one = roles.features[:, :-1], roles.group[:, None]
    plain = weights[:, :-1] / scaling.scale[one, own]
    constant = weights[:, -1] - (plain * scaling.mean[one, own]).sum(1)
    if len(scaling.mean) > 1:
        return plain, Mix(plain[:, :0], constant)
    bands = len(weights)
    mixed = plain.new_zeros(bands, 1 + 2 * bands).scatter(1, own[:, learned:] - learned, plain[:, learned:])
    kernel = plain[:, :learned].unflatten(1, (-1, 3, 3)) if learned else None
    return kernel, Mix(mixed, constant)


def _halo(columns: Columns, mix: Mix | None, scene: Aligned) -> int:
    """MS pixels that an output pixel looks at."""
    if mix is not None and mix.weight.shape[1]:
        return scene.halo + max(columns.base.halo, _physics.reach(scene.grid, scene.sensor))
    return 0 if columns.base.network is None else scene.halo + columns.base.network.traits.halo


def _fitted(base: Base, solution: _Solution | None, scene: Aligned) -> tuple[Fitted, bool]:
    """The fuser; the convolution goes into the network's own head where that ends in one, which is told."""
    columns = Columns(base, scene.sensor, 0.0 if solution is None else solution.pan_mean)
    network, mix = base.network, None if solution is None else solution.mix
    halo = _halo(columns, mix, scene)
    if solution is None:
        return Fitted(columns, None, None, halo), False
    kernel = None if solution.kernel is None else Kernel(solution.kernel)
    fitted = Fitted(columns, kernel, mix, halo)
    if network is None or solution.kernel is None or solution.kernel.ndim != 4:
        return fitted, False
    bridge, probe = base.bridge, base.seen(solution.probe)
    inside = solution.kernel if bridge is None else bridge.gain[:, None, None, None] * solution.kernel
    changed = merged(network, inside, probe)
    if changed is None:
        return fitted, False
    base = replace(base, network=changed)
    return replace(fitted, columns=replace(columns, base=base), kernel=None), True


def _probe(tile: Pair, multiple: int) -> Pair:
    """A small part of a tile."""
    height, width = (min(n, -(-PROBE // multiple) * multiple) for n in tile.ms.shape[-2:])
    return cut(tile, Window(0, 0, height - height % multiple, width - width % multiple))
