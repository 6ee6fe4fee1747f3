"""Reads what stands beside an image: the metadata files of Landsat, Maxar (IMD, ISD) and Airbus (DIMAP).

Only the sensor and the order of the bands are taken from them. Formats:
USGS, Landsat Collection 2 Level-1 Data Format Control Book (MTL); Maxar, Imagery Support Data documentation
(IMD, XML); Airbus, DIMAP V2 appendix of the Pleiades Imagery User Guide; CNES and Spot Image, DIMAP V1.
"""

from __future__ import annotations

import json
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from panloom.errors import PanloomWarning
from panloom.scene._where import is_plain
from panloom.sensors import recognise

_LARGEST = 32 * 2**20  # bytes: no metadata file comes near it, and reading one must stay quick

_METADATA = re.compile(r"(?:_MTL(?:_L1[A-Z]+)?\.(?:txt|json|xml)|\.imd|\.dim|^DIM_.*\.xml)$", re.IGNORECASE)
_BAND_IN_NAME = re.compile(r"(?:^|_)((?:SR_|ST_|TOA_)?B\d{1,2}(?:_VCID_[12])?)(?:_L1[A-Z]+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Product:
    """What a metadata file says about an image.

    Attributes:
        sensor: registry name; None where the spacecraft is not in the registry.
        bands: labels in file order for `panloom.sensors.band_named`; empty where the file does not tell.
            They are those of the product: compare their number with the bands of the image.
        source: path of the metadata file.
    """

    sensor: str | None
    bands: tuple[str, ...]
    source: str


def band_from_filename(path: str) -> str | None:
    """The band that stands at the end of a file name, as Landsat and EO-1 write it.

    >>> band_from_filename("LC08_L1TP_193024_20200801_20200807_02_T1_B4.TIF")
    'B4'
    """
    found = _BAND_IN_NAME.search(Path(path).stem)
    return found[1].upper() if found else None


def beside(path: str) -> Product | None:
    """What the metadata file in the folder of an image says about it.

    The file must carry the image's name, up to the marks of tile and band, or be the only one of the folder.

    Args:
        path: the image. Remote ones (/vsi..., http, s3) are not looked up.

    Returns:
        The product, or None where there is no such file or none of them can be used.

    Warns:
        PanloomWarning: a metadata file of the image cannot be read.
    """
    if not is_plain(path):
        return None
    image = Path(path)
    for candidate in _candidates(image):
        try:
            return _read(candidate, image)
        except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
            message = f"cannot use the metadata file {candidate}: {error}; it is left out of account"
            warnings.warn(message, PanloomWarning, stacklevel=2)
    return None


def _candidates(image: Path) -> list[Path]:
    """Metadata files that belong to the image, the most telling first."""
    own = _key(image.name)
    try:
        files = [entry for entry in image.parent.iterdir() if _is_metadata(entry.name, own)]
    except OSError:
        return []
    files.sort(key=lambda file: (file.suffix.lower() == ".xml", file.name))
    named = [file for file in files if _key(file.name) == own]
    if named:
        return named
    return files if len({_key(file.name) for file in files}) == 1 else []


def _is_metadata(name: str, own: str) -> bool:
    # An XML file of no special name counts only when it is the image's namesake.
    return bool(_METADATA.search(name)) or (name.lower().endswith(".xml") and _key(name) == own)


def _key(name: str) -> str:
    """The part of a file name that an image and its metadata share."""
    stem = re.sub(r"\.[^.]*$", "", name).upper()
    stem = re.sub(r"^(?:DIM|IMG)_|_MTL(?:_L1[A-Z]+)?$|_R\d+C\d+", "", stem)
    return _BAND_IN_NAME.sub("", re.sub(r"_(?:RGB|NED)$", "", stem))


def _read(file: Path, image: Path) -> Product:
    if file.stat().st_size > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST} bytes")
    text = file.read_text(encoding="utf-8", errors="replace")
    suffix = file.suffix.lower()
    if suffix == ".txt":
        return _landsat(dict(_assignments(text)), file, image)
    if suffix == ".json":
        return _landsat(_flat(json.loads(text)), file, image)
    if suffix == ".imd":
        groups = re.findall(r"BEGIN_GROUP\s*=\s*BAND_(\w+)", text)
        values = dict(_assignments(text))
        return _maxar(values.get("satId"), values.get("bandId"), groups, file)
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return _from_xml(root, file, image)


def _from_xml(root: Element, file: Path, image: Path) -> Product:
    if root.tag == "LANDSAT_METADATA_FILE":
        leaves = [(element.tag, element.text or "") for element in root.iter() if len(element) == 0]
        return _landsat(dict(reversed(leaves)), file, image)
    if root.tag.lower() == "isd":
        groups = [tag[5:] for tag in (e.tag for e in root.findall("IMD/*")) if tag.startswith("BAND_")]
        return _maxar(_text(root, "SATID"), _text(root, "BANDID"), groups, file)
    if root.tag == "Dimap_Document":
        return _dimap(root, file, image)
    raise ValueError(f"its root <{root.tag}> is not that of a Landsat, Maxar or DIMAP file")


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """KEY = VALUE lines, last first, so that a dict keeps the first one of each key.

    Level 2 files of Landsat repeat the keys of level 1 further down.
    """
    found = re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*;?[ \t]*$", text, flags=re.MULTILINE)
    for key, value in reversed(found):
        yield key, value.strip('"')


def _flat(tree: object) -> dict[str, str]:
    """The leaves of nested JSON objects; the first one of each key counts."""
    if not isinstance(tree, dict):
        raise ValueError("its JSON is not an object")
    found: dict[str, str] = {}
    for key, value in tree.items():
        for name, leaf in (_flat(value) if isinstance(value, dict) else {str(key): str(value)}).items():
            found.setdefault(name, leaf)
    return found


def _sensor(*text: str | None) -> str | None:
    sensor = recognise(part for part in text if part)
    return sensor.name if sensor else None


def _landsat(values: dict[str, str], file: Path, image: Path) -> Product:
    if "SPACECRAFT_ID" not in values:
        raise ValueError("it holds no SPACECRAFT_ID")
    files = {value.upper(): key for key, value in values.items() if "FILE_NAME" in key}
    key = files.get(image.name.upper(), "")
    # Collections say FILE_NAME_BAND_4, the time before them said BAND4_FILE_NAME.
    number = re.fullmatch(r"FILE_NAME_BAND_(\w+)|BAND(\w+)_FILE_NAME", key)
    band = (number[1] or number[2]) if number else band_from_filename(image.name)
    if band and band[0].isdecimal():
        band = f"B{band}"
    return Product(_sensor(values["SPACECRAFT_ID"]), (band,) if band else (), str(file))


def _maxar(satellite: str | None, band_id: str | None, groups: list[str], file: Path) -> Product:
    if not satellite and not groups:
        raise ValueError("it holds neither satId nor a group of a band")
    # "RGB" or "BGRN" spells the order; other identifiers ("Multi", "MS1", "P") do not.
    spelled = list(band_id or "")
    bands = spelled if len(spelled) > 1 and sorted(spelled) == sorted(groups) else groups
    return Product(_sensor(satellite), tuple(bands), str(file))


def _dimap(root: Element, file: Path, image: Path) -> Product:
    mission, index = _text(root, "MISSION"), _text(root, "MISSION_INDEX")
    if not mission:
        raise ValueError("it holds no MISSION")
    bands = _dimap_bands(root, image) or [
        description
        for info in sorted(root.iter("Spectral_Band_Info"), key=_band_index)
        if (description := info.findtext("BAND_DESCRIPTION"))
    ]
    return Product(_sensor(f"{mission} {index or ''}".strip()), tuple(bands), str(file))


def _dimap_bands(root: Element, image: Path) -> list[str]:
    """Bands of the image's own group of files; else of all groups, in order, as GDAL opens the product.

    Pleiades Neo has two groups, RGB and NED; other products one list of bands outside of them.
    """
    groups = [group for group in root.iter("Data_Files") if group.find(".//Raster_Index") is not None]
    for group in groups:
        paths = (path.get("href", "") for path in group.iter("DATA_FILE_PATH"))
        if any(re.split(r"[\\/]", path)[-1].upper() == image.name.upper() for path in paths):
            groups = [group]
            break
    return [
        label
        for part in groups or [root]
        for entry in sorted(part.iter("Raster_Index"), key=_band_index)
        if (label := (entry.findtext("BAND_ID") or "").strip())
    ]


def _band_index(element: Element) -> int:
    return int(element.findtext("BAND_INDEX") or 0)


def _text(root: Element, tag: str) -> str | None:
    found = next(root.iter(tag), None)
    return found.text.strip() if found is not None and found.text else None
