"""PNN (Masi et al., Remote Sensing 2016); settings of the comparison by Deng et al., IEEE GRSM 2022."""

from __future__ import annotations

from pathlib import Path

from panloom.train import Recipe, Sgd, Stairs, Supervised, patches


def recipe(data: Path | None) -> Recipe:
    """12 000 epochs of 64 patches, SGD at a rate that grows with the bands; padded borders do not count."""
    given = patches(data, batch=64)
    return Recipe(
        network="pnn",
        options={"bands": given.bands},
        source=given,
        objective=Supervised("mse", border=8),
        steps=given.epochs(12000),
        optimizer=Sgd(1e-4 * 17**2 * given.bands, momentum=0.9),
        schedule=Stairs(),
        clip=10.0,
        card=given.card("pnn"),
    )
