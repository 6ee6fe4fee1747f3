"""DiCNN (He et al., IEEE JSTARS 2019); settings of the comparison by Deng et al., IEEE GRSM 2022."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Adam, Recipe, Stairs, Supervised, patches


def recipe(data: Path | None) -> Recipe:
    """1000 epochs of 64 patches; the rate is halved every 200."""
    given = patches(data, batch=64)
    return Recipe(
        network="dicnn",
        options={"bands": given.bands},
        source=given,
        objective=Supervised("mse"),
        steps=given.epochs(1000),
        optimizer=Adam(2e-4),
        schedule=Stairs(given.epochs(200), 0.5),
        clip=10.0,
        card=given.card("dicnn"),
    )
