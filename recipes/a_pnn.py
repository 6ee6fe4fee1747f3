"""A-PNN (Scarpa, Vitale and Cozzolino, IEEE TGRS 2018): its loss, l1, with PNN's other settings."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Recipe, Sgd, Stairs, Supervised, patches


def recipe(data: Path | None) -> Recipe:
    """12 000 epochs of 64 patches, SGD; padded borders do not count."""
    given = patches(data, batch=64)
    return Recipe(
        network="a-pnn",
        options={"bands": given.bands},
        source=given,
        objective=Supervised("l1", border=8),
        steps=given.epochs(12000),
        optimizer=Sgd(1e-4 * 17**2 * given.bands, momentum=0.9),
        schedule=Stairs(),
        clip=10.0,
        card=given.card("a-pnn"),
    )
