"""FusionNet (Deng et al., IEEE TGRS 2021); settings of the comparison in IEEE GRSM 2022."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Adam, Recipe, Stairs, Supervised, patches


def recipe(data: Path | None) -> Recipe:
    """400 epochs of 32 patches at a constant rate."""
    given = patches(data, batch=32)
    return Recipe(
        network="fusionnet",
        options={"bands": given.bands},
        source=given,
        objective=Supervised("mse"),
        steps=given.epochs(400),
        optimizer=Adam(3e-4),
        schedule=Stairs(),
        clip=10.0,
        card=given.card("fusionnet"),
    )
