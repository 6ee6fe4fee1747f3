"""Methods on many pairs: every score is kept as soon as it is known, then means over sensors, and ranks."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from panloom import metrics
from panloom.compute import Policy
from panloom.errors import OptionError, PanloomError
from panloom.metrics import Metric
from panloom.run._aside import make_folder, write_text
from panloom.run._json import to_json
from panloom.run.evaluate import FIRST, Evaluation, Score, checked, evaluate
from panloom.run.protocol import CHOICES, Protocol
from panloom.run.reading import Source
from panloom.run.report import versions

#: Folder of the records of pairs, below that of the results.
PAIRS = "pairs"


@dataclass(frozen=True)
class Mean:
    """A method under one protocol, over all pairs.

    Attributes:
        method: its name.
        protocol: of the scores.
        pairs: how many pairs it was scored on.
        failed: how many it could not work on.
        values: the mean of each index by name: within each sensor, then over the sensors; geometric for indices of
            which less is better, arithmetic for the others. None where it is not defined.
        groups: the means within each sensor, by sensor and name.
        seconds: median time on a pair.
        rank: 1 is best by the first index; None where the method failed on a pair.
    """

    method: str
    protocol: Protocol
    pairs: int
    failed: int
    values: dict[str, float | None]
    groups: dict[str, dict[str, float | None]]
    seconds: float
    rank: int | None = None


@dataclass(frozen=True)
class Bench:
    """What came out.

    Attributes:
        pairs: name and sensor of every pair.
        means: every method under every protocol, best first.
        scores: of every pair, with the pair's name.
        failures: pairs that could not be read, and why.
        notes: what a reader must know.
        settings: what was asked for: protocol, options of the methods, seed.
        versions: of panloom and what it stands on.
    """

    pairs: dict[str, str]
    means: tuple[Mean, ...]
    scores: tuple[tuple[str, Score], ...]
    failures: dict[str, str]
    notes: tuple[str, ...] = ()
    settings: dict[str, object] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def protocols(self) -> list[Protocol]:
        """Those that were used, in the order of the table."""
        return [p for p in CHOICES["both"] if any(mean.protocol == p for mean in self.means)]

    def to_json(self) -> str:
        """Everything, as indented JSON."""
        record = {
            "pairs": self.pairs,
            "means": [asdict(mean) for mean in self.means],
            "scores": [{"pair": name, **asdict(score)} for name, score in self.scores],
            "failures": self.failures,
            "settings": self.settings,
            "labels": {name: metrics.get(name).label for mean in self.means for name in mean.values},
            "notes": self.notes,
            "versions": self.versions,
        }
        return to_json(record)

    def to_csv(self) -> str:
        """One line for each pair, method and protocol; the columns are the indices of both resolutions."""
        names = list(dict.fromkeys(name for _, score in self.scores for name in score.values))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["pair", "sensor", "protocol", "method", *names, "seconds", "error"])
        for pair, score in self.scores:
            values = [_cell(score.values.get(name)) for name in names]
            table.writerow(
                [pair, self.pairs[pair], score.protocol, score.method, *values, score.seconds, score.error or ""]
            )
        return text.getvalue()


#: Told when a pair begins: its name, its place from 0, and pairs in all; at the end with "".
Told = Callable[[str, int, int], None]


def bench(
    sources: Sequence[Source],
    folder: str | Path,
    methods: Sequence[str],
    *,
    protocol: str = "both",
    options: Mapping[str, object] | None = None,
    policy: Policy | None = None,
    seed: int = 0,
    progress: Told | None = None,
) -> Bench:
    """Score all methods on all pairs, or on what is missing from the records in `folder`.

    Args:
        sources: the pairs.
        folder: for `pairs/NAME.json` (kept as soon as a pair is done; taken up again by the next call), and at the end
            `bench.json` and `bench.csv`.
        methods: names; see `panloom methods`.
        protocol: "reduced", "full", "both", or one of the two reduced ones by its name.
        options: of the methods, each given to those that have it.
        policy: device and threads.
        seed: of everything random.
        progress: told when a pair begins.

    Returns:
        Scores, means and ranks. A pair that cannot be read stands among the failures, the others are done.

    Raises:
        OptionError: no pair, or wrong words; MethodError: an unknown method, or a wrong value of an option.
        OutputError: the folder cannot be written.
    """
    if not sources:
        raise OptionError("no pair was found; see: panloom bench --help")
    given = checked(methods, protocol, options)
    folder = Path(folder)
    make_folder(folder / PAIRS)
    settings = {"protocol": protocol, "options": {k: str(v) for k, v in (options or {}).items()}, "seed": seed}
    pairs: dict[str, str] = {}
    scores: list[tuple[str, Score]] = []
    failures: dict[str, str] = {}
    said: dict[str, tuple[str, ...]] = {}
    for place, source in enumerate(sources):
        if progress is not None:
            progress(source.name, place, len(sources))
        path = folder / PAIRS / f"{source.name}.json"
        known = _Record.read(path, source.stamp, settings)
        missing = [name for name in methods if name not in known.methods]
        if missing:
            try:
                pair, notes = source.read()
                words = {key: value for name in missing for key, value in given[name].items()}
                found = evaluate(pair, missing, protocol=protocol, options=words, policy=policy, seed=seed, notes=notes)
            except PanloomError as error:
                failures[source.name] = " ".join(str(error).split())
                continue
            known = known.joined(found)
            write_text(path, known.to_json())
        pairs[source.name], said[source.name] = known.group, known.notes
        scores += [(source.name, score) for score in known.scores if score.method in methods]
    if progress is not None:
        progress("", len(sources), len(sources))
    done = Bench(pairs, tuple(means(scores, pairs)), tuple(scores), failures, _gathered(said), settings)
    write_text(folder / "bench.json", done.to_json())
    write_text(folder / "bench.csv", done.to_csv())
    return done


@dataclass(frozen=True)
class _Record:
    """What is known of one pair."""

    stamp: str
    settings: Mapping[str, object]
    group: str = ""
    notes: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()

    @property
    def methods(self) -> set[str]:
        """Those that were done."""
        return {score.method for score in self.scores}

    @staticmethod
    def read(path: Path, stamp: str, settings: Mapping[str, object]) -> _Record:
        """From the file, if it is of the same pair and version; else an empty one.

        Raises:
            OptionError: it is, but of other settings: those scores are not thrown away.
        """
        empty = _Record(stamp, settings)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            same = found["stamp"] == stamp and found["versions"] == versions()
            if same and found["settings"] != settings:
                raise OptionError(
                    f"{path} holds scores made with {found['settings']}, and this call asks for {dict(settings)}; give "
                    "another --out, or remove that folder"
                )
            scores = tuple(_restored(score) for score in found["scores"])
            return _Record(stamp, settings, found["group"], tuple(found["notes"]), scores) if same else empty
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return empty  # no record, or not a whole one: the pair is done anew

    def joined(self, more: Evaluation) -> _Record:
        """With further methods."""
        return replace(self, group=more.group, notes=more.notes, scores=(*self.scores, *more.scores))

    def to_json(self) -> str:
        """For the file."""
        record = {
            "stamp": self.stamp,
            "settings": self.settings,
            "group": self.group,
            "notes": self.notes,
            "versions": versions(),
            "scores": [asdict(score) for score in self.scores],
        }
        return to_json(record)


def _restored(score: Mapping[str, Any]) -> Score:
    """A score from its record: numbers that JSON has not are NaN again."""
    values = {name: _number(value) for name, value in score["values"].items()}
    bands = {name: [_number(value) for value in given] for name, given in score["bands"].items()}
    return Score(**{**score, "values": values, "bands": bands, "notes": tuple(score.get("notes", ()))})


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def means(scores: Sequence[tuple[str, Score]], pairs: Mapping[str, str]) -> list[Mean]:
    """The means of every method under every protocol, best first.

    Args:
        scores: with the pair's name.
        pairs: the sensor of each pair.
    """
    found: list[Mean] = []
    for protocol in CHOICES["both"]:
        here = [(name, score) for name, score in scores if score.protocol == protocol]
        methods = list(dict.fromkeys(score.method for _, score in here))
        rows = [_mean(method, protocol, [(n, s) for n, s in here if s.method == method], pairs) for method in methods]
        found += _ranked(rows, metrics.get(FIRST[protocol]))
    return found


def _mean(method: str, protocol: Protocol, scores: Sequence[tuple[str, Score]], pairs: Mapping[str, str]) -> Mean:
    done = [(name, score) for name, score in scores if score.error is None]
    groups: dict[str, dict[str, float | None]] = {}
    names = list(dict.fromkeys(name for _, score in done for name in score.values))
    geometric = {name for name in names if metrics.get(name).better == "low"}  # their ratios count
    for group in dict.fromkeys(pairs[name] for name, _ in done):
        mine = [score for name, score in done if pairs[name] == group]
        groups[group] = {k: _average([s.values.get(k) for s in mine], geometric=k in geometric) for k in names}
    return Mean(
        method=method,
        protocol=protocol,
        pairs=len(done),
        failed=len(scores) - len(done),
        values={k: _average([g[k] for g in groups.values()], geometric=k in geometric) for k in names},
        groups=groups,
        seconds=round(statistics.median(s.seconds for _, s in done), 4) if done else 0.0,
    )


def _average(values: Sequence[float | None], *, geometric: bool) -> float | None:
    """The mean, if every value is known."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known or len(known) < len(values):
        return None
    if not geometric:
        return statistics.fmean(known)
    if min(known) <= 0:
        return 0.0 if min(known) == 0 else None
    return math.exp(statistics.fmean(map(math.log, known)))


def _ranked(rows: Sequence[Mean], first: Metric) -> list[Mean]:
    """Best first; methods that failed somewhere stand at the end, without a rank."""
    sign = 1 if first.better == "low" else -1

    def key(row: Mean) -> tuple[bool, float]:
        value = row.values.get(first.name)
        return row.failed > 0 or value is None, sign * (value if value is not None else math.inf)

    ordered = sorted(rows, key=key)
    return [replace(row, rank=None if key(row)[0] else place) for place, row in enumerate(ordered, 1)]


def _gathered(said: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Each note once, with the pairs that it is about."""
    about: dict[str, list[str]] = {}
    for name, notes in said.items():
        for note in notes:
            about.setdefault(note, []).append(name)
    return tuple(
        f"{note} ({'all pairs' if len(names) == len(said) else ', '.join(names)})" for note, names in about.items()
    )


def _cell(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.8g}"
