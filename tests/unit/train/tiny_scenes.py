"""Small stand-ins for the data that recipes learn from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasters

from panloom.data import procedural

DEVELOPMENT = Path(__file__).resolve().parents[3] / "benchmarks" / "development.txt"


def tiny_scene(folder: Path, bands: int = 4) -> Path:
    """A user's folder: PAN of 112 x 112 pixels and MS, as GeoTIFFs."""
    folder.mkdir(parents=True, exist_ok=True)
    made = procedural.make(112, 112, sensor="worldview-3", bands=bands, wedge=False, seed=3)
    where = procedural.georeference(made)
    names = tuple(band.name for band in made.sensor.bands)
    pan, ms = (rasters.Place(*x.shape[-2:], p) for x, p in ((made.pan, where.pan), (made.ms, where.ms)))
    rasters.write(folder / "pan.tif", made.pan, pan, rasters.Says())
    rasters.write(folder / "ms.tif", made.ms, ms, rasters.Says(descriptions=names))
    return folder


def tiny_store(folder: Path) -> Path:
    """The layout of the free imagery: pairs with a manifest, the development pairs among them."""
    home = folder / "pansharpening"
    (home / "train").mkdir(parents=True)
    names = [line.split("#")[0].strip() for line in DEVELOPMENT.read_text(encoding="utf-8").splitlines()]
    facts = {
        "split": "train",
        "use": "open",
        "sensor": "Landsat-7",
        "ratio": 2,
        "bits": 8,
        "bands": ["B", "G", "R", "N"],
    }
    entries = []
    for seed, name in enumerate(["free_1", "free_2", *filter(None, names)]):
        made = procedural.make(256, 256, sensor="landsat-7", bands=4, wedge=False, seed=seed)
        np.savez(home / "train" / f"{name}.npz", pan=made.pan, ms=made.ms.transpose(1, 2, 0))
        entries.append({"name": name, **facts})
    (home / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder
