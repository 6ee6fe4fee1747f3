"""universal.open-fit: the network for any sensor, made to be fitted to the scene (`+refit`); from free imagery only.

Every example is taken for a scene: the network is fitted to it as `refit` does it, without its truth, and judged on it,
and the layers are learned through that fit. The data are those of universal.open. This is a second school: begin with
its weights, or others of that shape (--init). --data gives the folder of the data.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from panloom.adapt.refit import Refit
from panloom.data.splits import open_splits
from panloom.networks import Network
from panloom.run.development import Watched
from panloom.train import Development, Muon, Recipe, Refitted, for_any_sensor, free_imagery

WATCHED = Path(__file__).resolve().parents[1] / "benchmarks" / "development.txt"


def recipe(data: Path | None) -> Recipe:
    """The recipe; `data` holds `pansharpening`, `hyperspectral` and `sentinel2`, see docs/data.md."""
    data = free_imagery("universal.open-fit", data)
    splits = open_splits(data, WATCHED)
    watched = Watched(splits.watched())

    def scores(net: Network) -> dict[str, float]:
        fitted = watched(Refit(net, gate=math.inf))
        return {**watched(net), **{f"refit/{name}": score for name, score in fitted.items()}}

    looks = Development(scores, every=2000)
    made = for_any_sensor("open-fit", {}, data, splits.names("development"), looks, steps=20_500)
    # Weights that are good already are moved with care, and their mean is taken over more steps.
    return replace(made, objective=Refitted(), optimizer=Muon(1e-3, weight_decay=1e-3), ema=0.9995)
