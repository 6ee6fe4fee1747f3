"""PanNet (Yang et al., ICCV 2017); settings of the comparison by Deng et al., IEEE GRSM 2022."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Adam, Recipe, Stairs, Supervised, patches


def recipe(data: Path | None) -> Recipe:
    """450 epochs of 32 patches at a constant rate."""
    given = patches(data, batch=32)
    return Recipe(
        network="pannet",
        options={"bands": given.bands, "ratio": given.ratio},
        source=given,
        objective=Supervised("mse"),
        steps=given.epochs(450),
        optimizer=Adam(1e-3),
        schedule=Stairs(),
        clip=10.0,
        card=given.card("pannet"),
    )
