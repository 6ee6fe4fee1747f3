"""How a network came to be: what its card says about the training."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from panloom._version import __version__
from panloom.networks import SourceStatistics
from panloom.pair import Pair
from panloom.train.recipe import Recipe
from panloom.train.run import Run
from panloom.weights import Card

#: Images that the statistics of the training data are taken from, and batches that are drawn for them at most.
_IMAGES, _DRAWS = 128, 32


def facts(recipe: Recipe, run: Run, seconds: float, device: torch.device) -> dict[str, object]:
    """Recipe, time, hardware and versions.

    Args:
        recipe: what was learned.
        run: how.
        seconds: of training, over all sittings, looks at the development data left out.
        device: what computed.
    """
    return {
        "network": recipe.network,
        "options": dict(recipe.options),
        "settings": recipe.settings(),
        "steps": recipe.steps,
        "seed": recipe.seed,
        **run.origin,
        "init": None if run.init is None else str(run.init),
        "seconds": round(seconds, 1),
        "hardware": hardware(device),
        "threads": torch.get_num_threads(),
        "panloom": __version__,
        "torch": torch.__version__,
    }


def origin(recipe: Path, data: Path | None) -> dict[str, str]:
    """Where a recipe came from: its file, the hash of its text, the code's commit, and the data it was given."""
    text = recipe.read_bytes()
    found = {"recipe": recipe.name, "recipe_sha256": hashlib.sha256(text).hexdigest(), "data": str(data)}
    return {**found, "commit": commit(recipe.resolve().parent)}


def completed(card: Card, told: Mapping[str, Any]) -> Card:
    """A card with the facts of the run."""
    return replace(
        card,
        options=told["options"],
        recipe=card.recipe or told.get("recipe", ""),
        commit=told.get("commit", ""),
        seconds=max(told["seconds"], 0.1),
        hardware=f"{told['hardware']}, {told['threads']} threads",
    )


def statistics(recipe: Recipe) -> SourceStatistics | None:
    """Means and deviations of the first examples; None where their bands are not always the same number."""
    batches: list[Pair] = []
    while len(batches) < _DRAWS and sum(len(pair.ms) for pair in batches) < _IMAGES:
        batches.append(recipe.draw(len(batches)).pair)
        if batches[-1].ms.shape[1] != batches[0].ms.shape[1]:
            return None
    ms = torch.cat([pair.ms.transpose(0, 1).flatten(1) for pair in batches], 1).double()
    pan = torch.cat([pair.pan.flatten() for pair in batches]).double()
    mean, std = (tuple(value.tolist()) for value in (ms.mean(1), ms.std(1)))
    return SourceStatistics(mean, std, float(pan.mean()), float(pan.std()))


def hardware(device: torch.device) -> str:
    """The model of the processor or GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        named = [line for line in listed.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        if named:
            return named[0].partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit(folder: Path) -> str:
    """The git commit that a folder is at, "+" behind it where files were changed; "" without git."""
    try:
        told = [
            subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=20).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    return told[0].strip() + ("+" if told[1].strip() else "")
