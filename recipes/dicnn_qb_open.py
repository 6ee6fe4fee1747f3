"""dicnn.qb-open: for quickbird, from free imagery only (`panloom.train.virtual`)."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Recipe, imitation


def recipe(data: Path | None) -> Recipe:
    """The recipe."""
    return imitation("dicnn", "quickbird", "qb-open", data)
