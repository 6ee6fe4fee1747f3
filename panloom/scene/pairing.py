"""The PAN and MS files of a folder that belong together: by name, and else by footprint."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from panloom.scene._footprint import Unmatched, by_footprint
from panloom.scene._naming import Label, label

__all__ = ["RASTERS", "RESULT", "Match", "Matches", "Unmatched", "match_folder"]

#: What a folder is searched for.
RASTERS = (".tif", ".tiff", ".jp2", ".j2k", ".img", ".vrt", ".ntf")

#: Ends the names of results; such files are no inputs.
RESULT = "_sharpened"


@dataclass(frozen=True)
class Match:
    """The files of one scene.

    Attributes:
        pan: path of the sharp image.
        ms: paths of the spectral image: one multi-band file, or several files in band order.
        name: of the scene.
        by: what brought the two together.
    """

    pan: str
    ms: tuple[str, ...]
    name: str
    by: Literal["name", "footprint"]


@dataclass(frozen=True)
class Matches:
    """The scenes of a folder.

    Attributes:
        matches: sorted by the path of PAN.
        unmatched: files that belong to no scene, and why.
    """

    matches: tuple[Match, ...]
    unmatched: tuple[Unmatched, ...]


def match_folder(source: Path, *, skip: Path | None = None) -> Matches:
    """The scenes of a folder and all its subfolders.

    Files belong together that have the same name but for the words PAN, P, MS, MUL, MSS, XS, M and the like, in the
    name or in that of a folder; so do the products of Landsat, EO-1, Maxar and Airbus by their own rules. For the other
    files the ground decides. Where two answers are possible none is taken.

    Args:
        source: the folder.
        skip: a folder that is not searched, such as that of the results.
    """
    labels = {path: label(path.relative_to(source)) for path in _listed(source, skip)}
    scenes: dict[str, list[Path]] = {}
    for path, said in labels.items():
        if said.role != "aside":
            scenes.setdefault(said.scene, []).append(path)
    matches: list[Match] = []
    unmatched: list[Unmatched] = []
    left: list[Path] = []
    for files in scenes.values():
        named = _by_name(files, labels)
        if isinstance(named, Unmatched):
            unmatched.append(named)
        elif named is None:
            left += files
        else:
            matches.append(_match(source, labels, *named, by="name"))
            left += [path for path in files if labels[path].role == "unknown"]
    pairs, rest = by_footprint([(str(path), labels[path].role) for path in left])
    matches += [_match(source, labels, Path(pan), [Path(ms)], by="footprint") for pan, ms in pairs]
    return Matches(tuple(sorted(matches, key=lambda match: match.pan)), (*unmatched, *rest))


def _listed(source: Path, skip: Path | None) -> Iterator[Path]:
    """Rasters of a folder and its subfolders, in a fixed order; hidden files and results are left out."""
    skipped = None if skip is None else skip.resolve()
    for folder, folders, names in os.walk(source):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() != skipped)
        for name in sorted(names):
            path = here / name
            if path.suffix.lower() in RASTERS and not name.startswith(".") and not path.stem.endswith(RESULT):
                yield path


def _by_name(files: Sequence[Path], labels: dict[Path, Label]) -> tuple[Path, list[Path]] | Unmatched | None:
    """The PAN and the MS files among those of one name; None: not both are there."""
    pans = [path for path in files if labels[path].role == "pan"]
    spectral = sorted((path for path in files if labels[path].role == "ms"), key=lambda path: labels[path].part)
    parts = [labels[path].part for path in spectral]
    if not pans and any(parts):
        return Unmatched(tuple(map(str, spectral)), "the PAN file of these MS files is missing")
    if not pans or not spectral:
        return None
    if len(pans) > 1 or len(set(parts)) < len(parts):
        why = f"{len(pans)} PAN and {len(spectral)} MS files have one name; say in a CSV which belong together"
        return Unmatched(tuple(map(str, [*pans, *spectral])), why)
    return pans[0], spectral


def _match(
    source: Path, labels: dict[Path, Label], pan: Path, ms: Iterable[Path], *, by: Literal["name", "footprint"]
) -> Match:
    return Match(str(pan), tuple(map(str, ms)), labels[pan].name or source.resolve().name, by)
