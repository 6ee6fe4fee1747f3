"""Which images may be learned from: the splits that manifests state, and a guard that keeps validation out of training.

A manifest (`manifest.json`, see `panloom.data.pairs`) gives each entry a `split`, "train" or "val", and a `use`: "open"
where the imagery is free. An entry is the file of that name, or the folder of that name with the files of a scene.
The development pairs, which are looked at while something is tuned, are those pairs of "train" that a list names.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from panloom.data.pairs import MANIFEST, Recorded, find_pairs, read_pair
from panloom.errors import OptionError, SceneError

Split = Literal["train", "development", "val"]

#: Where pairs lie below the folder of all data.
PAIRS = "pansharpening"

#: Where that folder is described, for messages.
DESCRIBED = "docs/data.md describes the folder"


@dataclass(frozen=True)
class Splits:
    """The pairs of a folder, told apart by what they may be used for.

    Attributes:
        folder: holds the manifest, and the pairs in `train` and `val`.
        entries: name of each pair, and what the manifest says of it.
        development: names of the pairs of "train" that are looked at while something is tuned.
    """

    folder: Path
    entries: Mapping[str, Mapping[str, Any]]
    development: frozenset[str] = frozenset()

    def names(self, split: Split, *, only_open: bool = False) -> list[str]:
        """The pairs of a split, sorted; those of "development" are not in "train".

        Args:
            split: "train", "development" or "val".
            only_open: leave out imagery that is not free.
        """
        return sorted(
            name
            for name, entry in self.entries.items()
            if self._split(name) == split and (not only_open or entry.get("use") == "open")
        )

    def path(self, name: str) -> Path:
        """The file of a pair.

        Raises:
            OptionError: the manifest does not name it.
        """
        if name not in self.entries:
            raise OptionError(f"{self.folder / MANIFEST} names no pair {name!r}")
        return self.folder / str(self.entries[name].get("split")) / f"{name}.npz"

    def training(
        self, *, only_open: bool = False, development: bool = False, validation: bool = False
    ) -> list[Recorded]:
        """The pairs that networks may learn from.

        Args:
            only_open: leave out imagery that is not free: for weights that are passed on.
            development: the development pairs too; the progress that is shown on them then says little.
            validation: the validation pairs too, for a last training whose scores nobody will quote.

        Raises:
            SceneError: a file cannot be read.
        """
        wanted: tuple[tuple[Split, bool], ...] = (("train", True), ("development", development), ("val", validation))
        names = [name for split, wished in wanted if wished for name in self.names(split, only_open=only_open)]
        paths = [self.path(name) for name in names]
        refuse_validation(paths, allow=validation)
        return [read_pair(path) for path in paths]

    def watched(self, *, only_open: bool = False) -> list[Recorded]:
        """The development pairs: progress during training is shown on them."""
        return [read_pair(self.path(name)) for name in self.names("development", only_open=only_open)]

    def judged(self, *, only_open: bool = False) -> list[Recorded]:
        """The validation pairs: read when a table is made, and for nothing else."""
        return [read_pair(self.path(name)) for name in self.names("val", only_open=only_open)]

    def _split(self, name: str) -> str:
        split = str(self.entries[name].get("split"))
        return "development" if split == "train" and name in self.development else split


def open_splits(folder: str | Path, development: str | Path | Iterable[str] = ()) -> Splits:
    """The splits of a folder of pairs.

    Args:
        folder: of the pairs and their manifest, or of all data, with the pairs in `pansharpening` or in that of `data`.
        development: names of pairs, or a text file with one name a line (`#` begins a remark).

    Raises:
        SceneError: there is no manifest, or it cannot be read.
        OptionError: a development pair is not one of "train".
    """
    home = next((p for p in (data_root(folder) / PAIRS, Path(folder)) if (p / MANIFEST).is_file()), None)
    if home is None:
        raise SceneError(f"{folder}: no {MANIFEST} here or in {PAIRS}; splits are read from it: {DESCRIBED}")
    entries = {str(entry["name"]): entry for entry in read_manifest(home / MANIFEST)}
    names = frozenset(_listed(development))
    strangers = sorted(name for name in names if entries.get(name, {}).get("split") != "train")
    if strangers:
        raise OptionError(
            f"development pairs must be of split train of {home / MANIFEST}; not so: {', '.join(strangers)}. Where "
            f"there are other pairs, name some of them: {DESCRIBED}"
        )
    return Splits(home, entries, names)


def data_root(folder: str | Path) -> Path:
    """The folder of all data: `data` below the given one where there is such a folder, else the given one."""
    below = Path(folder) / "data"
    return below if below.is_dir() else Path(folder)


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """The entries of a manifest.

    Raises:
        SceneError: it is not a list of objects with a name.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SceneError(f"{path}: not a readable manifest ({error})") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise SceneError(f"{path}: not a list of objects with a name")
    return entries


def split_of(path: str | Path) -> str | None:
    """What the nearest manifest around a file says of it; None where none knows it.

    An entry is meant whose name is that of the file without suffix, or of the file's folder.
    """
    path = Path(path).absolute()
    for place in list(path.parents)[:3]:
        if (place / MANIFEST).is_file():
            try:
                known = {str(entry["name"]): entry for entry in read_manifest(place / MANIFEST)}
            except SceneError:
                continue  # providers of images deliver files of that name too, which hold something else
            entry = known.get(path.stem) or known.get(path.parent.name)
            return None if entry is None or "split" not in entry else str(entry["split"])
    return None


def refuse_validation(paths: Collection[str | Path], *, allow: bool = False) -> None:
    """Stop where something would be learned from validation imagery.

    Args:
        paths: files to learn from.
        allow: the caller was told to.

    Raises:
        OptionError: a manifest says that one is of split "val".
    """
    found = [] if allow else sorted(str(path) for path in paths if split_of(path) == "val")
    if found:
        raise OptionError(
            f"{len(found)} of {len(paths)} files are validation imagery ({found[0]} first), for judging results only; "
            "leave them out, or allow it explicitly (validation=True)"
        )


def _listed(development: str | Path | Iterable[str]) -> list[str]:
    if not isinstance(development, (str, Path)):
        return list(development)
    try:
        lines = Path(development).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{development}: not a readable list of pairs ({error})") from error
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def training_pairs(folder: str | Path, *, validation: bool = False) -> list[Recorded]:
    """All `.npz` pairs of a folder, to learn from.

    Args:
        folder: a user's own, or one whose manifest states splits.
        validation: take validation pairs too.

    Raises:
        SceneError: there is none, or one cannot be read.
        OptionError: one is of split "val".
    """
    paths = find_pairs(folder)
    if not paths:
        raise SceneError(f"{folder}: no .npz pairs here")
    refuse_validation(paths, allow=validation)
    return [read_pair(path) for path in paths]
