"""fusionnet.wv2-open: for worldview-2, from free imagery only (`panloom.train.virtual`)."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Recipe, imitation


def recipe(data: Path | None) -> Recipe:
    """The recipe."""
    return imitation("fusionnet", "worldview-2", "wv2-open", data)
