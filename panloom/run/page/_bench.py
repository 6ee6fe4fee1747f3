"""The page of a bench: ranks, means and failures. Numbers only, since imagery of many owners goes into them."""

from __future__ import annotations

from collections import Counter

from panloom import metrics
from panloom.run.bench import Bench
from panloom.run.evaluate import FIRST
from panloom.run.page._charts import Dots, dot_legend, dot_plot
from panloom.run.page._html import Html, document, facts, grid, joined, listing, section, styled, tag
from panloom.run.page._protocols import ORDER, TITLES, WORDS
from panloom.run.page._tables import (
    Cell,
    Column,
    Row,
    Table,
    general_label,
    mean_table,
    sensor_table,
    sensors_of,
)
from panloom.run.protocol import Protocol


def bench_page(bench: Bench) -> str:
    """The whole HTML document; it loads nothing, and holds no picture of any pair.

    Args:
        bench: from `panloom.run.bench.bench`.
    """
    protocols = _protocols(bench)
    parts = [_about(bench), *(_protocol(bench, protocol) for protocol in protocols)]
    links = [("about", "What was run"), *((p, f"{TITLES[p]} ({p})") for p in protocols)]
    if bench.notes:
        parts.append(section("notes", "Notes", listing("notes", bench.notes)))
        links.append(("notes", "Notes"))
    failed = _failures(bench)
    if failed:
        parts.append(section("failures", "What failed", failed))
        links.append(("failures", "What failed"))
    foot = ", ".join(f"{name} {number}" for name, number in bench.versions.items())
    title = f"{len(_methods(bench))} methods on {len(bench.pairs)} pairs"
    return document(title, "panloom bench", links, parts, foot)


def _protocols(bench: Bench) -> list[Protocol]:
    return [protocol for protocol in ORDER if protocol in bench.protocols]


def _methods(bench: Bench) -> list[str]:
    return list(dict.fromkeys(mean.method for mean in bench.means))


def _about(bench: Bench) -> Html:
    sensors = Counter(bench.pairs.values())
    rows = [
        ("pairs", str(len(bench.pairs))),
        ("sensors", ", ".join(f"{name} ({count})" for name, count in sensors.items())),
        ("pairs that could not be read", str(len(bench.failures))),
        ("protocols", ", ".join(_protocols(bench))),
        ("methods", ", ".join(_methods(bench))),
    ]
    rows += [(name, str(value)) for name, value in bench.settings.items() if name != "protocol" and value != {}]
    means = tag(
        "p",
        "Means are taken within each sensor first and then over the sensors, so that a sensor with many pairs weighs "
        "as much as one with few: geometric where less is better, plain where more is better. A method that failed on "
        "a pair has no rank, and is the best of no column.",
    )
    return section("about", "What was run", _cards(bench), facts(rows), means)


def _cards(bench: Bench) -> Html:
    cards = []
    for protocol in _protocols(bench):
        means = [mean for mean in bench.means if mean.protocol == protocol]
        if means[0].rank is None:
            continue
        table = mean_table(bench, protocol)
        first = table.place(FIRST[protocol])
        number = f"{table.columns[first].label} {table.rows[0].cells[first].text}, of {len(means)} methods"
        what = f"first at {TITLES[protocol][0].lower()}{TITLES[protocol][1:]}"
        cards.append(styled("card", styled("what", what), styled("who", means[0].method), styled("what", number)))
    return styled("cards", *cards)


def _protocol(bench: Bench, protocol: Protocol) -> Html:
    means = [mean for mean in bench.means if mean.protocol == protocol]
    parts: list[Html] = [tag("p", tag("code", protocol), ": ", WORDS[protocol]), grid(mean_table(bench, protocol))]
    name = FIRST[protocol]
    if any(name in mean.values for mean in means):
        sensors, label = sensors_of(means), general_label(name)
        rows = [Dots(m.method, {s: m.groups.get(s, {}).get(name) for s in sensors}, m.values.get(name)) for m in means]
        arrow = {"low": "less is better", "high": "more is better"}[metrics.get(name).better]
        plot = tag("figure", dot_plot(f"{label}, {arrow}", rows, sensors), dot_legend(sensors))
        parts += [tag("h3", f"{label} by sensor"), plot, grid(sensor_table(bench, protocol, name))]
    return section(protocol, TITLES[protocol], *parts)


def _failures(bench: Bench) -> Html:
    """Pairs that could not be read, and methods that failed on a pair."""
    unread = [Row(name, (Cell(reason),)) for name, reason in bench.failures.items()]
    failed = [
        Row(score.method, (Cell(pair), Cell(score.protocol), Cell(score.error)))
        for pair, score in bench.scores
        if score.error is not None
    ]
    parts: list[Html] = []
    if unread:
        columns = (Column("reason", "reason"),)
        parts += [tag("h3", "Pairs that could not be read"), _words(Table("pair", columns, tuple(unread)))]
    if failed:
        columns = (Column("pair", "pair"), Column("protocol", "protocol"), Column("reason", "reason"))
        parts += [tag("h3", "Methods that failed on a pair"), _words(Table("method", columns, tuple(failed)))]
    return joined(parts)


def _words(table: Table) -> Html:
    return styled("words", grid(table))
