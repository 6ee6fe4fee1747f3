"""LAGNet (Jin et al., AAAI 2022), with its settings."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Adam, Recipe, Stairs, Supervised, patches


def recipe(data: Path | None) -> Recipe:
    """1000 epochs of 32 patches; a tenth of the rate after 500."""
    given = patches(data, batch=32)
    return Recipe(
        network="lagnet",
        options={"bands": given.bands},
        source=given,
        objective=Supervised("mse"),
        steps=given.epochs(1000),
        optimizer=Adam(1e-3),
        schedule=Stairs(given.epochs(500), 0.1),
        clip=10.0,
        card=given.card("lagnet"),
    )
