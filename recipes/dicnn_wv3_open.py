"""dicnn.wv3-open: for worldview-3, from free imagery only (`panloom.train.virtual`)."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Recipe, imitation


def recipe(data: Path | None) -> Recipe:
    """The recipe."""
    return imitation("dicnn", "worldview-3", "wv3-open", data)
