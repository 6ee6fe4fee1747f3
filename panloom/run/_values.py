"""The values of a scene beside those that a network was adapted to: whether they can be in the same units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from torch import Generator

from panloom import weights
from panloom.adapt import statistics
from panloom.networks import SourceStatistics
from panloom.pair import Pair, SceneLike
from panloom.types import Tile, Window

#: Means of all bands together that differ by a larger factor are taken for other units. Land is rarely so much brighter
#: than other land in what a satellite records; snow beside water is, which the warning leaves to the reader.
FACTOR = 4.0

#: Parts of a scene that its mean is taken from, and MS pixels along their sides.
PARTS, SIDE = 8, 32


def values_of(scene: SceneLike, places: Iterable[Window]) -> SourceStatistics | None:
    """Means and deviations of places of a scene, in units of its full scale; None where nothing is valid.

    Args:
        scene: of any size.
        places: PAN pixels of the scene.
    """
    ratio = scene.grid.ratio
    return _values([scene.read(Tile(0, place, place.cells(ratio).clipped(*scene.grid.cells))) for place in places])


def other_units(card: weights.Card, scene: SceneLike, gain: float = 1.0) -> list[str]:
    """A warning where the values of a scene are in other units than those that weights were adapted to.

    Args:
        card: of adapted weights; without statistics nothing is told.
        scene: to be fused; some parts of it are read.
        gain: what its values are multiplied by to be in units of the card's full scale.
    """
    known = None if card.adapted is None else card.adapted.statistics
    here = known and _values(list(scene.sample(PARTS, SIDE, Generator().manual_seed(0))))
    if known is None or here is None:
        return []
    had, has = (factor * weights.mean_of_bands(one) for factor, one in ((1.0, known), (gain, here)))
    if min(had, has) <= 0 or max(had / has, has / had) <= FACTOR:
        return []
    full, times = card.full_scale or 1.0, has / had
    return [
        f"the mean of all bands is {weights.number_in_words(full * has)} here, and was "
        f"{weights.number_in_words(full * had)} where {card.name} was adapted: {_times(times)}, hardly the same units; "
        f"bring the scene to those (a scale, an offset), or adapt {card.parent} to this scene"
    ]


def _times(factor: float) -> str:
    return f"{factor:.3g} times as much" if factor > 1 else f"1/{1 / factor:.3g} of that"


def _values(pairs: Sequence[Pair]) -> SourceStatistics | None:
    known = statistics(pairs) if pairs else None
    if known is None or not math.isfinite(known.pan_mean):
        return None
    return SourceStatistics(tuple(known.mean.tolist()), tuple(known.std.tolist()), known.pan_mean, known.pan_std)
