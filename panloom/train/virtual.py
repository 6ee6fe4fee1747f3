"""Recipes that learn from free imagery, seen by virtual sensors: for any sensor, or for one that is imitated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from panloom import sensors
from panloom.data.mixture import Mixture
from panloom.data.splits import DESCRIBED, open_splits
from panloom.data.truths import Truth, open_truths, procedural_truths
from panloom.data.virtual import Settings, VirtualSensors
from panloom.data.wald_examples import WaldExamples
from panloom.errors import OptionError
from panloom.networks import get
from panloom.train.objectives import Supervised
from panloom.train.recipe import Adam, Cosine, Development, Muon, Option, Recipe
from panloom.types import Sensor
from panloom.weights import Card

_DATA = "Landsat-7, Landsat-8, EO-1, Sentinel-2 (contains modified Copernicus Sentinel data) and drawn scenes"
_LIMITS = (
    "No pixel of the sensor itself was seen: bands, MTF and PAN are imitated from its data sheet. Other sensors: use "
    "universal. Radiometry far from a mean of .15 of the full scale was not seen."
)

#: Share of examples for any sensor that come from real pairs: Landsat with its own PAN; and the largest noise that is
#: added to their MS, in deviations of the band.
REAL, REAL_NOISE = 0.2, 0.03


def for_any_sensor(
    tag: str,
    options: Mapping[str, Option],
    data: Path | None,
    without: Collection[str],
    development: Development | None,
    steps: int,
) -> Recipe:
    """A recipe for `universal`.

    Args:
        tag: of the weights.
        options: of the network.
        data: folder of free imagery, see `panloom.data.open_truths`.
        without: names of pairs that are not learned from, because they are looked at.
        development: progress to show.
        steps: updates of the weights.

    Raises:
        OptionError: no data.
    """
    return Recipe(
        network="universal",
        options=options,
        source=_any_instrument(f"universal.{tag}", data, without),
        objective=Supervised("relative", border=6),
        steps=steps,
        optimizer=Muon(1.5e-3, weight_decay=1e-3),
        schedule=Cosine(warmup=100, final=0.01),
        clip=1.0,
        ema=0.999,
        development=development,
        card=Card(
            name=f"universal.{tag}",
            licence="Apache-2.0",
            ratios=(2, 3, 4, 5, 6, 7, 8),
            data=f"{_DATA}, seen by virtual sensors; Landsat pairs with their own PAN, degraded by Wald's protocol",
            limits=(
                "Ratios above 4 were rare in training. PAN and MS must fit to an MS pixel. Where the MTF gains that "
                "are told are far from those of the data (MS made by block means, for one) it may do worse than "
                "interpolation: it warns."
            ),
            cite=("panloom",),
            dtype="float16",
        ),
    )


def free_imagery(name: str, data: Path | None) -> Path:
    """The folder that a recipe was given.

    Args:
        name: of the weights.
        data: the folder; None: there was none.

    Raises:
        OptionError: so it was.
    """
    if data is None:
        raise OptionError(f"{name} learns from a folder of free imagery: give it with --data; {DESCRIBED}")
    return data


def _any_instrument(name: str, data: Path | None, without: Collection[str]) -> Mixture:
    """Virtual sensors, and a share of real ones: free pairs that were degraded, in both forms of Wald's protocol."""
    anything = VirtualSensors(_truths(name, data, without))
    pairs = open_splits(free_imagery(name, data), without).training(only_open=True)
    real = [WaldExamples(pairs, size=96, batch=1, form=form, noise=REAL_NOISE) for form in ("physical", "toolbox")]
    return Mixture([(anything, 1 - REAL), *((source, REAL / len(real)) for source in real)])


def _truths(name: str, data: Path | None, without: Collection[str]) -> list[Truth]:
    return [*open_truths(free_imagery(name, data), without=without), *procedural_truths(12)]


def imitated(name: str) -> Sensor:
    """A sensor of the registry with the bands that PAN can sharpen."""
    known = sensors.get(name)
    return replace(known, bands=tuple(band for band in known.bands if band.role == "sharpen"))


def instrument(name: str) -> Settings:
    """What is drawn for one instrument.

    A new instrument in every draw may be anything. Of a known one PAN is as sharp as its data sheet says, within a
    quarter; its response is nearly linear, and its bands hold little that the land's bands at these wavelengths do not;
    the images fit within a fraction of a pixel, and the truth is as sharp as bands are on their own grid. Most lands
    are real ones, which matters to a network that is less general than `universal`.
    """
    known = imitated(name)
    return Settings(
        sensor=known,
        batch=2,
        leaves=0.2,
        truth_gain=(0.2, 0.5, 1.0),
        pan_gain=(0.8 * known.pan.mtf_nyquist, 1.25 * known.pan.mtf_nyquist, 1.0),
        gamma=1.1,
        shift=(0.15, 0.6),
        haze=0.15,
        recorded=(0.0, 0.0, 0.0),
        gaps=0.0,
        odd=0.05,
    )


def imitation(network: str, sensor: str, tag: str, data: Path | None, without: Collection[str] = ()) -> Recipe:
    """A recipe for a network of fixed bands.

    Args:
        network: registry name.
        sensor: registry name of the sensor to imitate.
        tag: of the weights.
        data: folder of free imagery, see `panloom.data.open_truths`.
        without: names of pairs that are not learned from.

    Raises:
        OptionError: no data.
    """
    known = imitated(sensor)
    return Recipe(
        network=network,
        options={"bands": len(known.bands)},
        source=VirtualSensors(_truths(f"{network}.{tag}", data, without), instrument(sensor)),
        objective=Supervised("relative", border=6),
        steps=8_000,
        optimizer=Adam(1e-3),
        schedule=Cosine(warmup=100, final=0.01),
        clip=1.0,
        ema=0.999,
        card=Card(
            name=f"{network}.{tag}",
            licence="Apache-2.0",
            bands=tuple(band.name for band in known.bands),
            ratios=(known.ratio,),
            full_scale=known.full_scale,
            data=f"{_DATA}, seen by a virtual {sensor}",
            limits=_LIMITS,
            cite=get(network)(bands=len(known.bands)).traits.cite,
            dtype="float16",
        ),
    )
