"""Adapters on networks of a foreign sensor, beside their controls, pair by pair, for `docs/adaptation.md`.

    python benchmarks/adaptation.py weights PUBLISHED DATA FOLDER      # once: FOLDER becomes PANLOOM_WEIGHTS
    PANLOOM_WEIGHTS=FOLDER python benchmarks/adaptation.py score DATA OUT [--split train|val]
    python benchmarks/adaptation.py table OUT > adaptation.md

PUBLISHED is a folder with the public toolbox's weights as `WV3_fusionnet.safetensors` and so on. They have no open
licence, so they are taken in for these tables and never passed on. `score` runs every row on every pair of ratio 4 with
4 or 8 bands, and those without a public network on all other pairs too; the adaptation is repeated on each degraded
pair. Each score is kept as soon as it is there, and what stands in OUT is not computed again. `--cache` is an OUT of
`benchmarks/networks.py`, whose classical scores are taken over.

Times are of one thread, in float32: seconds by the clock, and processor seconds of preparing (with the adaptation) and
of inference.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from adaptation_rows import (
    BACKBONES,
    FREE,
    HOSTED,
    SENSORS,
    SINGLE,
    STATISTICS,
    Row,
    Store,
    arithmetic,
    geometric,
    host_of,
    least,
    markdown,
    number,
    over,
)
from torch import Generator

from panloom import classical, weights
from panloom.compute import Policy, processor_name
from panloom.data.pairs import Recorded, find_pairs, read_pair
from panloom.errors import PanloomError, PanloomWarning
from panloom.pair import Fuser
from panloom.run._fits import check_fits, fit_of
from panloom.run.evaluate import Judge
from panloom.run.fuse import whole
from panloom.run.protocol import Protocol, problems
from panloom.run.resolve import card_of, resolve

REDUCED: tuple[Protocol, ...] = ("wald-toolbox", "wald-physical")

#: What is kept of each protocol.
WANTED = ("ergas", "sam", "q2n", "q2n-unrounded", "hqnr-physical", "hqnr")

#: The other classical methods, of which the best one of each pair is the oracle: only where there is a truth.
SHELF = {name: Row(name, name) for name in classical.names() if name != SINGLE}

#: File names of public weights: networks, and sensors.
FILES = {"fusionnet": "fusionnet", "dicnn": "dicnn1", "pannet": "pannet", "pnn": "pnn"}

#: Aims: row, backbones, what is judged, and the most it may be (of HQNR: the least).
TARGETS = (
    ("refit", ("fusionnet", "dicnn"), "single", 0.88),
    ("refit", ("fusionnet", "dicnn"), "direct", 0.60),
    ("refit", ("fusionnet", "dicnn"), "hqnr", 0.94),
    ("tailor", ("fusionnet", "dicnn"), "single", 0.88),
    ("tailor", ("fusionnet", "dicnn"), "direct", 0.60),
    ("tailor", ("fusionnet", "dicnn"), "hqnr", 0.94),
    ("cat", ("fusionnet", "dicnn"), "direct", 0.70),
    ("refit", ("pannet", "pnn"), "single", 1.0),
)


def take_in(published: Path, data: Path, folder: Path) -> None:
    """Public weights as panloom's, with the statistics that are known of their sensors."""
    for tag in SENSORS:
        known: dict[str, object] = {
            "licence": "Public weights without an open licence; for comparison only, not to be passed on",
            "ratios": [4],
            "full_scale": 2047.0,
            "cite": ["deng2022"],
        }
        if tag in STATISTICS:
            known["source"] = source(read_pair(data / "pansharpening" / "train" / f"{STATISTICS[tag]}.npz"))
            known["note"] = f"source: statistics of the training pair {STATISTICS[tag]}, in place of those of training"
        for network, file in FILES.items():
            path = published / f"{tag.upper()}_{file}.safetensors"
            weights.import_weights(path, tag, network=network, facts=known, folder=folder, overwrite=True)


def source(pair: Recorded) -> dict[str, object]:
    """Means and deviations of a pair, in full scales."""
    image = pair.truth if pair.ms is None or pair.truth is not None else pair.ms
    assert image is not None
    bands = image[0][:, pair.ms_valid[0, 0]] / pair.full_scale
    pan = pair.pan[pair.pan_valid] / pair.full_scale
    of_bands = {"mean": bands.mean(1).tolist(), "std": bands.std(1, correction=0).tolist()}
    return {**of_bands, "pan_mean": float(pan.mean()), "pan_std": float(pan.std(correction=0))}


@dataclass(frozen=True)
class Job:
    """One score to be made."""

    path: Path
    protocol: Protocol
    row: Row
    host: str

    @property
    def method(self) -> str:
        """As `panloom` knows it."""
        return self.row.method.format(host=self.host)


@functools.cache
def facts(path: Path) -> tuple[str, int, int, bool]:
    """Sensor, sharpened bands, ratio, and whether a pair comes with its truth."""
    pair = read_pair(path)
    return pair.group, sum(band.role == "sharpen" for band in pair.sensor.bands), pair.ratio, pair.truth is not None


@functools.lru_cache(maxsize=48)
def judge(path: Path, protocol: Protocol) -> Judge:
    """A problem, and the few indices that are asked for."""
    found = Judge.of(problems(read_pair(path), [protocol])[0])
    return replace(found, table=tuple(pair for pair in found.table if pair[0] in WANTED))


def jobs(paths: Sequence[Path], rows: Sequence[Row], *, stages: Sequence[str], second: bool) -> Iterator[Job]:
    """All scores, stage by stage, the cheapest rows first."""
    known = {"reduced": REDUCED, "full": ("full",)}
    for stage in stages:
        protocols = known[stage]
        for row in rows:
            for path in paths:
                for host in hosts(row, path, second=second):
                    for protocol in protocols:
                        if protocol != "full" or not (facts(path)[3] or row.method in SHELF):
                            yield Job(path, protocol, row, host)


def hosts(row: Row, path: Path, *, second: bool) -> list[str]:
    """Backbones with their weights that a row is made with on a pair; "" of a row without."""
    sensor, bands, ratio, _ = facts(path)
    if not row.hosted:
        return [""]
    if ratio != 4:
        return []
    found = [host_of(row, backbone, sensor, bands, second=second) for backbone in BACKBONES]
    return [host for host in found if host is not None]


def score(job: Job) -> dict[str, Any]:
    """Fuse and score."""
    kept: dict[str, Any] = {"protocol": job.protocol, "row": job.row.name, "host": job.host, "method": job.method}
    judging = judge(job.path, job.protocol)
    problem, clock = judging.problem, [(time.perf_counter(), time.process_time())]
    try:
        fuser = check_fits(resolve(job.method, job.row.options), job.method, problem.scene)
        ready = fuser.prepare(problem.scene, Generator().manual_seed(0))
        clock.append((time.perf_counter(), time.process_time()))
        image = whole(problem.scene, ready, Policy.in_memory("cpu", 1))[None].double() * problem.full_scale
        clock.append((time.perf_counter(), time.process_time()))
        values = judging.score(image)[0]
    except PanloomError as error:
        return {**kept, "values": {}, "error": " ".join(str(error).split())}
    (began, cpu), (_, prepared), (ended, done) = clock
    kept |= {"seconds": ended - began, "prepare_cpu": prepared - cpu, "infer_cpu": done - prepared}
    card = card_of(job.method)
    kept["weights"] = None if card is None else card.sha256
    return {**kept, "values": values, **fit_facts(ready)}


def fit_facts(fuser: Fuser) -> dict[str, object]:
    """What an adapter decided."""
    report = fit_of(fuser)
    return {} if report is None else {"decision": report.decision, "validated": report.validated}


def fill(store: Store, todo: Iterable[Job]) -> None:
    """Make every score that is not there."""
    for job in todo:
        if store.has(job.path.stem, job.protocol, job.row.name, job.host):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PanloomWarning)
            found = score(job)
        store.add(job.path.stem, facts(job.path)[0], found)
        told = found.get("error") or f"{found['seconds']:.1f} s"
        print(f"{job.path.stem}, {job.protocol}: {job.method} {dict(job.row.options)}: {told}", file=sys.stderr)


def reuse(cache: Path, store: Store, paths: Sequence[Path]) -> None:
    """Take over the classical scores of `benchmarks/networks.py`; they have no processor seconds."""
    for path in paths:
        file = cache / f"{path.stem}.json"
        for row in json.loads(file.read_text())["scores"] if file.is_file() else []:
            name, protocol = row["method"], row["protocol"]
            if name in SHELF and protocol in REDUCED and not store.has(path.stem, protocol, name, ""):
                kept = {"protocol": protocol, "row": name, "host": "", "method": name, "seconds": row["seconds"]}
                values = {key: value for key, value in row["values"].items() if key in WANTED}
                store.add(path.stem, facts(path)[0], {**kept, "values": values})


@dataclass(frozen=True)
class Table:
    """Scores by (protocol, backbone, row, index), each by pair.

    Attributes:
        values: of the indices, and of `seconds`, `prepare_cpu`, `infer_cpu` and `frozen` (1 where a gate said so).
        groups: sensor of each pair.
    """

    values: dict[tuple[str, str, str, str], dict[str, float]]
    groups: dict[str, str]

    @staticmethod
    def of(records: dict[str, dict[str, Any]], *, second: bool = False) -> Table:
        """From what `score` kept."""
        values: dict[tuple[str, str, str, str], dict[str, float]] = {}
        for pair, record in records.items():
            for one in record["scores"]:
                if not _meant(one, record["group"], second=second):
                    continue
                found = {**one["values"], **{k: one.get(k) for k in ("seconds", "prepare_cpu", "infer_cpu")}}
                found["frozen"] = float(one["decision"] != "adapted") if "decision" in one else None
                found["q2n"] = found.get("q2n", found.get("q2n-unrounded"))
                for index, value in found.items():
                    if value is not None and math.isfinite(value):
                        backbone = one["host"].partition(".")[0]
                        values.setdefault((one["protocol"], backbone, one["row"], index), {})[pair] = value
        return Table(values, {pair: record["group"] for pair, record in records.items()})

    def get(self, protocol: str, backbone: str, row: str, index: str) -> dict[str, float]:
        """By pair; nothing where nothing was measured."""
        return self.values.get((protocol, backbone, row, index), {})

    def mean(self, protocol: str, backbone: str, row: str, index: str) -> float:
        """Within sensors, then over them."""
        return arithmetic(self.get(protocol, backbone, row, index), self.groups)

    def against(self, protocol: str, backbone: str, row: str, base: str, index: str = "ergas") -> float:
        """Geometric mean over `direct`, `single` or `oracle`."""
        mine = self.get(protocol, backbone, row, index)
        bases = {
            "direct": lambda: self.get(protocol, backbone, "direct", index),
            "single": lambda: self.get(protocol, "", SINGLE, index),
            "oracle": lambda: least(self.get(protocol, "", name, index) for name in classical.names()),
        }
        return geometric(over(mine, bases[base]()), self.groups)


def _meant(one: dict[str, Any], sensor: str, *, second: bool) -> bool:
    """Whether a score's weights are those that are asked for."""
    tag = one["host"].partition(".")[2]
    if not tag or one["row"] == "same-sensor weights":
        return True
    bands = 8 if tag in ("wv2", "wv3") else 4
    row = Row(one["row"], "{host}")
    return one["host"] == host_of(row, one["host"].partition(".")[0], sensor, bands, second=second)


HEAD = ("network", "row", "ERGAS / direct", "/ best single", "/ oracle", "worst / single", "SAM / single", "Q2n")
HEAD += ("frozen by gate", "seconds", "CPU s, prepare", "CPU s, inference", "pairs")


def reduced(found: Table, protocol: str) -> list[str]:
    """The table of a protocol with a truth."""
    lines = []
    for backbone, row in lines_of(found):
        mine = found.get(protocol, backbone, row, "ergas")
        if not mine:
            continue
        frozen = found.get(protocol, backbone, row, "frozen")
        worst = over(mine, found.get(protocol, "", SINGLE, "ergas"))
        times = [found.mean(protocol, backbone, row, k) for k in ("seconds", "prepare_cpu", "infer_cpu")]
        lines.append(
            [
                backbone,
                row,
                number(found.against(protocol, backbone, row, "direct")),
                number(found.against(protocol, backbone, row, "single")),
                number(found.against(protocol, backbone, row, "oracle")),
                number(max(worst.values(), default=math.nan)),
                number(found.against(protocol, backbone, row, "single", "sam")),
                number(found.mean(protocol, backbone, row, "q2n"), ".4f"),
                f"{sum(frozen.values()):.0f}" if frozen else "",
                *(number(value, ".2f") for value in times),
                str(len(mine)),
            ]
        )
    return markdown(HEAD, lines) if lines else []


def full(found: Table) -> list[str]:
    """The table without a truth."""
    lines = []
    for backbone, row in lines_of(found):
        mine = found.get("full", backbone, row, "hqnr-physical")
        if mine:
            means = [found.mean("full", backbone, row, index) for index in ("hqnr-physical", "hqnr")]
            times = [found.mean("full", backbone, row, k) for k in ("seconds", "prepare_cpu", "infer_cpu")]
            numbers = [number(value, ".4f") for value in means] + [number(value, ".2f") for value in times]
            lines.append([backbone, row, *numbers, number(min(mine.values()), ".4f"), str(len(mine))])
    head = ("network", "row", "HQNR[K-LR], physical", "HQNR[K-LR]", "seconds", "CPU s, prepare", "CPU s, inference")
    return markdown((*head, "least, physical", "pairs"), lines) if lines else []


def lines_of(found: Table) -> list[tuple[str, str]]:
    """Backbones and rows, in the order of the table."""
    known = dict.fromkeys((backbone, row) for _, backbone, row, _ in found.values)
    free = [("", row.name) for row in FREE]
    hosted = [(backbone, row.name) for backbone in BACKBONES for row in HOSTED]
    return [line for line in [*free, *hosted] if line in known]


def targets(found: Table) -> list[str]:
    """The aims, and what is there."""
    lines = []
    for row, backbones, what, limit in TARGETS:
        for backbone in backbones:
            if what == "hqnr":
                values = [found.mean("full", backbone, row, index) for index in ("hqnr-physical", "hqnr")]
            else:
                values = [found.against(protocol, backbone, row, what) for protocol in REDUCED]
            met = [value >= limit if what == "hqnr" else value <= limit for value in values]
            asked = f"mean HQNR at least {limit}" if what == "hqnr" else f"ERGAS / {what} at most {limit}"
            said = " / ".join(number(value, ".4f" if what == "hqnr" else ".3f") for value in values)
            lines.append([backbone, row, asked, said, " / ".join("yes" if yes else "no" for yes in met)])
    return markdown(
        ("network", "row", "asked", "wald-toolbox / wald-physical (HQNR: physical / toolbox)", "met"), lines
    )


def table(out: Path, *, second: bool = False) -> str:
    """Everything as Markdown."""
    records = Store(out).pairs()
    hosted = {name for name, one in records.items() if any(score["host"] for score in one["scores"])}
    text = [f"{processor_name()}, one thread, float32, torch {torch.__version__}", ""]
    blocks = {"ratio 4, 4 or 8 bands": hosted, "other pairs": records.keys() - hosted}
    for title, names in blocks.items():
        found = Table.of({name: records[name] for name in sorted(names)}, second=second)
        for protocol in REDUCED:
            text += [f"### {title}: {protocol}", "", *reduced(found, protocol), ""]
        text += [f"### {title}: full resolution", "", *full(found), ""]
        if names == hosted:
            text += ["### targets", "", *targets(found), ""]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    taking = commands.add_parser("weights")
    for word in ("published", "data", "folder"):
        taking.add_argument(word, type=Path)
    scoring = commands.add_parser("score")
    scoring.add_argument("data", type=Path)
    scoring.add_argument("out", type=Path)
    scoring.add_argument("--split", choices=["train", "val"], default="train")
    scoring.add_argument("--pairs", default="", help="names, with commas; all of the split unless given")
    scoring.add_argument("--rows", default="", help="names, with semicolons; all unless given")
    scoring.add_argument("--stages", nargs="+", choices=["reduced", "full"], default=["reduced", "full"])
    scoring.add_argument("--again", action="store_true", help="forget what stands in OUT of the named rows")
    scoring.add_argument("--second", action="store_true", help="the second foreign weights")
    scoring.add_argument("--cache", type=Path, help="an OUT of benchmarks/networks.py")
    drawing = commands.add_parser("table")
    drawing.add_argument("out", type=Path)
    drawing.add_argument("--second", action="store_true", help="the second foreign weights")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "weights":
        take_in(given.published, given.data, given.folder)
    elif given.command == "table":
        print(table(given.out, second=given.second))
    else:
        start(given)


def start(given: argparse.Namespace) -> None:
    """Score."""
    asked = [name for name in given.pairs.split(",") if name]
    paths = [p for p in find_pairs(given.data / "pansharpening" / given.split) if not asked or p.stem in asked]
    named = [name for name in given.rows.split(";") if name]
    rows = [row for row in (*SHELF.values(), *FREE, *HOSTED) if not named or row.name in named]
    if "universal.open-fit" not in weights.names():
        rows = [row for row in rows if row.name != "universal.open-fit"]
    store = Store(given.out)
    if given.again:
        store.drop(named)
    if given.cache is not None:
        reuse(given.cache, store, paths)
    fill(store, jobs(paths, rows, stages=given.stages, second=given.second))


if __name__ == "__main__":
    main()
