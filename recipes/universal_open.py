"""universal.open: the network for any sensor, from free imagery only.

Landsat-7 and Landsat-8 training pairs, EO-1 and Sentinel-2 images and drawn farmland, seen by virtual sensors; a fifth
of the examples is Landsat with its own PAN. The development pairs of `benchmarks/development.txt` are not learned from:
progress is shown on them. Their ERGAS is told as a part of that of mtf-glp-cbd. --data gives the folder of the data.
"""

from __future__ import annotations

from pathlib import Path

from panloom.data.splits import open_splits
from panloom.run.development import Watched
from panloom.train import Development, Recipe, for_any_sensor, free_imagery

WATCHED = Path(__file__).resolve().parents[1] / "benchmarks" / "development.txt"


def recipe(data: Path | None) -> Recipe:
    """The recipe; `data` holds `pansharpening`, `hyperspectral` and `sentinel2`, see docs/data.md."""
    data = free_imagery("universal.open", data)
    splits = open_splits(data, WATCHED)
    looks = Development(Watched(splits.watched()), every=5000)
    return for_any_sensor("open", {}, data, splits.names("development"), looks, steps=50_000)
