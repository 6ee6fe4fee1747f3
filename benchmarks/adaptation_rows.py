"""What the benchmarks of adaptation share: the foreign weights of a pair, the rows, and the numbers of a table.

Which public weights a pair gets follows from its sensor and its number of bands alone: the first of `FOREIGN` that is
not of its own sensor (`second`: the second one). So 8 bands get WorldView-3, WorldView-3 pairs WorldView-2; 4 bands get
QuickBird, QuickBird pairs WorldView-4.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Networks that are adapted.
BACKBONES = ("fusionnet", "dicnn", "pannet", "pnn")

#: Tags of public weights by number of bands, in the order in which they are taken.
FOREIGN = {4: ("qb", "wv4"), 8: ("wv3", "wv2")}

#: Their sensors, as pairs are grouped.
SENSORS = {"qb": "quickbird", "wv4": "worldview-4", "wv3": "worldview-3", "wv2": "worldview-2"}

#: The *train* pair whose means and deviations stand for the training data of public weights, which tell none. There
#: is no QuickBird pair in `train`, so of these weights nothing is known, and adapters work without a bridge.
STATISTICS = {"wv2": "vitale_WV2", "wv3": "pairmaxRR_W3_Muni_Mix", "wv4": "pairmax_W4_Mexi_Urb"}

#: The classical method that did best over `train`.
SINGLE = "mtf-glp-cbd"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: of the line.
        method: as `panloom` knows it; `{host}` stands for a backbone with weights.
        options: of the method.
    """

    name: str
    method: str
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def hosted(self) -> bool:
        """Whether it needs a backbone."""
        return "{host}" in self.method


#: Rows of every backbone, the cheapest first; `same-sensor` takes the weights of the pair's own sensor.
HOSTED = (
    Row("direct", "{host}"),
    Row("same-sensor weights", "{host}"),
    Row("refit", "{host}+refit"),
    Row("tailor", "{host}+tailor", {"preset": "quality"}),
    Row("tailor, unsupervised", "{host}+tailor", {"preset": "quality", "losses": "unsupervised"}),
    Row("cat", "{host}+cat", {"preset": "quality"}),
    Row("swift 10 %", "{host}+swift", {"share": 0.1}),
    Row("swift 30 %", "{host}+swift", {"share": 0.3}),
    Row("full fine-tuning", "{host}+swift", {"method": "full", "subset": 1.0}),
)

#: Rows without a backbone.
FREE = (
    Row(SINGLE, SINGLE),
    Row("regression", "regression"),
    Row("random+refit", "random+refit"),
    Row("universal.open", "universal.open"),
    Row("universal.open+refit", "universal.open+refit"),
    # Its fit seldom leaves less than .95 of an error that is small already, and was trained to be used all the same.
    Row("universal.open-fit", "universal.open-fit+refit", {"gate": 1.0}),
    Row("universal.open-fit, not fitted", "universal.open-fit"),
)


def foreign(sensor: str, bands: int, *, second: bool = False) -> str | None:
    """Tag of the public weights of a pair; None: there are none for it.

    Args:
        sensor: of the pair.
        bands: of the pair.
        second: not the first ones that are foreign to it, but the next.
    """
    found = [tag for tag in FOREIGN.get(bands, ()) if SENSORS[tag] != sensor]
    return found[int(second)] if len(found) > int(second) else None


def own(sensor: str, bands: int) -> str | None:
    """Tag of the public weights of a pair's own sensor; None: there are none."""
    return next((tag for tag in FOREIGN.get(bands, ()) if SENSORS[tag] == sensor), None)


def host_of(row: Row, backbone: str, sensor: str, bands: int, *, second: bool = False) -> str | None:
    """`network.tag` that a row of a backbone works with on a pair; None: the row is empty there."""
    tag = own(sensor, bands) if row.name == "same-sensor weights" else foreign(sensor, bands, second=second)
    return None if tag is None else f"{backbone}.{tag}"


@dataclass
class Store:
    """One JSON file for each pair: its sensor, and what was measured on it.

    Attributes:
        folder: where they lie.
    """

    folder: Path

    def read(self, pair: str) -> dict[str, Any]:
        """The record of a pair; an empty one where there is none."""
        file = self.folder / f"{pair}.json"
        return json.loads(file.read_text()) if file.is_file() else {"group": "", "scores": []}

    def add(self, pair: str, group: str, score: Mapping[str, object]) -> None:
        """Keep one score; the file is written aside and renamed."""
        record = self.read(pair)
        record["group"] = group
        record["scores"].append(dict(score))
        self._write(pair, record)

    def drop(self, rows: Iterable[str]) -> None:
        """Forget the scores of some rows, so that they are made again."""
        gone = set(rows)
        for pair, record in self.pairs().items():
            record["scores"] = [score for score in record["scores"] if score["row"] not in gone]
            self._write(pair, record)

    def _write(self, pair: str, record: Mapping[str, object]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / f"{pair}.part"
        aside.write_text(json.dumps(record))
        os.replace(aside, self.folder / f"{pair}.json")

    def has(self, pair: str, protocol: str, row: str, host: str) -> bool:
        """Whether a score stands there."""
        return any((s["protocol"], s["row"], s["host"]) == (protocol, row, host) for s in self.read(pair)["scores"])

    def pairs(self) -> dict[str, dict[str, Any]]:
        """All records."""
        return {file.stem: json.loads(file.read_text()) for file in sorted(self.folder.glob("*.json"))}


def geometric(values: Mapping[str, float], groups: Mapping[str, str]) -> float:
    """Geometric mean within each sensor, then over the sensors; NaN of nothing."""
    return math.exp(arithmetic({pair: math.log(value) for pair, value in values.items()}, groups))


def arithmetic(values: Mapping[str, float], groups: Mapping[str, str]) -> float:
    """Mean within each sensor, then over the sensors; NaN of nothing."""
    by_sensor: dict[str, list[float]] = defaultdict(list)
    for pair, value in values.items():
        by_sensor[groups[pair]].append(value)
    means = [sum(found) / len(found) for found in by_sensor.values()]
    return sum(means) / len(means) if means else math.nan


def over(values: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float]:
    """Values over those of something else, of every pair that has both."""
    return {pair: value / base[pair] for pair, value in values.items() if base.get(pair, 0) > 0}


def least(candidates: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The smallest value of each pair."""
    found: dict[str, float] = {}
    for values in candidates:
        for pair, value in values.items():
            found[pair] = min(value, found.get(pair, math.inf))
    return found


def pooled(values: Sequence[float]) -> float:
    """Geometric mean of a list; NaN of nothing."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def number(value: float | None, form: str = ".3f") -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)
