"""Finds the PAN and MS files that belong together: in a CSV, or in a folder by name and else by footprint."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from panloom.errors import OptionError, OutputError, SceneError, unknown
from panloom.scene._naming import label
from panloom.scene.pairing import RESULT, Unmatched, match_folder

_COLUMNS = ("pan", "ms", "out")


@dataclass(frozen=True)
class Job:
    """One pair.

    Attributes:
        pan: path of the sharp image.
        ms: paths of the spectral image: one multi-band file, or several files in band order.
        out: path of the result.
        name: of the pair, as in the name of the result.
        by: what brought the two together.
    """

    pan: str
    ms: tuple[str, ...]
    out: str
    name: str
    by: Literal["csv", "name", "footprint"] = "csv"


@dataclass(frozen=True)
class Pairs:
    """A set of scenes.

    Attributes:
        folder: where results go, unless a CSV says otherwise.
        jobs: the pairs.
        unmatched: files that are in no pair, and why; only of a folder.
    """

    folder: Path
    jobs: tuple[Job, ...]
    unmatched: tuple[Unmatched, ...] = ()


def find(source: str | Path, out: str | Path) -> Pairs:
    """The pairs of a CSV or of a folder.

    A CSV has the columns `pan`, `ms` and perhaps `out`; several MS files are separated by `;`. Inputs are relative to
    the CSV, results to `out`.

    A folder is searched with all its subfolders. Files belong together that have the same name but for the words PAN,
    P, MS, MUL, MSS, XS, M and the like, in the name or in that of a folder; so do the products of Landsat, EO-1, Maxar
    and Airbus by their own rules. For the other files the ground decides. Where two answers are possible none is taken,
    and the files are reported as unmatched.

    Args:
        source: a CSV, or a folder.
        out: folder of the results, `NAME_sharpened.tif`; need not exist yet, and is not searched.

    Raises:
        SceneError: the source does not exist.
        OptionError: the CSV cannot be used.
        OutputError: two results would have the same path, or that of an input.
    """
    source, out = Path(source), Path(out)
    if source.is_dir():
        pairs = _from_folder(source, out)
    elif source.is_file():
        pairs = Pairs(out, tuple(_from_csv(source, out)))
    else:
        raise SceneError(f"{source}: no such file or folder; give a CSV or a folder of PAN and MS files")
    _check_results(pairs.jobs)
    return pairs


def _from_csv(source: Path, out: Path) -> Iterator[Job]:
    """One job a line.

    Raises:
        OptionError: unknown or missing columns, or a line without PAN or MS.
    """
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, skipinitialspace=True)
            table.fieldnames = [name.strip() for name in table.fieldnames or ()]
            _check_columns(source, table.fieldnames)
            for row in table:
                yield _from_row(source, out, table.line_num, row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"{source}: not a CSV of pairs in UTF-8 ({error})") from error


def _check_columns(source: Path, names: Sequence[str]) -> None:
    for name in names:
        if name not in _COLUMNS:
            raise OptionError(f"{source}: {unknown('column', name, _COLUMNS)}")
    if not {"pan", "ms"} <= set(names):
        raise OptionError(
            f"{source}: the first line must name the columns pan, ms and perhaps out; "
            f"it names {', '.join(names) or 'none'}"
        )


def _from_row(source: Path, out: Path, line: int, row: dict[str | None, str | list[str] | None]) -> Job:
    # csv keeps what is beyond the last column under the key None.
    cells = {key: value.strip() for key, value in row.items() if key is not None and isinstance(value, str)}
    pan = cells.get("pan", "")
    ms = [part.strip() for part in cells.get("ms", "").split(";")]
    if not pan or not all(ms) or None in row:
        raise OptionError(
            f"{source}, line {line}: needs one PAN file and one or more MS files separated by semicolons; "
            f"given: {','.join(str(v) for v in row.values() if v is not None)}"
        )
    given = cells.get("out")
    name = PurePath(given).stem if given else label(_named(pan)).name or source.stem
    result = out / (given or f"{name}{RESULT}.tif")
    return Job(_placed(pan, source.parent), tuple(_placed(m, source.parent) for m in ms), str(result), name)


def _is_remote(path: str) -> bool:
    return "://" in path or path.startswith("/vsi")


def _placed(path: str, folder: Path) -> str:
    return path if _is_remote(path) else str(folder / path)


def _named(path: str) -> PurePath:
    """The part of a path that names a scene: all of a relative one, folder and file of another."""
    pure = PurePath(path)
    parts = pure.parts[-2:] if pure.is_absolute() or _is_remote(path) else pure.parts
    return PurePath(*(part for part in parts if part not in ("..", pure.anchor)))


def _from_folder(source: Path, out: Path) -> Pairs:
    found = match_folder(source, skip=out)
    jobs = tuple(
        Job(match.pan, match.ms, str(out / f"{match.name}{RESULT}.tif"), match.name, match.by)
        for match in found.matches
    )
    return Pairs(out, jobs, found.unmatched)


def _check_results(jobs: Sequence[Job]) -> None:
    """Every result has a path of its own.

    Raises:
        OutputError: it has not.
    """
    inputs = {os.path.realpath(path): job for job in jobs for path in (job.pan, *job.ms) if not _is_remote(path)}
    taken: dict[str, Job] = {}
    for job in jobs:
        place = os.path.realpath(job.out)
        if place in inputs:
            raise OutputError(f"the result of {job.pan} would be written over the input {job.out}; name another output")
        # Some systems do not tell small letters from capitals.
        other = taken.setdefault(place.casefold(), job)
        if other is not job:
            raise OutputError(
                f"{other.pan} and {job.pan} would both be written to {job.out}; rename one, or give a CSV with the "
                "columns pan, ms and out"
            )
