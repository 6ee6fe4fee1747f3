"""Pairs and folders for the tests of loaders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from panloom.data import ProceduralScene, Recording, georeference, make
from panloom.data.pairs import Recorded
from panloom.optics.continuation import extend
from panloom.scene.saving import save


def pair_of(scene: ProceduralScene, name: str = "made") -> Recorded:
    """A procedural scene as a pair in memory."""
    cells = [n // scene.ratio for n in scene.pan.shape]
    rows, cols = (n * scene.ratio for n in cells)
    pan = torch.from_numpy(scene.pan[None, None, :rows, :cols].astype("float64"))
    ms = torch.from_numpy(scene.ms[None, :, : cells[0], : cells[1]].astype("float64"))
    pan_valid = torch.from_numpy(scene.pan_valid[None, None, :rows, :cols])
    ms_valid = torch.from_numpy(scene.ms_valid[None, None, : cells[0], : cells[1]])
    return Recorded(
        name=name,
        group=scene.sensor.name,
        sensor=scene.sensor,
        pan=extend(pan, pan_valid),
        ms=extend(ms, ms_valid.expand_as(ms)),
        truth=None,
        phase=scene.phase,
        ratio=scene.ratio,
        full_scale=float(scene.sensor.full_scale or 1),
        pan_valid=pan_valid,
        ms_valid=ms_valid,
    )


def with_truth(scene: ProceduralScene) -> Recorded:
    """A pair that came with its truth, whose PAN is the mean of the bands: so it tells where the truth lies."""
    truth = torch.from_numpy(scene.truth[None]).double()
    valid = torch.ones_like(truth[:, :1], dtype=torch.bool)
    full = float(scene.sensor.full_scale or 1)
    return Recorded(
        name="truth",
        group=scene.sensor.name,
        sensor=scene.sensor,
        pan=truth.mean(1, keepdim=True),
        ms=None,
        truth=truth,
        phase=(2.0, 2.0),
        ratio=scene.ratio,
        full_scale=full,
        pan_valid=valid,
        ms_valid=valid,
    )


def scene_files(folder: Path, name: str, *, seed: int = 0, size: tuple[int, int] = (128, 160), wedge: bool = False):
    """A procedural scene as two GeoTIFFs."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = make(*size, bands=4, seed=seed, wedge=wedge)
    where = georeference(scene)
    nodata = scene.nodata
    save(folder / f"{name}_pan.tif", scene.pan[None], crs=where.crs, transform=where.pan, nodata=nodata)
    save(folder / f"{name}_ms.tif", scene.ms, crs=where.crs, transform=where.ms, nodata=nodata)
    return scene


def manifest(folder: Path, *entries: object) -> None:
    (folder / "manifest.json").write_text(json.dumps(list(entries)), encoding="utf-8")


def npz(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def pixels(*shape: int, high: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, high, shape).astype("uint16")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ratio(number: int) -> Recording:
    return Recording(ratio=number)
