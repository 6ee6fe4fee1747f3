"""How a result was made, as it stands in its tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath

from panloom.run.resolve import card_of
from panloom.types import Sensor, Window

METHOD, OPTIONS, SETTINGS, SEED = "PANLOOM_METHOD", "PANLOOM_OPTIONS", "PANLOOM_SETTINGS", "PANLOOM_SEED"
WEIGHTS = "PANLOOM_WEIGHTS_SHA256"

#: Keywords of `panloom.run.sharpen.sharpen` that say what is read and what bytes are written, with their defaults.
DEFAULTS: Mapping[str, object] = {
    "sensor": None,
    "bands": None,
    "sharpen_bands": None,
    "extent": "pan",
    "ms_shift": None,
    "align": False,
    "window": None,
    "bounds": None,
    "src_nodata": None,
    "edge": "fill",
    "format": "geotiff",
    "dtype": None,
    "nodata": None,
    "creation": None,
    "overviews": False,
    "precision": "auto",
}


def made_by(method: str, options: Mapping[str, object] | None, settings: Mapping[str, object]) -> dict[str, str]:
    """The tags of a method, its options and other keywords of `panloom.run.sharpen.sharpen`.

    Args:
        method: its name.
        options: of the method.
        settings: keywords; those that change nothing in the file (threads, ...), or have their default, are left out.

    >>> made = made_by("gs", {"gain": 2, "form": "x"}, {"extent": "ms", "bands": [3, "red"], "edge": "fill"})
    >>> [made[name] for name in (METHOD, OPTIONS, SETTINGS, SEED)]
    ['gs', 'form=x,gain=2', 'bands=3,red; extent=ms', '0']
    """
    said = {name: settings.get(name) for name in DEFAULTS}
    said = {name: value for name, value in said.items() if value not in (None, {}, DEFAULTS[name])}
    if isinstance(said.get("sensor"), str):
        said["sensor"] = PurePath(str(said["sensor"])).name  # equal files have equal tags wherever they lie
    card = card_of(method)
    return {
        METHOD: method,
        **({} if card is None else {WEIGHTS: card.sha256}),
        OPTIONS: ",".join(f"{name}={value}" for name, value in sorted((options or {}).items())) or "none",
        SETTINGS: "; ".join(f"{name}={_word(value)}" for name, value in said.items()) or "none",
        SEED: str(settings.get("seed", 0)),
    }


def _word(value: object) -> str:
    """A value as on the command line."""
    match value:
        case Sensor():
            return value.name
        case Window():
            return f"{value.row},{value.col},{value.height},{value.width}"
        case str():
            return value
        case float():
            return repr(value).removesuffix(".0")
        case Mapping():
            return ",".join(f"{name}={word}" for name, word in sorted(value.items()))
        case Iterable():
            return ",".join(map(_word, value))
    return str(value)
