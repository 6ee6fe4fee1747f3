"""Ridge regression of all bands from sums of products; those of a tile in its type, all that follows in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from panloom.compute import together

#: Columns whose products with all that follow are made at once: of the other half, which is the same, little is made.
STRIP = 80


@dataclass(frozen=True)
class Products:
    """Sums of products of the columns of some equations: features, a one, and residuals, in that order.

    Attributes:
        gram: one matrix, or one for each band.
        count: equations.
    """

    gram: Float[Tensor, "g K K"]
    count: int

    @staticmethod
    def of(columns: Float[Tensor, "g K n"], more: Float[Tensor, "g M n"]) -> Products:
        """Of n equations whose columns lie in two tensors."""
        count = columns.shape[1]
        strips = (columns[:, k : k + STRIP] @ columns[:, k:].transpose(1, 2) for k in range(0, count, STRIP))
        upper = torch.cat([functional.pad(strip, (count - strip.shape[2], 0)) for strip in strips], 1)
        own, beside, rest = upper.triu() + upper.triu(1).mT, columns @ more.mT, more @ more.mT
        gram = torch.cat([torch.cat([own, beside], 2), torch.cat([beside.mT, rest], 2)], 1)
        return Products(gram.double(), columns.shape[2])

    def __add__(self, other: Products) -> Products:
        """Those of both sets of equations."""
        return Products(self.gram + other.gram, self.count + other.count)

    @property
    def mean(self) -> Float[Tensor, "g K K"]:
        """Mean products; 0 where there is no equation."""
        return self.gram / max(self.count, 1)


@dataclass(frozen=True)
class Roles:
    """Which columns serve which band.

    Attributes:
        group: of each band, its matrix in `Products`.
        features: of each band, its columns, the one among them.
        target: of each band, the column of its residual.
    """

    group: Int[Tensor, " C"]
    features: Int[Tensor, "C k"]
    target: Int[Tensor, " C"]

    @property
    def shared(self) -> int:
        """Columns in front that serve all bands out of one matrix."""
        if len(self.group) < 2 or bool((self.group != self.group[0]).any()):
            return 0
        return int((self.features == self.features[0]).all(0).long().cumprod(0).sum())

    def system(self, mean: Float[Tensor, "g K K"]) -> tuple[Tensor, Tensor, Tensor]:
        """Of each band: the matrix (C, k, k), the right side (C, k), and the mean square of its residual (C,)."""
        own = mean[self.group]
        band = torch.arange(len(self.target))
        rows = own[band[:, None], self.features]
        matrix = rows.gather(2, self.features[:, None].expand(-1, self.features.shape[1], -1))
        right = rows.gather(2, self.target[:, None, None].expand(-1, self.features.shape[1], 1))[..., 0]
        return matrix, right, own[band, self.target, self.target]


def solve(
    matrix: Float[Tensor, "C k k"], right: Float[Tensor, "C k"], ridge: Float[Tensor, " k"], shared: int = 0
) -> Float[Tensor, "C k"] | None:
    """(matrix + diag(ridge)) w = right for every band; None where that has no finite solution.

    Args:
        matrix: symmetric.
        right: its right side.
        ridge: what is added to the diagonal.
        shared: so many rows and columns are the same in all matrices, in front; their factor is made once.
    """
    matrix, right = matrix + torch.diag(ridge), right[..., None]
    if not shared:
        weights = _definite(matrix, right)
        return None if weights is None else _finite(weights[..., 0])
    bands, count = matrix.shape[:2]
    # Elimination by blocks: what is shared, seen by the other columns and the right side of every band.
    others = torch.cat([matrix[:, :shared, shared:], right[:, :shared]], 2)
    solved = _definite(matrix[0, :shared, :shared], others.transpose(0, 1).flatten(1))
    if solved is None:
        return None
    solved = solved.unflatten(1, (bands, -1)).transpose(0, 1)
    left = torch.cat([matrix[:, shared:, shared:], right[:, shared:]], 2) - others[..., :-1].transpose(1, 2) @ solved
    own = _definite(left[..., :-1], left[..., -1:])
    if own is None:
        return None
    first = solved[..., -1:] - solved[..., : count - shared] @ own
    return _finite(torch.cat([first, own], 1)[..., 0])


def _definite(matrix: Tensor, right: Tensor) -> Tensor | None:
    """The solution of positive definite systems; None where some are not."""
    factor, fault = torch.linalg.cholesky_ex(matrix)
    return None if bool(fault.any()) else torch.cholesky_solve(right, factor)


def _finite(weights: Tensor) -> Tensor | None:
    return weights if bool(weights.isfinite().all()) else None


@dataclass(frozen=True)
class Validated:
    """A ridge that was judged on equations that took no part in the fit.

    Attributes:
        ridge: the index of the best one.
        ratio: root mean square of what is left after the fit over that before it.
    """

    ridge: int
    ratio: float


def validate(
    folds: Sequence[Products],
    more: Float[Tensor, "g K K"],
    roles: Roles,
    ridges: Sequence[Float[Tensor, " k"]],
    variance: Float[Tensor, " C"],
) -> Validated | None:
    """Cross-validation: each fold is predicted from the others, with every ridge; bands count by their variance.

    Args:
        folds: equations, two sets or more.
        more: mean products of equations that take part in every fit.
        roles: of the columns.
        ridges: to choose from.
        variance: of each band; one of variance 0 does not count.

    Returns:
        None where some fit has no finite solution or there is nothing to explain.
    """
    share = torch.where(variance > 0, 1 / torch.where(variance > 0, variance, 1.0), 0.0)

    def left(k: int) -> tuple[Tensor, Tensor] | None:
        """What one fold leaves with each ridge, and without a fit."""
        rest = [fold for j, fold in enumerate(folds) if j != k]
        matrix, right, _ = roles.system(sum(rest[1:], rest[0]).mean + more)
        square, cross, power = roles.system(folds[k].gram)
        after: list[Tensor] = []
        for ridge in ridges:
            weights = solve(matrix, right, ridge, roles.shared)
            if weights is None:
                return None
            fitted = torch.einsum("ci,cij,cj->c", weights, square, weights) - 2 * (weights * cross).sum(1)
            after.append(share @ (fitted + power))
        return torch.stack(after), share @ power

    found = [one for one in together(left, range(len(folds))) if one is not None]
    after, before = (sum(each, torch.zeros(())) for each in zip(*found, strict=True)) if found else (None, None)
    if len(found) < len(folds) or after is None or before is None or not float(before) > 0:
        return None
    best = int(after.argmin())
    return Validated(best, max(float(after[best] / before), 0.0) ** 0.5)


def checkerboard(height: int, width: int) -> Bool[Tensor, "h w"]:
    """Two sets of square blocks: an eighth of the shorter side, 8 pixels at least."""
    block = max(min(height, width) // 8, 8)
    rows, cols = torch.arange(height) // block, torch.arange(width) // block
    return (rows[:, None] + cols) % 2 == 0
