"""What a file name says: PAN or MS, and of which scene. Pure functions of the path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import Literal

Role = Literal["pan", "ms", "aside", "unknown"]

_WORDS: dict[str, Role] = {
    "pan": "pan",
    "panc": "pan",
    "panchro": "pan",
    "panchromatic": "pan",
    "ms": "ms",
    "mss": "ms",
    "mul": "ms",
    "multi": "ms",
    "multispectral": "ms",
    "xs": "ms",
}

#: These count only where no word does, because single letters stand for many things.
_LETTERS: dict[str, Role] = {"p": "pan", "m": "ms"}

# GaoFen numbers its cameras: PAN1 belongs to MSS1.
_NUMBERED = re.compile(r"([a-z]+)(\d?)")

# Maxar: P1BS is PAN and M1BS is MS of level 1B, cut as a strip.
_MAXAR = re.compile(r"([pm])(\d[a-z]{2})")

# Airbus: PAN and MS of one second share satellite and time; the numbers of order and product differ.
_AIRBUS = re.compile(
    r"IMG_(?P<satellite>PHR1[AB]|SPOT[67]|PNEO\d)_(?:STD_)?"
    r"(?:(?P<word>P|MS|MS-FS)_(?P<time>\d{12,17})|(?P<late>\d{12,17})_(?P<role>P|PAN|MS|MS-FS))(?:_|$)",
    re.IGNORECASE,
)
_AIRBUS_CUT = re.compile(r"_(R\d+C\d+)$", re.IGNORECASE)
_AIRBUS_GROUP = re.compile(r"_(RGB|NED)(?:_R\d+C\d+)?$", re.IGNORECASE)

_LANDSAT = re.compile(r"(?P<scene>L[CEO]0?[789].*?)_(?P<band>B\d+(?:_VCID_\d)?|B?QA\w*|[SV][AZ]A)", re.IGNORECASE)
_ALI = re.compile(r"(?P<scene>EO1A.*?)_B(?P<band>\d+)_(?P<level>L1\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class Label:
    """What a path says.

    Attributes:
        role: "aside": belongs to a scene and is neither PAN nor MS (thermal and quality bands).
        scene: equal for the files of one scene; small letters.
        name: of the scene, for its output.
        part: place among several MS files of a scene; "" where MS is one file.
    """

    role: Role
    scene: str
    name: str
    part: str = ""


def label(path: PurePath) -> Label:
    """The label of a path, which is relative to the folder that was searched.

    >>> label(PurePath("town/scene1_PAN.tif"))
    Label(role='pan', scene='town/scene1', name='town_scene1', part='')
    """
    return _landsat(path) or _ali(path) or _airbus(path) or _worded(path)


def _landsat(path: PurePath) -> Label | None:
    found = _LANDSAT.fullmatch(path.stem)
    if found is None:
        return None
    band, folder = found["band"].upper(), path.parent
    where = (_scene((*folder.parts, found["scene"])), _name((*folder.parts, found["scene"])))
    if band == "B8":
        return Label("pan", *where)
    return Label("ms", *where, band) if re.fullmatch("B[1-7]", band) else Label("aside", *where)


def _ali(path: PurePath) -> Label | None:
    found = _ALI.fullmatch(path.stem)
    if found is None:
        return None
    parts = (*path.parent.parts, f"{found['scene']}_{found['level']}")
    band = int(found["band"])
    # Band 1 is PAN in the files of the Advanced Land Imager.
    return Label("pan" if band == 1 else "ms", _scene(parts), _name(parts), "" if band == 1 else f"B{band:02}")


def _airbus(path: PurePath) -> Label | None:
    """Wherever the files lie: every order has its own folders."""
    found = _AIRBUS.match(path.stem)
    if found is None:
        return None
    cut, group = _AIRBUS_CUT.search(path.stem), _AIRBUS_GROUP.search(path.stem)
    pieces = [found["satellite"], found["time"] or found["late"], *(cut.groups() if cut else ())]
    name = "_".join(pieces).upper()
    if (found["word"] or found["role"]).upper() in ("P", "PAN"):
        return Label("pan", name.lower(), name)
    # Pleiades Neo has two MS files; RGB comes before NED.
    return Label("ms", name.lower(), name, {"RGB": "1", "NED": "2"}[group[1].upper()] if group else "")


def _worded(path: PurePath) -> Label:
    """By the words between the marks of a name, or else in the names of its folders."""
    parts = [_tokens(part) for part in (*path.parent.parts, path.stem)]
    plain = path.with_suffix("").parts
    for letters, looked_at in ((False, parts[::-1]), (True, parts[-1:])):
        for tokens in looked_at:
            said: set[Role] = {_role(token, letters=letters) for token in tokens}
            said.discard("unknown")
            if len(said) == 1:
                cleaned = [*(_without(part) for part in parts[:-1]), _without(parts[-1], letters=letters)]
                return Label(said.pop(), _scene(cleaned), _name(cleaned))
            if said:
                return Label("unknown", _scene(plain), _name(plain))
    return Label("unknown", _scene(plain), _name(plain))


def _tokens(part: str) -> list[str]:
    """Words and the marks between them, in turn."""
    return re.split(r"([^A-Za-z0-9]+)", part)


def _role(token: str, *, letters: bool) -> Role:
    low = token.lower()
    if found := _MAXAR.fullmatch(low):
        return _LETTERS[found[1]]
    found = _NUMBERED.fullmatch(low)
    if found and found[1] in _WORDS:
        return _WORDS[found[1]]
    return _LETTERS.get(low, "unknown") if letters else "unknown"


def _without(tokens: Sequence[str], *, letters: bool = False) -> str:
    """A name without the words for PAN and MS; what is left of them tells scenes apart."""
    kept = ""
    for token, mark in zip(tokens[::2], [*tokens[1::2], ""], strict=True):
        if _role(token, letters=letters) == "unknown":
            kept += token + mark
        else:
            found = _MAXAR.fullmatch(token.lower()) or _NUMBERED.fullmatch(token.lower())
            rest = token[len(found[1]) :] if found else ""
            kept += rest + mark if rest else ""
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+$", "", kept)


def _scene(parts: Sequence[str]) -> str:
    return "/".join(part.lower() for part in parts if part)


def _name(parts: Sequence[str]) -> str:
    """Folders and file in one word; a folder that the next name repeats is left out."""
    named = [part for part in parts if part]
    kept = [a for a, b in pairwise(named) if not b.lower().startswith(a.lower())]
    return "_".join(kept + named[-1:])
