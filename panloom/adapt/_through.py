"""`refit` inside of training: a pair is taken for a scene, and the network is fitted to it, differentiably.

The fit is that of `panloom.adapt.refit` for a network whose bands have features of their own, with the very equations:
columns in their deviations, the pair degraded once more, the MS that the pair came with, and the ridge that the
cross-validation chooses. Where that would keep the frozen output, so does this. The choice of the ridge has no slope;
the solution has, in the features of both resolutions, in the frozen output, and in the scaling. So features and head
can be learned for what the fit makes of them. The idea of a closed-form solver inside of a network that is trained:
Bertinetto et al., "Meta-learning with differentiable closed-form solvers", ICLR 2019.

All is made once: the features that the fitted image is made of also give the spectral equations. `refit` makes these
from patches of 32 x 32 MS pixels; of a pair that is not larger they are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.adapt._base import Base
from panloom.adapt._equations import Columns, Equations, Scaling, halves, seen_through
from panloom.adapt._fit import CONSTANT, RIDGES
from panloom.adapt._frame import FEWEST, Known, NoFitError, look
from panloom.adapt._ridge import Products, solve, validate
from panloom.adapt._sample import lowered
from panloom.adapt._sharpness import as_sharp
from panloom.adapt.refit import KAPPA, PHYSICS
from panloom.networks.universal import Universal
from panloom.pair import Pair
from panloom.types import Sensor


@dataclass(frozen=True)
class Terms:
    """Constants of the fit; see `panloom.adapt.refit.Refit`.

    Attributes:
        ridges: that the cross-validation chooses from.
        kappa: weight of the spectral equations.
        constant: ridge of the constant.
    """

    ridges: tuple[float, ...] = RIDGES
    kappa: float = KAPPA
    constant: float = CONSTANT * PHYSICS

    def diagonals(self, columns: int) -> list[Float[Tensor, " k"]]:
        """What is added to the equations of so many columns and a one, for each ridge."""
        return [torch.tensor([ridge] * columns + [self.constant], dtype=torch.float64) for ridge in self.ridges]


@dataclass(frozen=True)
class Weights:
    """What the fit adds to a pixel of each band: weights of features as they are, and a constant."""

    kernel: Float[Tensor, "C F"]
    constant: Float[Tensor, " C"]

    def __call__(self, features: Float[Tensor, "C F H W"]) -> Float[Tensor, "1 C H W"]:
        """The addition."""
        kernel, constant = self.kernel.to(features), self.constant.to(features)
        return (torch.einsum("cfhw,cf->chw", features, kernel) + constant[:, None, None])[None]


def fitted(network: Universal, pair: Pair, sensor: Sensor, terms: Terms) -> tuple[Tensor, Tensor]:
    """The frozen output on a pair and that of the network fitted to it; differentiable.

    Args:
        network: in training; as in `refit`, it is told of the pair, and of the degraded pair there.
        pair: one image.
        sensor: whose MTF.
        terms: of the fit.

    Returns:
        Two (1, C, H, W) images in the units of the pair; the same one where nothing can be fitted.
    """
    base = Base(network.informed([pair]), None)
    features = base.features(pair)
    assert features is not None
    frozen = base.image(features, pair)
    try:
        known = look(sensor, [pair])
        columns = Columns(base, sensor, known.statistics.pan_mean)
        return frozen, frozen + _solution(columns, pair, features, frozen, known, terms)(features)
    except NoFitError:
        return frozen, frozen


def _solution(
    columns: Columns, pair: Pair, features: Float[Tensor, "C F H W"], frozen: Tensor, known: Known, terms: Terms
) -> Weights:
    """The weights.

    Raises:
        NoFitError: the pair is too small, holds too little, or its equations have no finite solution.
    """
    low = lowered(pair, as_sharp([pair], columns.sensor), columns.base.multiple)
    if low is None or not bool(low.pair.valid.any()):
        raise NoFitError("it is too small, or holds too few valid pixels, to be degraded once more")
    base = columns.base.below([low])
    made = base.features(low.pair)
    assert made is not None
    count = made.shape[1]
    scaling = Scaling.of(made[:, :, low.pair.valid[0, 0]], count)
    folds = halves([Equations(made, low.truth - base.image(made, low.pair), low.pair.valid[0, 0])], scaling)
    if min(fold.count for fold in folds) < FEWEST:
        raise NoFitError(f"a half has less than {FEWEST} pixels")
    # Small systems in float64 are the processor's work, wherever the layers run.
    first, second, seen = (
        replace(part, gram=part.gram.cpu()) for part in (*folds, seen_through(columns, features, frozen, pair, scaling))
    )
    weights = _solved((first, second), terms.kappa * seen.mean, columns, known, terms.diagonals(count))
    kernel = weights[:, :-1] / scaling.scale.cpu()
    return Weights(kernel, weights[:, -1] - (kernel * scaling.mean.cpu()).sum(1))


def _solved(
    folds: tuple[Products, Products],
    more: Float[Tensor, "C K K"],
    columns: Columns,
    known: Known,
    ridges: list[Float[Tensor, " k"]],
) -> Float[Tensor, "C k"]:
    """The weights of scaled columns, with the ridge that is best on held-back pixels; 0 of constant bands."""
    roles, variance = columns.roles(len(more), len(ridges[0]) - 1), known.variance.cpu()
    with torch.no_grad():
        judged = validate(folds, more, roles, ridges, variance)
    matrix, right, _ = roles.system((folds[0] + folds[1]).mean + more)
    weights = None if judged is None else solve(matrix, right, ridges[judged.ridge])
    if weights is None:
        raise NoFitError("its equations have no finite solution")
    return weights * (variance > 0)[:, None]
