"""How a network came to be: what its card says about the training."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from panloom._version import __version__
from panloom.compute import processor_name
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
        "hardware": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        "threads": torch.get_num_threads(),
        "panloom": __version__,
        "torch": torch.__version__,
    }


def origin(recipe: Path, data: Path | None) -> dict[str, str]:
    """Where a training came from: the recipe's file, the hash of its text, panloom's commit, and the data it was given.

    A recipe that is no file of panloom's checkout has a `recipe_commit` of its own; commits are "" without git.
    """
    text = recipe.read_bytes()
    found = {"recipe": recipe.name, "recipe_sha256": hashlib.sha256(text).hexdigest(), "data": str(data)}
    (home, own), (elsewhere, other) = _checkout(Path(__file__).resolve()), _checkout(recipe.resolve())
    apart = {} if home and home == elsewhere else {"recipe_commit": other}
    return {**found, "commit": own, **apart}


def completed(card: Card, told: Mapping[str, Any]) -> Card:
    """A card with the facts of the run."""
    return replace(
        card,
        options=told["options"],
        recipe=card.recipe or told.get("recipe", ""),
        commit=_commits(told),
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


def _commits(told: Mapping[str, Any]) -> str:
    """Of panloom's code, and that of a recipe that is no part of it."""
    own = str(told.get("commit", ""))
    if "recipe_commit" not in told:
        return own
    other = f"at {told['recipe_commit']}" if told["recipe_commit"] else "in no repository"
    return f"{own or 'panloom ' + told['panloom']}; the recipe lies elsewhere, {other}"


def _checkout(file: Path) -> tuple[str, str]:
    """Folder and commit of the git checkout that tracks a file, "+" where files were changed; "" without one.

    A file that lies there and is not tracked, as an installed package in an environment, is no part of it.
    """
    commands = (
        ["ls-files", "--error-unmatch", file.name],
        ["rev-parse", "--show-toplevel"],
        ["rev-parse", "HEAD"],
        ["status", "--porcelain", "--untracked-files=no"],
    )
    try:
        _, top, commit, changed = (
            subprocess.run(
                ["git", *words], cwd=file.parent, capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
            for words in commands
        )
    except (OSError, subprocess.SubprocessError):
        return "", ""
    return top, commit + ("+" if changed else "")
