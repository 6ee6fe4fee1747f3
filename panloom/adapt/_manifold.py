"""Which few of many patches stand for all: farthest points along the manifold of their descriptors.

Published in the abstract of SWIFT (Xia et al., arXiv 2507.20311): sampling along the data manifold that takes the bias
out of farthest point sampling. Proposed, as nothing more is public: a graph of nearest neighbours, distances along it,
a weight for dense places, a guard against outliers, and a limit for each cluster. Ours: exact invariance to the order
of the samples, distances block by block, and the search along the graph that ends where another chosen point is nearer.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor
from torch.nn import functional

from panloom.adapt._selection import described
from panloom.compute import cut
from panloom.errors import OptionError
from panloom.networks import Network
from panloom.pair import Pair
from panloom.types import Window

#: How samples are chosen: corrected geodesic farthest points, plain geodesic farthest points, Euclidean farthest points
#: (the greedy solution of k-center), and chance.
Sampling = Literal["manifold", "fps", "k-center", "random"]

#: What a descriptor holds beside the statistics of the pair: features of it all, of its middle, or nothing.
Look = Literal["features", "crop", "statistics"]

#: Neighbours of each sample in the graph.
NEIGHBOURS = 10

#: Share of the variance that the principal components keep, and how many there are at most.
KEPT, COMPONENTS = 0.95, 32

#: Share of the samples that lie loneliest and are never chosen.
OUTLIERS = 0.01

#: Exponent of the density: 0 is plain farthest point sampling, 1 nearly samples the density.
POWER = 0.5

#: Clusters, and how much more than its share each may give.
CLUSTERS, EXCESS = 32, 1.5

#: Steps of Lloyd's algorithm.
LLOYD = 20

#: Rows of the matrix of distances that are in memory at once; 41 MB for 20 000 samples.
BLOCK = 256

#: Samples that stand for all in the discrepancy, at most.
COMPARED = 4096

#: Deviation of a column, over its size, below which it is rounding.
CONSTANT = 1e-9


@dataclass(frozen=True)
class Selection:
    """What was chosen, and how well it covers the rest. Distances are those of descriptors with deviation 1.

    Attributes:
        indices: of the chosen samples, in the order of choice.
        sampling: how.
        dimensions: principal components that were looked at.
        outliers: samples that could not be chosen, because they lie too far out or their descriptor is not finite.
        radius: largest distance of any sample to a chosen one.
        inner: the same without the loneliest hundredth, whatever the sampling.
        mmd: maximum mean discrepancy between the chosen and all, Gaussian kernel; 0: the same distribution.
    """

    indices: tuple[int, ...]
    sampling: Sampling
    dimensions: int
    outliers: int
    radius: float
    inner: float
    mmd: float


@torch.no_grad()
def describe(network: Network, pair: Pair, look: Look) -> Float[Tensor, " D"] | None:
    """What a pair looks like to a network: float64, no truth needed; None where no pixel is valid.

    Mean and deviation of each band, the mean slope of PAN, and mean and deviation of each feature over space, all over
    valid pixels.

    Args:
        network: whose features.
        pair: images in a batch count as one.
        look: how much the network looks at.
    """
    if not bool(pair.valid.any()):
        return None
    parts = [described(pair, Window(0, 0, *pair.ms.shape[-2:]), pair.valid)]
    if look != "statistics":
        seen = _middle(pair, network.traits.multiple) if look == "crop" else pair
        features = network.features(seen)
        # Features may be a few pixels larger than the image; where exactly pixels are missing matters little here.
        known = functional.interpolate(seen.valid.float(), size=features.shape[-2:]) > 0.5
        known = known.repeat_interleave(len(features) // len(known), 0)[:, 0]
        parts += _moments(features.transpose(0, 1)[:, known].double())
    return torch.cat(parts).cpu()


def _moments(values: Float[Tensor, "c n"]) -> tuple[Tensor, Tensor]:
    mean = values.mean(1)
    return mean, (values - mean[:, None]).square().mean(1).sqrt()


def _middle(pair: Pair, multiple: int) -> Pair:
    """The middle half of the rows and columns."""
    h, w = pair.ms.shape[-2:]
    height, width = (min(max(n // 2 - n // 2 % multiple, multiple), n) for n in (h, w))
    row, col = ((n - m) // 2 // multiple * multiple for n, m in ((h, height), (w, width)))
    return cut(pair, Window(row, col, height, width))


@torch.no_grad()
def select(
    descriptors: Float[Tensor, "n D"], count: int, sampling: Sampling, rng: Generator, *, power: float = POWER
) -> Selection:
    """A few samples that stand for all.

    The result does not depend on the order of the samples; of samples with one descriptor any may be taken. Only
    "random" draws from `rng`.

    Args:
        descriptors: one row for each sample; rows that are not finite are left out.
        count: how many; all where there are not more.
        sampling: how.
        rng: for chance.
        power: exponent of the density in "manifold", 0 to 1.

    Raises:
        OptionError: no descriptor is finite, or the count is less than 1.
    """
    usable = descriptors.isfinite().all(1).nonzero()[:, 0]
    if not len(usable) or count < 1:
        raise OptionError(f"{count} samples cannot be chosen from {len(usable)} with a finite descriptor")
    # Sums round differently in another order, so everything happens in the order of the descriptors themselves.
    order = usable[_sorted(descriptors[usable])]
    points = components(descriptors[order].double())
    around = _Around.of(points, min(NEIGHBOURS, len(points) - 1))
    count = min(count, len(points))
    guarded = around.guarded(count)
    kept = guarded if sampling == "manifold" else torch.ones_like(guarded)
    if sampling == "random":
        chosen = torch.randperm(len(points), generator=rng)[:count].tolist()
    else:
        chosen = _farthest(points, around, kept, count, sampling, power)
    near = nearest(points, points[chosen])
    return Selection(
        indices=tuple(order[chosen].tolist()),
        sampling=sampling,
        dimensions=points.shape[1],
        outliers=len(descriptors) - int(kept.sum()),
        radius=float(near.max()),
        inner=float(near[guarded].max()),
        mmd=discrepancy(points, points[chosen]),
    )


def _sorted(rows: Float[Tensor, "n D"]) -> Int[Tensor, " n"]:
    """The order of rows, first column first."""
    order = torch.arange(len(rows))
    for column in reversed(range(rows.shape[1])):
        order = order[rows[order, column].argsort(stable=True)]
    return order


def components(descriptors: Float[Tensor, "n D"]) -> Float[Tensor, "n d"]:
    """Columns brought to mean 0 and deviation 1, constant ones left out, on their principal components."""
    std, mean = torch.std_mean(descriptors, 0, correction=0)
    varies = std > CONSTANT * descriptors.abs().amax(0)
    scaled = (descriptors[:, varies] - mean[varies]) / std[varies]
    if not scaled.shape[1]:
        return descriptors.new_zeros(len(descriptors), 1)
    values, vectors = torch.linalg.eigh(scaled.T @ scaled / len(scaled))
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    share = values.cumsum(0) / values.sum()
    kept = min(int((share < KEPT).sum()) + 1, COMPONENTS, len(values))
    return scaled @ vectors[:, :kept]


def distances(one: Float[Tensor, "m d"], other: Float[Tensor, "n d"]) -> Float[Tensor, "m n"]:
    """Euclidean."""
    squares = one.square().sum(1)[:, None] + other.square().sum(1) - 2 * one @ other.T
    return squares.clamp(min=0).sqrt()


def nearest(points: Float[Tensor, "n d"], chosen: Float[Tensor, "m d"]) -> Float[Tensor, " n"]:
    """Distance of every point to the nearest chosen one."""
    return torch.cat([distances(block, chosen).amin(1) for block in points.split(BLOCK)])


def discrepancy(points: Float[Tensor, "n d"], chosen: Float[Tensor, "m d"]) -> float:
    """The maximum mean discrepancy of Gretton et al. (JMLR 2012); the width is the median distance of points.

    At most COMPARED points, evenly taken in the order they have, stand for all.
    """
    some = points[:: -(-len(points) // COMPARED)]
    few = some[:: -(-len(some) // (4 * BLOCK))]
    width = float(distances(few, few).median())
    if not width:
        return 0.0

    def likeness(one: Tensor, other: Tensor) -> float:
        blocks = (torch.exp(-0.5 * (distances(block, other) / width).square()).sum() for block in one.split(BLOCK))
        return float(sum(blocks)) / (len(one) * len(other))

    square = likeness(some, some) + likeness(chosen, chosen) - 2 * likeness(chosen, some)
    return math.sqrt(max(square, 0.0))


@dataclass(frozen=True)
class _Around:
    """The neighbourhood of every sample.

    Attributes:
        length: distances of the nearest neighbours, rising.
        index: which these are.
        total: sum of the distances to all samples.
    """

    length: Float[Tensor, "n k"]
    index: Int[Tensor, "n k"]
    total: Float[Tensor, " n"]

    @staticmethod
    def of(points: Float[Tensor, "n d"], count: int) -> _Around:
        """Of so many neighbours, block by block."""
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for first in range(0, len(points), BLOCK):
            rows = distances(points[first : first + BLOCK], points)
            own = torch.arange(len(rows))
            rows[own, first + own] = 0.0
            total = rows.sum(1)
            rows[own, first + own] = torch.inf
            length, index = rows.topk(count, largest=False)
            found.append((length, index, total))
        return _Around(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    @property
    def scale(self) -> Float[Tensor, " n"]:
        """Mean distance to the neighbours."""
        return self.length.mean(1) if self.length.shape[1] else torch.zeros(len(self.length), dtype=torch.float64)

    @property
    def density(self) -> Float[Tensor, " n"]:
        """Share of the samples that lie no less lonely: above 0, and 1 for the densest."""
        scale = self.scale
        return 1 - torch.searchsorted(scale.sort().values, scale) / len(scale)

    def guarded(self, count: int) -> Bool[Tensor, " n"]:
        """All samples but the loneliest, of which so many are left that `count` can be chosen."""
        n = len(self.length)
        few = n <= 2 * NEIGHBOURS
        dropped = 0 if few else min(math.ceil(OUTLIERS * n), n - count)
        kept = torch.ones(n, dtype=torch.bool)
        kept[self.scale.argsort(stable=True)[n - dropped :]] = False
        return kept


def _farthest(
    points: Float[Tensor, "n d"],
    around: _Around,
    kept: Bool[Tensor, " n"],
    count: int,
    sampling: Sampling,
    power: float,
) -> list[int]:
    """One after the other, from the medoid on, the sample that lies farthest from those chosen before."""
    start = int(torch.where(kept, around.total, torch.inf).argmin())
    corrected = sampling == "manifold"
    weight = around.density**power if corrected else torch.ones_like(around.total)
    groups = _clusters(points, kept, start) if corrected else torch.zeros(len(points), dtype=torch.long)
    sizes = torch.bincount(groups[kept], minlength=CLUSTERS).double()
    room = torch.ceil((EXCESS if corrected else 1.0) * count * sizes / sizes.sum() - 1e-9).long().tolist()
    paths = None if sampling == "k-center" else _Paths(around, kept)
    chosen, free, away = [start], kept.clone(), torch.full_like(around.total, torch.inf)
    while True:
        last, group = chosen[-1], int(groups[chosen[-1]])
        free[last] = False
        room[group] -= 1
        if not room[group]:
            free &= groups != group
        if len(chosen) == count:
            return chosen
        away = torch.minimum(away, (points - points[last]).norm(dim=1))
        far = away if paths is None else paths.lengths(last, away)
        chosen.append(int(torch.where(free, far * weight, -1.0).argmax()))


class _Paths:
    """Distances along the graph to the nearest chosen sample, as samples are chosen one by one."""

    def __init__(self, around: _Around, kept: Bool[Tensor, " n"]) -> None:
        n, k = around.index.shape
        self._first, self._to, self._far = _edges(around, kept) if k else ([0] * (n + 1), [], [])
        self._reached = [math.inf] * n
        self._lengths = torch.full((n,), torch.inf, dtype=torch.float64)

    def lengths(self, start: int, straight: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """With one more chosen sample; where no path leads to any of them, the straight distance.

        Dijkstra's search goes only where the new sample is nearer than the others, so all searches together cost
        little more than one.
        """
        reached, first, to, far = self._reached, self._first, self._to, self._far
        reached[start] = 0.0
        ahead, changed = [(0.0, start)], {start}
        while ahead:
            gone, here = heapq.heappop(ahead)
            if gone > reached[here]:
                continue
            for edge in range(first[here], first[here + 1]):
                there, length = to[edge], gone + far[edge]
                if length < reached[there]:
                    reached[there] = length
                    changed.add(there)
                    heapq.heappush(ahead, (length, there))
        numbers = sorted(changed)
        self._lengths[numbers] = torch.tensor([reached[i] for i in numbers], dtype=torch.float64)
        return torch.where(self._lengths.isfinite(), self._lengths, straight)


def _edges(around: _Around, kept: Bool[Tensor, " n"]) -> tuple[list[int], list[int], list[float]]:
    """The graph, both ways: where the edges of each sample begin in the list, where they lead, how long they are."""
    n, k = around.index.shape
    one, other = torch.arange(n).repeat_interleave(k), around.index.flatten()
    both = torch.cat([one * n + other, other * n + one])
    key, place = torch.unique(both, return_inverse=True)
    far = torch.full((len(key),), torch.inf, dtype=torch.float64)
    far = far.scatter_reduce(0, place, around.length.flatten().repeat(2), "amin")
    one, other = key // n, key % n
    inside = kept[one] & kept[other]
    one, other, far = one[inside], other[inside], far[inside]
    first = torch.searchsorted(one, torch.arange(n + 1))
    return first.tolist(), other.tolist(), far.tolist()


def _clusters(points: Float[Tensor, "n d"], kept: Bool[Tensor, " n"], start: int) -> Int[Tensor, " n"]:
    """The cluster of each sample by Lloyd's algorithm, from farthest points on; always the same."""
    seeds: list[int] = [start]
    away = (points - points[start]).norm(dim=1)
    while len(seeds) < min(CLUSTERS, int(kept.sum())):
        seeds.append(int(torch.where(kept, away, -1.0).argmax()))
        away = torch.minimum(away, (points - points[seeds[-1]]).norm(dim=1))
    centres = points[seeds]
    groups = _closest(points, centres)
    for _ in range(LLOYD):
        inside, members = groups[kept], points[kept]
        sizes = torch.bincount(inside, minlength=len(centres))[:, None]
        means = torch.zeros_like(centres).index_add(0, inside, members) / sizes.clamp(min=1)
        centres = torch.where(sizes > 0, means, centres)
        before, groups = groups, _closest(points, centres)
        if torch.equal(groups, before):
            break
    return groups


def _closest(points: Float[Tensor, "n d"], centres: Float[Tensor, "m d"]) -> Int[Tensor, " n"]:
    return torch.cat([distances(block, centres).argmin(1) for block in points.split(BLOCK)])


def wanted(share: float, have: int, fewest: int) -> int:
    """ceil(share * have), but not less than `fewest` where there are so many."""
    # 0.07 * 100 is a little more than 7.
    return min(max(math.ceil(round(share * have, 9)), fewest, 1), have)


def split(indices: Sequence[int], share: float, rng: Generator) -> tuple[list[int], list[int]]:
    """The chosen ones in two: to learn from, and a drawn share to judge by (one at least, where there are two)."""
    held = wanted(share, len(indices), 1) if len(indices) > 1 and share > 0 else 0
    drawn = set(torch.randperm(len(indices), generator=rng)[:held].tolist())
    learn = [n for k, n in enumerate(indices) if k not in drawn]
    return learn, [indices[k] for k in sorted(drawn)]
