"""Free band labels: "SR_B4", "MULTISPECTRAL N", "NIR 1", "Near Infrared" and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Words that say nothing about the colour.
_FILLER = frozenset(
    (
        "band",
        "bands",
        "channel",
        "multispectral",
        "spectral",
        "ms",
        "surface",
        "reflectance",
        "radiance",
        "toa",
        "boa",
        "sr",
        "top",
        "of",
        "atmosphere",
        "raw",
        "dn",
    )
)

# What a plain label may mean, nearest band name first. A sensor without the first has the next or none.
_COLOURS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("coastal", "c", "coastalaerosol", "coastalblue", "aerosol", "ultrablue", "violet", "deepblue"): (
        "coastal",
        "deep-blue",
    ),
    ("blue", "b", "bleu", "blau"): ("blue",),
    ("green", "g", "vert"): ("green",),
    ("yellow", "y"): ("yellow",),
    ("red", "r", "rouge"): ("red",),
    ("rededge", "re", "rededge1", "re1", "vegetationrededge"): ("red-edge", "red-edge1"),
    ("rededge2", "re2"): ("red-edge2",),
    ("nir", "n", "nir1", "n1", "nearinfrared", "nearinfrared1", "nearir", "infrared", "ir"): ("nir", "nir1"),
    ("nir2", "n2", "nearinfrared2", "nearir2"): ("nir2",),
    ("cirrus",): ("cirrus",),
}
_MEANINGS = {label: names for labels, names in _COLOURS.items() for label in labels}
_MEANINGS |= {
    form + str(i): (f"swir{i}",) for i in range(1, 9) for form in ("swir", "shortwaveinfrared", "shortwaveinfraredswir")
}
_MEANINGS |= {
    form + str(i): (f"thermal{i}",)
    for i in range(1, 3)
    for form in ("thermal", "tir", "thermalinfrared", "thermalinfraredtirs", "tirs")
}


def plain(label: str) -> str:
    """The label in small letters and digits only; a prime becomes "p" (MS-1' is not MS-1).

    >>> plain("Red Edge"), plain("MS-1'")
    ('rededge', 'ms1p')
    """
    return re.sub(r"[^a-z0-9]", "", re.sub(r"(?<=\d)['′]", "p", label.lower()))


def _forms(label: str) -> list[str]:
    """Plain forms of a label to look up, the most literal first.

    "Band 4" alone has no form: programs write it for the fourth band of any stack, whatever it holds. In
    "Band 4 - Red" the colour counts, and "B4", "B04" and "SR_B4" are the operators' own.
    """
    outside = re.sub(r"\(.*?\)", " ", label)
    forms = [plain(label), _core(label), _core(outside)]
    if number := re.fullmatch(r"(?:sr|toa|st)?b0*(\d+)", forms[1]):
        forms.append(f"b{number[1]}")
    coloured = re.sub(r"\bbands?[\s_]*\d+\b|\bb\d+\b", " ", outside, flags=re.IGNORECASE)
    return [form for form in (*forms, _core(coloured)) if form and not form.isdecimal()]


def _core(label: str) -> str:
    words = re.split(r"[^a-z0-9'′]+", label.lower())
    return plain("".join(word for word in words if word not in _FILLER))


def find(label: str, labels: Mapping[str, str]) -> str | None:
    """The name of the band that a free label means, or None.

    Args:
        label: as found in a file.
        labels: plain label and band name, of one sensor. Its own labels win over general colour words.
    """
    forms = _forms(label)
    for form in forms:
        if form in labels:
            return labels[form]
    names = set(labels.values())
    for form in forms:
        for name in _MEANINGS.get(form, ()):
            if name in names:
                return name
    return None
