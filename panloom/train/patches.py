"""Patches to learn from, out of a file or folder of the user's: what the recipes of published networks run on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import Generator

from panloom.data.example import Example, Source
from panloom.data.pancollection import PanCollection
from panloom.data.scenes import read_folder
from panloom.data.wald_examples import WaldExamples
from panloom.errors import OptionError
from panloom.networks import get
from panloom.train.recipe import stream
from panloom.weights import Card

#: Patches in PanCollection's training set of WorldView-3: the length of an epoch where the data have none.
EPOCH = 9714

#: Rows and columns of a patch that is cut from scenes.
SIZE = 64

_LICENCE = "That of the training data: look there before you pass these weights on."


@dataclass(frozen=True)
class Patches:
    """A source, and what a recipe has to know of it.

    Attributes:
        data: file or folder.
        bands: of every patch.
        ratio: PAN pixels per MS pixel.
        batch: patches in one example.
        count: patches of an epoch.
        source: gives them.
    """

    data: str
    bands: int
    ratio: int
    batch: int
    count: int
    source: Source = field(repr=False)

    def __call__(self, rng: Generator) -> Example:
        """The next batch."""
        return self.source(rng)

    def epochs(self, count: int) -> int:
        """So many epochs in steps."""
        return count * -(-self.count // self.batch)

    def card(self, network: str) -> Card:
        """The card of a network that learned from them, called `network.own`."""
        return Card(
            name=f"{network}.own",
            licence=_LICENCE,
            bands=self.bands,
            ratios=(self.ratio,),
            data=self.data,
            limits="Trained on these data only: expect less on other sensors.",
            cite=get(network)(bands=self.bands).traits.cite,
        )


def patches(data: Path | None, *, batch: int) -> Patches:
    """Patches of 64 x 64 pixels as the toolbox of Deng et al. (IEEE GRSM 2022) has them, not turned.

    Args:
        data: an HDF5 file of PanCollection's layout, or a folder of scenes, which are degraded by Wald's protocol in
            the toolbox form; all of one number of bands and one ratio.
        batch: patches in one example.

    Raises:
        OptionError: no data, or data that differ in bands or ratio.
        SceneError: they cannot be read.
    """
    if data is None:
        raise OptionError("this recipe learns from your own data: give --data FILE.h5 or --data FOLDER of scenes")
    if data.is_dir():
        pairs = read_folder(data)
        kinds = {(sum(band.role == "sharpen" for band in p.sensor.bands), p.ratio) for p in pairs}
        if len(kinds) > 1:
            said = ", ".join(f"{bands} bands at ratio {ratio}" for bands, ratio in sorted(kinds))
            raise OptionError(f"{data} holds scenes of several kinds ({said}); this network learns one of them")
        source, count = WaldExamples(pairs, size=SIZE, batch=batch, form="toolbox", turn=False), EPOCH
    else:
        source = PanCollection(data, batch=batch, turn=False)
        count = len(source)
    first = source(stream(0, "look"))
    return Patches(str(data), first.truth.shape[1], first.pair.ratio, batch, count, source)
