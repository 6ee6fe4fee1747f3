"""universal.open: the network for any sensor, from free imagery only.

Landsat-7 and Landsat-8 training pairs, EO-1 and Sentinel-2 images and drawn farmland, seen by virtual sensors. The
development pairs of `benchmarks/development.txt` are not learned from: progress is shown on them. --data gives the
folder of the data.
"""

from __future__ import annotations

from pathlib import Path

from panloom.data.splits import open_splits
from panloom.data.truths import open_truths, procedural_truths
from panloom.data.virtual import VirtualSensors
from panloom.errors import OptionError
from panloom.run.development import Watched
from panloom.train import Adam, Cosine, Development, Recipe, Supervised
from panloom.train.virtual import card

WATCHED = Path(__file__).resolve().parents[1] / "benchmarks" / "development.txt"


def recipe(data: Path | None) -> Recipe:
    """The recipe; `data` holds `pansharpening`, `hyperspectral` and `sentinel2`."""
    if data is None:
        raise OptionError("universal.open learns from a folder of free imagery: give it with --data")
    splits = open_splits(data, WATCHED)
    truths = [*open_truths(data, without=splits.names("development")), *procedural_truths(12)]
    return Recipe(
        network="universal",
        options={},
        source=VirtualSensors(truths),
        objective=Supervised("relative", border=6),
        steps=60_000,
        optimizer=Adam(2e-3, betas=(0.9, 0.98), weight_decay=1e-3),
        schedule=Cosine(warmup=100, final=0.01),
        clip=1.0,
        ema=0.999,
        development=Development(Watched(splits.watched()), every=3000),
        card=card("universal.open"),
    )
