"""What helps where a network works on another number of bands than a scene has: bands to name, or weights to take."""

from __future__ import annotations

from panloom import sensors, weights
from panloom.errors import MethodError, WeightsError
from panloom.run.resolve import parse
from panloom.scene import Scene
from panloom.weights import Card

#: Weights that are named, at most.
MOST = 4


def other_bands(method: str, need: int, scene: Scene) -> str:
    """Why a network cannot work on the bands of a scene, and what can be done.

    Args:
        method: its name.
        need: how many bands it works on.
        scene: with another number of bands.
    """
    card, tail = _weights_of(method)
    names = [band.name for band in scene.sensor.bands]
    named = f" ({weights.bands_in_words(card)})" if card and isinstance(card.bands, tuple) else ""
    told = f"{method} works on {need} bands{named}, and this scene has {len(names)}: {', '.join(names)}"
    chosen = mapping(card, scene) if card else None
    if need < len(names):
        told += f"; choose {need} of them: --bands {chosen}" if chosen else f"; choose {need} of them with --bands"
    own = card.network if card else ""
    fitting = sorted(_fitting(scene, adapted=not tail), key=lambda pair: pair[0].network != own)
    words = [f"{card.name}{tail}{f' (--bands {order})' if order else ''}" for card, order in fitting]
    if not words:
        return f"{told}; no weights here are for {len(names)} bands"
    more = f" and {len(words) - MOST} more (panloom weights list)" if len(words) > MOST else ""
    return f"{told}; for these: {', '.join(words[:MOST])}{more}"


def _weights_of(method: str) -> tuple[Card | None, str]:
    """The card of a method's weights, and what stands behind their name; a network that was made in Python has none."""
    try:
        found = parse(method)
    except MethodError:
        return None, ""
    return found.card, method.removeprefix(found.weights) if found.weights else ""


def mapping(card: Card, scene: Scene) -> str | None:
    """What `--bands` must say so that a scene gives the bands that weights name, in their order.

    Args:
        card: of the weights.
        scene: whose bands, where nobody knows what they are, are taken to be those of the weights in their order.

    Returns:
        None where the weights name no bands, or the scene has not all of them.
    """
    if not isinstance(card.bands, tuple):
        return None
    here = scene.sensor.bands
    if any(band.placeholder for band in here):
        same = len(here) == len(card.bands)
        return ",".join(f"{k}={name}" for k, name in enumerate(card.bands, 1)) if same else None
    meant = [sensors.band_named(scene.sensor, name) for name in card.bands]
    names = [band.name for band in meant if band is not None]
    return ",".join(names) if len(names) == len(meant) and set(names) <= {band.name for band in here} else None


def _fitting(scene: Scene, *, adapted: bool) -> list[tuple[Card, str]]:
    """Weights that are here and work on the bands of a scene, with what `--bands` must say first, if anything.

    Args:
        scene: to be fused.
        adapted: adapted weights count too.
    """
    names = [band.name for band in scene.sensor.bands]
    found: list[tuple[Card, str]] = []
    for name in weights.names():
        try:
            card = weights.card(name)
        except WeightsError:  # weights that cannot be used are no advice
            continue
        if card.band_count not in (None, len(names)) or scene.grid.ratio not in (card.ratios or [scene.grid.ratio]):
            continue
        order = mapping(card, scene)
        if (isinstance(card.bands, tuple) and order is None) or (card.adapted is not None and not adapted):
            continue
        found.append((card, "" if order in (None, ",".join(names)) else order))
    return found
