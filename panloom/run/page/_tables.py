"""What stands in which cell, as text, and which cells are best: the same for a page and for a terminal."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from panloom import metrics
from panloom.metrics import Metric
from panloom.run.bench import Bench, Mean
from panloom.run.evaluate import FIRST, Evaluation, Score
from panloom.run.protocol import Protocol

#: What stands where there is no number.
DASH = "–"

#: Indices that are told band by band. Those of structure go with them.
PER_BAND = ("ergas", "rmse", "psnr", "bias", "d-s-physical", "d-s")

_Value = float | None


@dataclass(frozen=True)
class Column:
    """The head of a column.

    Attributes:
        name: registry name of the index, or of what else is told.
        label: what is printed.
        better: which end of the scale is good; None: neither.
    """

    name: str
    label: str
    better: Literal["high", "low"] | None = None

    @property
    def arrow(self) -> str:
        """Points to the good end."""
        return {"high": "↑", "low": "↓", None: ""}[self.better]

    @property
    def arrow_words(self) -> str:
        """What the arrow says."""
        return {"high": "more is better", "low": "less is better", None: ""}[self.better]

    @property
    def head(self) -> str:
        """Label and arrow, for a head of plain text."""
        return f"{self.label} {self.arrow}".strip()


@dataclass(frozen=True)
class Cell:
    """A number as text; `best` of its column, as far as it is printed."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A method, or what else the rows are.

    Attributes:
        head: its name.
        cells: one for each column.
        error: why there are no numbers; the cells are dashes then.
    """

    head: str
    cells: tuple[Cell, ...]
    error: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows and columns.

    Attributes:
        corner: what the first column holds.
        columns: the others.
        rows: in the order in which they are shown.
    """

    corner: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def place(self, name: str) -> int:
        """Which of the columns has that name, from 0."""
        return next(k for k, column in enumerate(self.columns) if column.name == name)


def score_table(evaluation: Evaluation, protocol: Protocol) -> Table:
    """Methods and indices of one protocol, best first; methods that failed stand at the end.

    Labels hold square brackets: escape them where a terminal takes them for markup.
    """
    labels, scores = once(evaluation.labels[protocol]), ranked(evaluation, protocol)
    done = [score for score in scores if score.error is None]
    columns = [_index(name, label) for name, label in labels.items()]
    filled = [marked([s.values.get(name) for s in done], metrics.get(name)) for name in labels]
    columns.append(Column("seconds", "time s"))
    filled.append(plain([score.seconds for score in done], 2))
    rows = [Row(score.method, cells) for score, cells in zip(done, zip(*filled, strict=True), strict=True)]
    rows += [_failed(score.method, score.error, len(columns)) for score in scores if score.error is not None]
    return Table("method", tuple(columns), tuple(rows))


def once(labels: Mapping[str, str]) -> dict[str, str]:
    """Indices by name, without those whose label another one has already: with these settings both are the same.

    >>> once({"ssim-full-scale": "SSIM[L=2047,valid]", "ssim": "SSIM[L=2047,valid]"})
    {'ssim-full-scale': 'SSIM[L=2047,valid]'}
    """
    first: dict[str, str] = {}
    for name, label in labels.items():
        first.setdefault(label, name)
    return {name: label for label, name in first.items()}


def band_tables(evaluation: Evaluation, protocol: Protocol) -> list[tuple[Metric, str, Table]]:
    """For the indices whose values per band tell more than their mean: itself, its label, and methods and bands."""
    done = [score for score in ranked(evaluation, protocol) if score.error is None]
    found = []
    for name, label in evaluation.labels[protocol].items():
        index, scores = metrics.get(name), [score for score in done if score.bands.get(name)]
        if name not in PER_BAND or not scores:
            continue
        filled = [marked([_at(s.bands[name], k) for s in scores], index) for k in range(len(evaluation.bands))]
        rows = [Row(s.method, cells) for s, cells in zip(scores, zip(*filled, strict=True), strict=True)]
        columns = tuple(Column(band, band, index.better) for band in evaluation.bands)
        found.append((index, label, Table("method", columns, tuple(rows))))
    return found


def mean_table(bench: Bench, protocol: Protocol) -> Table:
    """The means of one protocol: rank, method, pairs, indices and time, in the order of the bench.

    A method that failed on a pair is not the best of a column: its means are over other pairs than those of the rest.
    """
    means = [mean for mean in bench.means if mean.protocol == protocol]
    names, whole = list(dict.fromkeys(name for mean in means for name in mean.values)), _whole(means)
    columns = [Column("rank", "rank"), Column("pairs", "pairs"), Column("failed", "failed")]
    filled = [
        [Cell(DASH if mean.rank is None else str(mean.rank)) for mean in means],
        [Cell(str(mean.pairs)) for mean in means],
        [Cell(str(mean.failed)) for mean in means],
    ]
    for name in names:
        columns.append(_index(name, general_label(name)))
        filled.append(marked([mean.values.get(name) for mean in means], metrics.get(name), whole))
    columns.append(Column("seconds", "median s"))
    filled.append(plain([mean.seconds for mean in means], 2))
    rows = [Row(mean.method, cells) for mean, cells in zip(means, zip(*filled, strict=True), strict=True)]
    return Table("method", tuple(columns), tuple(rows))


def sensor_table(bench: Bench, protocol: Protocol, name: str) -> Table:
    """The means of one index within each sensor, and over them."""
    means = [mean for mean in bench.means if mean.protocol == protocol]
    index, sensors, whole = metrics.get(name), sensors_of(means), _whole(means)
    columns = [Column(sensor, sensor, index.better) for sensor in sensors]
    filled = [marked([mean.groups.get(sensor, {}).get(name) for mean in means], index, whole) for sensor in sensors]
    columns.append(Column("all", "over sensors", index.better))
    filled.append(marked([mean.values.get(name) for mean in means], index, whole))
    rows = [Row(mean.method, cells) for mean, cells in zip(means, zip(*filled, strict=True), strict=True)]
    return Table("method", tuple(columns), tuple(rows))


def sensors_of(means: Iterable[Mean]) -> list[str]:
    """The sensors that were scored, in the order in which they came."""
    return list(dict.fromkeys(sensor for mean in means for sensor in mean.groups))


def general_label(name: str) -> str:
    """The label of an index whose settings differ from pair to pair: "PSNR[peak=full scale,band-mean]"."""
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: found[1].replace("_", " "), metrics.get(name).label)


def ranked(evaluation: Evaluation, protocol: Protocol) -> list[Score]:
    """The scores of a protocol, best first; those without a value of the index, and then failed ones, at the end."""
    here = [score for score in evaluation.scores if score.protocol == protocol]
    first = FIRST[protocol]
    index = metrics.get(first)

    def key(score: Score) -> tuple[bool, float]:
        value = score.values.get(first)
        return score.error is not None, badness(math.nan if value is None else value, index)

    return sorted(here, key=key)


def badness(value: float, index: Metric) -> float:
    """Less is better: the distance from perfect, or the value itself where perfect is infinite; infinite for NaN."""
    if math.isnan(value):
        return math.inf
    return -value if math.isinf(index.perfect) else abs(value - index.perfect)


def marked(values: Sequence[_Value], index: Metric, compete: Sequence[bool] | None = None) -> list[Cell]:
    """A column of values; every one that is printed like the best one is best.

    Args:
        values: of the column.
        index: what they are.
        compete: which of them may be best; None: all.
    """
    cells = plain(values)
    # Where 0 is perfect the sign does not count, as that of a bias.
    texts = [cell.text.lstrip("-") if index.perfect == 0 else cell.text for cell in cells]
    allowed = [True] * len(values) if compete is None else compete
    known = [
        (badness(value, index), text)
        for value, text, may in zip(values, texts, allowed, strict=True)
        if may and value is not None and math.isfinite(value)
    ]
    best = min(known, key=lambda pair: pair[0])[1] if known else None
    return [Cell(cell.text, may and text == best) for cell, text, may in zip(cells, texts, allowed, strict=True)]


def plain(values: Sequence[_Value], decimals: int | None = None) -> list[Cell]:
    """A column of values with as many decimals as its median needs, the same ones in every row."""
    known = [abs(v) for v in values if v is not None and math.isfinite(v)]
    digits = _decimals(known) if decimals is None else decimals
    return [Cell(f"{v:.{digits}f}" if v is not None and math.isfinite(v) else DASH) for v in values]


def _decimals(sizes: Sequence[float]) -> int:
    """Four digits that count, but no more than four decimals unless the numbers are very small."""
    middle = statistics.median(sizes) if sizes else 0.0
    if middle <= 0:
        return 4
    needed = 3 - math.floor(math.log10(middle))
    return max(0, min(needed, 4 if middle >= 1e-3 else 8))


def _whole(means: Iterable[Mean]) -> list[bool]:
    return [mean.failed == 0 for mean in means]


def _index(name: str, label: str) -> Column:
    return Column(name, label, metrics.get(name).better)


def _failed(method: str, error: str, columns: int) -> Row:
    return Row(method, (Cell(DASH),) * columns, error)


def _at(values: Sequence[_Value], place: int) -> _Value:
    return values[place] if place < len(values) else None
