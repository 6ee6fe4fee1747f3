"""Whether a method fits a scene, and what came of fitting it, in words."""

from __future__ import annotations

from panloom import sensors, weights
from panloom.adapt import Applied, Report
from panloom.compute import Tuned
from panloom.errors import MethodError
from panloom.pair import Fuser
from panloom.run._bands import other_bands
from panloom.run._default import ANY_RATIO, DEFAULT
from panloom.run._units import InUnits
from panloom.run._values import other_units
from panloom.run.resolve import card_of, parse, trained_ratios
from panloom.scene import Scene

#: MTF gains that differ by no more are the same.
SAME_GAIN = 0.01


def check_fits(fuser: Fuser, method: str, scene: Scene, full_scale: float | None = None) -> Fuser:
    """The fuser, if it works at the scene's ratio and number of bands; adapted weights in the units they were made in.

    Args:
        fuser: as it was resolved.
        method: its name.
        scene: to be fused.
        full_scale: the DN that is 1 in the scene; None: as the scene says.

    Raises:
        MethodError: it does not.
    """
    traits, grid = fuser.traits, scene.grid
    ratios = trained_ratios(method) if traits.ratios is None else traits.ratios
    if ratios is not None and grid.ratio not in ratios:
        raise MethodError(
            f"{method} works at ratio {', '.join(map(str, ratios))}, and this scene has ratio {grid.ratio}; "
            f"{_other_ratios(grid.ratio)}{ANY_RATIO} works at any"
        )
    if traits.bands is not None and len(scene.sensor.bands) != traits.bands:
        raise MethodError(other_bands(method, traits.bands, scene))
    card = card_of(method) if isinstance(fuser, Applied) else None
    full_scale = full_scale or scene.units.full_scale
    if card is None or card.full_scale in (None, full_scale):
        return fuser
    return InUnits(fuser, full_scale / card.full_scale)


def _other_ratios(ratio: int) -> str:
    """The default, where it works at the ratio of a scene."""
    known = trained_ratios(DEFAULT) if DEFAULT in weights.names() else None
    if known is None or ratio not in known:
        return ""
    return f"the network {DEFAULT} works at ratio {min(known)} to {max(known)}, "


def beyond_training(fuser: Fuser, method: str, scene: Scene) -> tuple[list[str], list[str]]:
    """What the card of a method's weights did not foresee in a scene: notes where an adapter fits them to it, warnings.

    Args:
        fuser: as it was resolved.
        method: its name.
        scene: that `check_fits` let pass.
    """
    card = card_of(method)
    if card is None:
        return [], []
    found: list[str] = []
    if card.ratios is not None and scene.grid.ratio not in card.ratios:
        trained = ", ".join(map(str, card.ratios))
        found.append(f"{card.name} was trained at ratio {trained}, and this scene has ratio {scene.grid.ratio}")
    if fuser.traits.bands is not None and not _same_bands(card, scene):
        have = ", ".join(band.name for band in scene.sensor.bands)
        found.append(
            f"{card.name} was trained on the bands {weights.bands_in_words(card)}, and is given {have} in their place; "
            "--bands names and orders them"
        )
    if card.adapted is not None:
        found += _other_optics(card.name, card.adapted, scene)
        found += other_units(card, scene, fuser.gain if isinstance(fuser, InUnits) else 1.0)
        if card.adapted.decision != "adapted":
            found.append(f"{card.name} is {card.parent} as it was: the gate refused the fit that it was made for")
    return (found, []) if parse(method).adapters else ([], found)


def _other_optics(name: str, made: weights.Adapted, scene: Scene) -> list[str]:
    """A warning where the MTF of a scene is not that of the scene that weights were adapted to."""
    gains = [band.mtf_nyquist for band in scene.sensor.bands]
    if len(gains) != len(made.mtf) or max(abs(a - b) for a, b in zip(gains, made.mtf, strict=True)) <= SAME_GAIN:
        return []
    had, has = (", ".join(f"{gain:.3g}" for gain in some) for some in (made.mtf, gains))
    unknown = ", or name the sensor (--sensor)" if scene.sensor.name == "generic" else ""
    return [
        f"{name} was adapted to {made.sensor}, whose MTF gains are {had}, and this scene is of {scene.sensor.name}, "
        f"with {has}: adapt its parent to this scene{unknown}"
    ]


def _same_bands(card: weights.Card, scene: Scene) -> bool:
    """Whether the bands of a card, where it names any, are those of the scene, by whatever name."""
    if not isinstance(card.bands, tuple):
        return True
    meant = [sensors.band_named(scene.sensor, name) for name in card.bands]
    return [band and band.name for band in meant] == [band.name for band in scene.sensor.bands]


def fit_of(fuser: Fuser) -> Report | None:
    """What the fit of a prepared method to its scene did; None for a method that fits nothing."""
    inner = fuser.fuser if isinstance(fuser, Tuned) else fuser
    report = getattr(inner, "report", None)
    return report if isinstance(report, Report) else None


def fit_in_words(fuser: Fuser) -> list[str]:
    """Whether a prepared method uses its fit to the scene; nothing for a method that fits nothing."""
    report = fit_of(fuser)
    if report is None:
        return []
    if report.decision != "adapted":
        inner = fuser.fuser if isinstance(fuser, Tuned) else fuser
        instead = "interpolated MS" if not hasattr(inner, "network") else "the network as it is"
        instead += ", in the values of its training data" if report.renormalised else ""
        return [f"the fit to the scene is not used, but {instead}: {report.reason}"]
    left = "" if report.validated is None else f": on held-back pixels {report.validated:.3f} of the error is left"
    return [f"the fit to the scene is used{left}"]
