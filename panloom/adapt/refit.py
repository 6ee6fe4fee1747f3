"""refit: the head of a network fitted to the scene in closed form, and the controls that need no network.

Ours; no publication. The scene is degraded once more by its own MTF at its true phase, so that its MS is a known truth
(Wald's protocol), and the fused scene itself must give the MS when it is seen through the MTF. Both are linear in the
weights of features, so a ridge regression finds these at once, without steps and learning rates:

    X = X0 + sum_f w_f F_f (3 x 3 neighbours) + a_b h + c_b h exp_b / P_low + d_b exp_b + constant
    minimise  mean (X(degraded scene) - MS)^2 + kappa mean (D(X) - MS)^2 + ridge sum w^2      for every band

with X0 the frozen output, F the features before the network's last layer, P_low = EXP(D(PAN)) and h = PAN - P_low.
The ridge of the network's features is chosen by cross-validation over a checkerboard of blocks, and the frozen output
is kept where that says that hardly anything is gained. What is added to the image from features is part of the head's
last convolution where the head ends in one, else a small convolution of its own; the image is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Generator, Tensor

from panloom.adapt._fit import Fitted, Report, Settings, fit, kept, restored
from panloom.adapt._frame import Options, Renormalise
from panloom.adapt._learned import Learned, told
from panloom.adapt._random import RandomFeatures
from panloom.adapt._registry import adapter, free_method
from panloom.errors import MethodError, OptionError
from panloom.networks import IMAGES, Network
from panloom.optics.alignment import aligned
from panloom.pair import Pair, SceneLike
from panloom.types import Traits

#: Weight of the spectral equations, ridge of physics features, and the error that may be left for a fit to be used.
#: Chosen on the development pairs (benchmarks/development.txt, all of `train`) by reduced-resolution ERGAS in both
#: forms of the protocol, with FusionNet, DiCNN, PanNet and PNN of other sensors, random features and none; see
#: docs/refit.md.
KAPPA, PHYSICS, GATE = 100.0, 0.01, 0.95

#: Tiles of 128 x 128 MS pixels, and patches of 32 x 32 MS pixels for the spectral equations.
TILES, PATCHES = 4, 4

#: MS pixels of halo said as long as no scene is known: physics features at ratio 4 and an MTF gain of 0.3.
USUAL_REACH = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class _FitToScene:
    """What the methods of this file share.

    Attributes:
        kappa: weight of the spectral equations beside those of the degraded scene.
        physics: ridge of the physics features.
        gate: share of the error of the frozen output (EXP where there is no trained network) that may be left on
            held-back pixels; 0 always keeps the frozen output.
        tiles: of 128 x 128 MS pixels that are looked at, at most.
        patches: of 32 x 32 MS pixels in these, for the spectral equations.
        ready: made by `prepare`.
    """

    kappa: float = KAPPA
    physics: float = PHYSICS
    gate: float = 1.0
    tiles: int = TILES
    patches: int = PATCHES
    ready: Fitted | None = field(default=None, metadata={"option": False})

    @property
    def fitted(self) -> Fitted:
        """What `prepare` made.

        Raises:
            MethodError: it was not called.
        """
        if self.ready is None:
            raise MethodError("call prepare(scene, rng) first: the fit is to a scene")
        return self.ready

    @property
    def halo(self) -> int:
        """MS pixels; those of the usual sensor before `prepare`."""
        return self.ready.halo if self.ready else USUAL_REACH

    @property
    def report(self) -> Report:
        """What `prepare` did.

        Raises:
            MethodError: it was not called, or the fit was made on another scene.
        """
        return told(self.fitted.report)

    def options(self, renormalise: Renormalise) -> Options:
        """For `fit`.

        Raises:
            OptionError: one that makes no sense.
        """
        return Options(self.tiles, self.gate, renormalise)

    def settings(self, ridge: float | None) -> Settings:
        """For `fit`.

        Raises:
            OptionError: one that makes no sense.
        """
        return Settings(ridge, self.kappa, self.physics, self.patches)

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        return self.fitted(pair)


@adapter("refit")
@dataclass(frozen=True, eq=False)
class Refit(_FitToScene):
    """A trained network whose head is fitted to the scene.

    Attributes:
        network: what is fitted; it is not changed.
        ridge: of the network's features, which have a deviation of 1; none: chosen by cross-validation.
        renormalise: bring the scene to the means and deviations of the training data, where they are known; auto: if
            the network errs less then on the scene degraded once more.
    """

    network: Network = field(metadata={"option": False})
    ridge: float | None = None
    renormalise: Renormalise = "auto"
    gate: float = field(default=GATE, kw_only=True)

    @property
    def traits(self) -> Traits:
        """Those of the network; the halo is known after `prepare`."""
        adapted = self.ready.columns.base.network if self.ready else None
        own = (adapted or self.network).traits
        halo = self.halo if self.ready else max(own.halo + 1, USUAL_REACH)
        return replace(own, halo=halo, additive=False)

    def prepare(self, scene: SceneLike, rng: Generator) -> Refit:
        """The network fitted to a scene; it reads at most 12 times `tiles` tiles of it.

        Raises:
            OptionError: an option that makes no sense.
        """
        options, settings = self.options(self.renormalise), self.settings(self.ridge)
        scene = aligned(scene)
        return replace(self, ready=fit(self.network.prepare(scene, rng), scene, options, settings, rng))

    def learned(self, scene: SceneLike) -> Learned:
        """What `prepare` fitted to a scene, or the frozen network.

        Raises:
            MethodError: `prepare` was not called.
        """
        network = self.fitted.columns.base.network
        assert network is not None
        return Learned(network, kept(self.fitted, scene))

    def restored(self, tensors: Mapping[str, Tensor], scene: SceneLike, rng: Generator) -> Refit:
        """Ready for a scene with what was learned on another one; see `panloom.adapt.Keeper`.

        Raises:
            MethodError: the tensors are not those of this network.
        """
        scene = aligned(scene)
        return replace(self, ready=restored(self.network.prepare(scene, rng), tensors, scene))


@free_method("regression")
@dataclass(frozen=True, eq=False)
class Regression(_FitToScene):
    """Physics features alone, added to EXP: a control of `refit` without any network."""

    @property
    def traits(self) -> Traits:
        """Facts for the machinery; the halo is known after `prepare`."""
        return Traits(halo=self.halo, cite=("panloom",))

    def prepare(self, scene: SceneLike, rng: Generator) -> Regression:
        """The regression of a scene.

        Raises:
            OptionError: an option that makes no sense.
        """
        return replace(self, ready=fit(None, aligned(scene), self.options("never"), self.settings(None), rng))


@free_method("random+refit")
@dataclass(frozen=True, eq=False)
class RandomRefit(_FitToScene):
    """`refit` on features of random, untrained layers: what a network must beat to have helped.

    Attributes:
        channels: of the features.
        ridge: of the features, which have a deviation of 1; none: chosen by cross-validation.
    """

    channels: int = 32
    ridge: float | None = None

    @property
    def traits(self) -> Traits:
        """Facts for the machinery; the halo is known after `prepare`."""
        return Traits(halo=self.halo, images=IMAGES, cite=("panloom",))

    def prepare(self, scene: SceneLike, rng: Generator) -> RandomRefit:
        """Layers drawn from `rng`, fitted to a scene.

        Raises:
            OptionError: an option that makes no sense.
        """
        if self.channels < 1:
            raise OptionError(f"random+refit needs 1 channel or more; given: {self.channels}")
        options, settings = self.options("always"), self.settings(self.ridge)
        network = RandomFeatures(len(scene.sensor.bands), self.channels, scene.grid.ratio, rng)
        return replace(self, ready=fit(network, aligned(scene), options, settings, rng))
