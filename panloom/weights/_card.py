"""The card of a weights file: what it is, where it comes from, what one may do with it; a record and its TOML."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal, cast, get_args

from panloom.errors import WeightsError, unknown
from panloom.networks import SourceStatistics
from panloom.types import Decision
from panloom.weights._toml import dumps

#: Version of the card's format. A card of another one is refused, with the reason.
FORMAT = 1

Option = int | float | str | bool
Setting = Option | tuple[float, ...]
StoredType = Literal["float32", "float16", "bfloat16"]

NAME = re.compile(r"(?P<network>[a-z][a-z0-9]*(?:-[a-z0-9]+)*)\.(?P<tag>[a-z0-9]+(?:-[a-z0-9]+)*)")


@dataclass(frozen=True)
class Score:
    """One measured number.

    Attributes:
        protocol: see `docs/protocol.md`.
        data: what was scored.
        index: registry name of the metric.
        value: what came out.
        of: what the value is divided by, such as "the best classical method of each pair"; empty: nothing.
    """

    protocol: str
    data: str
    index: str
    value: float
    of: str = ""


@dataclass(frozen=True)
class Adapted:
    """How weights were adapted from others; these are `Card.parent`.

    Attributes:
        adapter: registry name.
        scenes: what they were adapted to: the PAN files.
        sensor: of the scenes.
        mtf: gains of its bands at MS Nyquist.
        parent_sha256: of the parent's file.
        decision: "adapted", or the fit was refused, and these are the parent's weights as they are on that scene:
            "frozen".
        reason: why it was refused; empty where it was not.
        validated: error on held-back pixels, after over before; None: not found.
        options: of the adapter; what was chosen by itself is left out.
        seed: of everything random.
        statistics: of the scenes, in units of the card's full scale; None: not known.
    """

    adapter: str
    scenes: tuple[str, ...]
    sensor: str
    mtf: tuple[float, ...]
    parent_sha256: str
    decision: Decision = "adapted"
    reason: str = ""
    validated: float | None = None
    options: Mapping[str, Setting] = field(default_factory=dict)
    seed: int = 0
    statistics: SourceStatistics | None = None


@dataclass(frozen=True)
class Card:
    """Facts about one weights file.

    Attributes:
        name: `network.tag`, in lower case.
        licence: an SPDX identifier or the text; never empty.
        options: keyword arguments of the network's constructor.
        bands: names of the bands it was trained for, or their number; None: any.
        ratios: ratios it was trained for; None: any.
        full_scale: the DN that was 1.0 in training, or in the scene adapted to; None: many, or not known.
        data: what it was trained on.
        recipe: what trained it, or adapted it.
        commit: of panloom, in training.
        seconds: that training took, or the adaptation of adapted weights; None: not known.
        hardware: on which it took them.
        parent: name of the weights that these were adapted from; empty: none.
        limits: what it is not for.
        note: anything else.
        cite: keys of `panloom/references.toml`, or references in words.
        dtype: type of the stored numbers; they are always loaded as float32.
        sha256: of the safetensors file; filled in when it is written.
        source: statistics of the training data.
        adapted: how they were adapted from `parent`; None: they were not.
        scores: measured numbers.
    """

    name: str
    licence: str
    options: Mapping[str, Option] = field(default_factory=dict)
    bands: int | tuple[str, ...] | None = None
    ratios: tuple[int, ...] | None = None
    full_scale: float | None = None
    data: str = ""
    recipe: str = ""
    commit: str = ""
    seconds: float | None = None
    hardware: str = ""
    parent: str = ""
    limits: str = ""
    note: str = ""
    cite: tuple[str, ...] = ()
    dtype: StoredType = "float32"
    sha256: str = ""
    source: SourceStatistics | None = None
    adapted: Adapted | None = None
    scores: tuple[Score, ...] = ()

    @property
    def network(self) -> str:
        """Registry name of the network."""
        return self.name.partition(".")[0]

    @property
    def tag(self) -> str:
        """What tells weights of one network apart."""
        return self.name.partition(".")[2]

    @property
    def band_count(self) -> int | None:
        """How many bands; None: any number."""
        return len(self.bands) if isinstance(self.bands, tuple) else self.bands

    @property
    def licence_name(self) -> str:
        """The first line of the licence, cut where it is long."""
        first = self.licence.strip().splitlines()[0].strip()
        return first if len(first) <= 60 else first[:57].rstrip() + "..."


def card_text(card: Card) -> str:
    """The card as TOML; what is empty or not known is left out."""
    table: dict[str, object] = {"format": FORMAT}
    for key in (item.name for item in fields(Card)):
        value = getattr(card, key)
        if isinstance(value, SourceStatistics | Adapted):
            value = _plain(asdict(value))
        elif key == "scores":
            value = [{k: v for k, v in vars(score).items() if v != ""} for score in card.scores]
        if value not in (None, "", (), [], {}):
            table[key] = list(value) if isinstance(value, tuple) else value
    return dumps(table)


def _plain(table: Mapping[str, object]) -> dict[str, object]:
    """The table with lists for tuples, without what is empty or not known."""
    found: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            value = _plain(cast("dict[str, object]", value))
        if value not in (None, "", {}):
            found[key] = list(value) if isinstance(value, tuple) else value
    return found


def read_card(path: Path) -> Card:
    """The card in a file.

    Raises:
        WeightsError: the file cannot be read, or a key or value in it is wrong.
    """
    try:
        raw = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise WeightsError(f"cannot read the card {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is not a valid TOML file: {error}") from error
    return parse_card(raw, str(path))


def parse_card(raw: Mapping[str, object], where: str) -> Card:
    """The card in a table; `where` it stands is told in complaints.

    Raises:
        WeightsError: a key or value is wrong, or the card is of another version.
    """
    table = _Table(where, "", raw)
    _check_format(table)
    table.only(["format", *(item.name for item in fields(Card))])
    if not NAME.fullmatch(table.text("name")):
        raise table.wrong("name", "network.tag in small letters, digits and hyphens, such as fusionnet.wv3")
    if not table.text("licence").strip():
        raise table.wrong("licence", "an SPDX identifier or the text of the licence: without one nobody may use it")
    return Card(
        options=_options(table),
        bands=_bands(table),
        ratios=_ratios(table),
        full_scale=table.optional("full_scale"),
        seconds=table.optional("seconds"),
        cite=table.texts("cite"),
        dtype=_dtype(table),
        source=_statistics(table, "source"),
        adapted=_adapted(table),
        scores=_scores(table),
        **{key: table.text(key) for key in _TEXTS},
    )


_TEXTS = ("name", "licence", "data", "recipe", "commit", "hardware", "parent", "limits", "note", "sha256")


@dataclass(frozen=True)
class _Table:
    """One table of a card, with getters that check the type and name the place."""

    where: str
    place: str
    values: Mapping[str, object]

    def wrong(self, key: str, need: str) -> WeightsError:
        value = self.values.get(key)
        found = "is missing" if value is None else f"is {value!r}"
        return WeightsError(f"{self.where}: {self.place}{key} {found}; it must be {need}")

    def only(self, known: Iterable[str]) -> None:
        known = list(known)
        for key in self.values:
            if key not in known:
                raise WeightsError(f"{self.where}: {unknown(f'key {self.place}'.rstrip(' .'), key, known)}")

    def text(self, key: str) -> str:
        value = self.values.get(key, "")
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
            raise self.wrong(key, "a list of texts")
        return tuple(value)

    def number(self, key: str) -> float:
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(key, "a finite number")
        return float(value)

    def optional(self, key: str) -> float | None:
        if self.values.get(key) is None:
            return None
        if self.number(key) <= 0:
            raise self.wrong(key, "a number above 0")
        return self.number(key)

    def numbers(self, key: str) -> tuple[float, ...]:
        value = self.values.get(key)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, "a list of numbers, one for each band")
        return tuple(_Table(self.where, f"{self.place}{key}.", {str(i): v}).number(str(i)) for i, v in enumerate(value))


def _check_format(table: _Table) -> None:
    version = table.values.get("format")
    if version == FORMAT:
        return
    here = f"this panloom reads format {FORMAT}"
    if isinstance(version, int) and version > FORMAT:
        raise WeightsError(f"{table.where}: the card is of format {version}, and {here}; use a newer panloom")
    told = "names no format" if version is None else f"is of the old format {version!r}"
    again = "adapt" if "adapted" in table.values else "import or train"
    raise WeightsError(f"{table.where}: the card {told}, and {here}; {again} these weights again")


def _options(table: _Table) -> dict[str, Option]:
    raw = table.values.get("options", {})
    if not isinstance(raw, dict) or not all(isinstance(value, Option) for value in raw.values()):
        raise table.wrong("options", "a table of numbers, texts and truth values")
    return raw


def _bands(table: _Table) -> int | tuple[str, ...] | None:
    raw = table.values.get("bands")
    if raw is None or (isinstance(raw, int) and not isinstance(raw, bool) and raw > 0):
        return raw
    if not isinstance(raw, list) or not raw:
        raise table.wrong("bands", "a number from 1, or a list of band names")
    return table.texts("bands")


def _ratios(table: _Table) -> tuple[int, ...] | None:
    raw = table.values.get("ratios")
    if raw is None:
        return None
    if not isinstance(raw, list) or not raw or not all(type(ratio) is int and ratio > 0 for ratio in raw):
        raise table.wrong("ratios", "a list of whole numbers from 1")
    return tuple(raw)


def _dtype(table: _Table) -> StoredType:
    raw = table.values.get("dtype", "float32")
    for known in get_args(StoredType):
        if raw == known:
            return known
    raise table.wrong("dtype", f"one of {', '.join(get_args(StoredType))}")


def _statistics(table: _Table, key: str) -> SourceStatistics | None:
    raw = table.values.get(key)
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise table.wrong(key, "a table")
    found = _Table(table.where, f"{table.place}{key}.", raw)
    found.only(item.name for item in fields(SourceStatistics))
    mean, std = found.numbers("mean"), found.numbers("std")
    if len(mean) != len(std):
        raise found.wrong("std", f"as long as {found.place}mean, which has {len(mean)} numbers")
    return SourceStatistics(mean, std, found.number("pan_mean"), found.number("pan_std"))


def _adapted(table: _Table) -> Adapted | None:
    raw = table.values.get("adapted")
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise table.wrong("adapted", "a table")
    made = _Table(table.where, "adapted.", raw)
    made.only(item.name for item in fields(Adapted))
    words = {key: made.text(key) for key in ("adapter", "sensor", "parent_sha256", "reason")}
    if not words["adapter"]:
        raise made.wrong("adapter", "the name of an adapter")
    if len(_ratios(table) or ()) != 1:
        raise table.wrong("ratios", "the one ratio of the scene that adapted weights come from")
    if _bands(table) is None:
        raise table.wrong("bands", "the bands of the scene that adapted weights come from")
    decision, seed = raw.get("decision"), raw.get("seed", 0)
    if decision not in get_args(Decision):
        raise made.wrong("decision", "adapted or frozen")
    if type(seed) is not int:
        raise made.wrong("seed", "a whole number")
    return Adapted(
        scenes=made.texts("scenes"),
        mtf=made.numbers("mtf"),
        decision=cast("Decision", decision),
        validated=made.number("validated") if "validated" in raw else None,
        options=_settings(made),
        seed=seed,
        statistics=_statistics(made, "statistics"),
        **words,
    )


def _settings(table: _Table) -> dict[str, Setting]:
    raw = table.values.get("options", {})
    if not isinstance(raw, dict):
        raise table.wrong("options", "a table")
    options = _Table(table.where, "adapted.options.", raw)
    found: dict[str, Setting] = {}
    for key, value in raw.items():
        if not isinstance(value, Option | list):
            raise options.wrong(key, "a number, a text, a truth value or a list of numbers")
        found[key] = options.numbers(key) if isinstance(value, list) else value
    return found


def _scores(table: _Table) -> tuple[Score, ...]:
    raw = table.values.get("scores", [])
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        raise table.wrong("scores", "one table [[scores]] for each number")
    found: list[Score] = []
    for i, entry in enumerate(raw):
        score = _Table(table.where, f"scores[{i}].", entry)
        score.only(item.name for item in fields(Score))
        words = {key: score.text(key) for key in ("protocol", "data", "index", "of")}
        found.append(Score(value=score.number("value"), **words))
    return tuple(found)
