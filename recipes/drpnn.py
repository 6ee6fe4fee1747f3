"""DRPNN (Wei et al., IEEE GRSL 2017); settings of the comparison by Deng et al., IEEE GRSM 2022."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Adam, Recipe, Stairs, Supervised, patches


def recipe(data: Path | None) -> Recipe:
    """500 epochs of 32 patches; the rate is halved every 60."""
    given = patches(data, batch=32)
    return Recipe(
        network="drpnn",
        options={"bands": given.bands},
        source=given,
        objective=Supervised("mse"),
        steps=given.epochs(500),
        optimizer=Adam(2e-4),
        schedule=Stairs(given.epochs(60), 0.5),
        clip=10.0,
        card=given.card("drpnn"),
    )
