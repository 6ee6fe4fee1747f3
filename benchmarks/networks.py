"""Networks against the whole classical shelf, pair by pair, for `docs/benchmarks.md`.

    python benchmarks/networks.py score PAIRS OUT [--methods NAME,...] [--ratios 3,6]
    python benchmarks/networks.py table OUT > networks.md

`score` fuses every pair of a folder (docs/protocol.md says which may be used for what) by every classical method and by
the named ones, in all protocols, and pairs of ratio 4 simulated at other ratios as well; what stands in OUT already is
not computed again. `table` divides by the *best classical method of each pair and protocol, chosen with the truth*: an
oracle that no user has.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom import classical
from panloom.adapt import adapter
from panloom.data.pairs import Recorded, find_pairs, read_pair
from panloom.errors import OptionError
from panloom.networks.universal import Universal
from panloom.pair import Pair, SceneLike
from panloom.run.evaluate import evaluate
from panloom.run.protocol import at_ratio
from panloom.types import Traits

Scores = dict[tuple[str, str, str], dict[str, float]]

#: What is scored beside the shelf.
METHODS = (
    "universal.open",
    "universal.open+plain",
    "universal.open+refit",
    "universal.open-small",
    "random+refit",
    "regression",
)

#: Sensors that the shipped networks saw other scenes of.
SEEN = ("landsat-7", "landsat-8")

#: Protocols, simulated ratios apart.
REDUCED = ("wald-toolbox", "wald-physical")


@adapter("plain")
@dataclass(frozen=True)
class Plain:
    """`universal` without its step of back-projection: only for the tables.

    Attributes:
        network: trained with that step.
    """

    network: Universal

    @property
    def traits(self) -> Traits:
        """Those of the network."""
        return self.network.traits

    def prepare(self, scene: SceneLike, rng: Generator) -> Plain:
        """For a scene."""
        ready = self.network.prepare(scene, rng)
        assert isinstance(ready, Universal)
        return Plain(ready)

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """Exp and the weighted maps."""
        look = self.network.look
        assert look is not None  # `prepare` made it
        residual = torch.einsum("nfhw,f->nhw", self.network.features(pair), self.network.weights)
        return pair.exp + look.to(pair.exp).std * residual.unflatten(0, pair.ms.shape[:2])


def score(pairs: Path, out: Path, methods: Sequence[str], ratios: Sequence[int]) -> None:
    """Fill OUT with one JSON file for each pair."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = [*classical.names(), *methods]
    for path in find_pairs(pairs):
        pair = read_pair(path)
        jobs = [(pair, "both" if pair.truth is None else "reduced")]
        if pair.ratio == 4:
            jobs += [(at_ratio(pair, ratio), "wald-physical") for ratio in ratios]
        for job, protocol in jobs:
            _score_one(job, protocol, out / f"{job.name}.json", wanted)


def _score_one(pair: Recorded, protocol: str, file: Path, wanted: Sequence[str]) -> None:
    record: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {"group": pair.group, "scores": []}
    missing = [name for name in wanted if name not in {row["method"] for row in record["scores"]}]
    if not missing:
        return
    try:
        found = evaluate(pair, missing, protocol=protocol)
    except OptionError as error:
        print(f"{pair.name}: {error}", file=sys.stderr)
        return
    record["scores"] += [{**asdict(row), "bands": None} for row in found.scores]
    file.write_text(json.dumps(record))
    print(f"{pair.name}: {len(missing)} methods", file=sys.stderr)


def load(out: Path) -> tuple[Scores, dict[str, str]]:
    """Scores by (pair, protocol, method), and the sensor of each pair."""
    scores: Scores = {}
    groups: dict[str, str] = {}
    for file in sorted(out.glob("*.json")):
        record = json.loads(file.read_text())
        groups[file.stem] = record["group"]
        for row in record["scores"]:
            values = {k: v for k, v in row["values"].items() if v is not None and math.isfinite(v)}
            scores[file.stem, row["protocol"], row["method"]] = values
    return scores, groups


def oracle(scores: Scores, pair: str, protocol: str, index: str) -> tuple[str, float]:
    """The classical method with the least of an index, and its value."""
    shelf = [name for name in classical.names() if index in scores.get((pair, protocol, name), {})]
    best = min(shelf, key=lambda name: scores[pair, protocol, name][index])
    return best, scores[pair, protocol, best][index]


def relative(scores: Scores, pairs: Iterable[str], protocol: str, method: str, index: str) -> dict[str, float]:
    """Index over that of the oracle, of every pair that has both."""
    found = {}
    for pair in pairs:
        mine = scores.get((pair, protocol, method), {})
        if index in mine:
            found[pair] = mine[index] / oracle(scores, pair, protocol, index)[1]
    return found


def geometric(values: dict[str, float], groups: dict[str, str]) -> float:
    """Within each sensor, then over the sensors."""
    by_sensor: dict[str, list[float]] = defaultdict(list)
    for pair, value in values.items():
        by_sensor[groups[pair]].append(math.log(value))
    means = [sum(logs) / len(logs) for logs in by_sensor.values()]
    return math.exp(sum(means) / len(means)) if means else math.nan


def table(out: Path) -> str:
    """Everything as Markdown."""
    scores, groups = load(out)
    methods = [m for m in dict.fromkeys(method for *_, method in scores) if m not in classical.names()]
    simulated = sorted({name.rpartition("-ratio-")[2] for name in groups if "-ratio-" in name})
    plain = [name for name in groups if "-ratio-" not in name]
    blocks = {
        "sensors never seen": [name for name in plain if groups[name] not in SEEN],
        "Landsat (seen sensors, unseen scenes)": [name for name in plain if groups[name] in SEEN],
    }
    text: list[str] = []
    for protocol in REDUCED:
        for title, pairs in blocks.items():
            text += _block(f"{protocol}, {title}", scores, groups, pairs, protocol, methods)
    for ratio in simulated:
        pairs = [name for name in groups if name.endswith(f"-ratio-{ratio}")]
        text += _block(f"simulated at ratio {ratio}", scores, groups, pairs, "wald-physical", methods)
    return "\n".join([*text, *_full(scores, groups, plain, methods)])


def _block(
    title: str, scores: Scores, groups: dict[str, str], pairs: Sequence[str], protocol: str, methods: Sequence[str]
) -> list[str]:
    shelf = [(geometric(relative(scores, pairs, protocol, m, "ergas"), groups), m) for m in classical.names()]
    single = min((pair for pair in shelf if math.isfinite(pair[0])), default=(math.nan, ""))
    rows = [single[1], *methods] if single[1] else list(methods)
    lines = [f"### {title}", "", "| method | ERGAS | worst | pairs better | SAM | Q2n |", "|---|---|---|---|---|---|"]
    for method in rows:
        ergas = relative(scores, pairs, protocol, method, "ergas")
        if not ergas:
            continue
        sam = geometric(relative(scores, pairs, protocol, method, "sam"), groups)
        lines.append(
            f"| `{method}` | {geometric(ergas, groups):.3f} | {max(ergas.values()):.3f} | "
            f"{sum(value < 1 for value in ergas.values())} of {len(ergas)} | {sam:.3f} | "
            f"{_q2n(scores, pairs, protocol, method):+.4f} |"
        )
    lines += ["", "| pair | best classical | ERGAS | " + " | ".join(f"`{m}`" for m in methods) + " |"]
    lines.append("|---" * (len(methods) + 3) + "|")
    for pair in pairs:
        if not any((pair, protocol, name) in scores for name in classical.names()):
            continue
        best, value = oracle(scores, pair, protocol, "ergas")
        cells = [relative(scores, [pair], protocol, m, "ergas").get(pair) for m in methods]
        lines.append(f"| {pair} | `{best}` | {value:.3f} | " + " | ".join(_cell(c) for c in cells) + " |")
    return [*lines, ""]


def _q2n(scores: Scores, pairs: Sequence[str], protocol: str, method: str) -> float:
    """Mean over pairs of Q2n less that of the best classical method by Q2n."""
    gaps = []
    for pair in pairs:
        for index in ("q2n", "q2n-unrounded"):
            shelf = [scores.get((pair, protocol, name), {}).get(index) for name in classical.names()]
            mine = scores.get((pair, protocol, method), {}).get(index)
            known = [value for value in shelf if value is not None]
            if mine is not None and known:
                gaps.append(mine - max(known))
    return sum(gaps) / len(gaps) if gaps else math.nan


def _full(scores: Scores, groups: dict[str, str], pairs: Sequence[str], methods: Sequence[str]) -> list[str]:
    """HQNR of both forms: mean within each sensor, then over the sensors."""
    lines = ["### full resolution", "", "| method | HQNR[K-LR], physical | HQNR[K-LR] |", "|---|---|---|"]
    rows = []
    for method in [*classical.names(), *methods]:
        means = [_hqnr(scores, groups, pairs, method, index) for index in ("hqnr-physical", "hqnr")]
        rows.append((method, *means))
    shelf = [row for row in rows if row[0] in classical.names()]
    best = [max(shelf, key=lambda row: row[form]) for form in (1, 2)]
    best = [*dict.fromkeys(best), *(row for row in shelf if row[0] == "mtf-glp-cbd" and row not in best)]
    for method, physical, toolbox in [*best, *(row for row in rows if row[0] in methods)]:
        lines.append(f"| `{method}` | {physical:.4f} | {toolbox:.4f} |")
    return [*lines, ""]


def _hqnr(scores: Scores, groups: dict[str, str], pairs: Sequence[str], method: str, index: str) -> float:
    by_sensor: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        value = scores.get((pair, "full", method), {}).get(index)
        if value is not None:
            by_sensor[groups[pair]].append(value)
    means = [sum(values) / len(values) for values in by_sensor.values()]
    return sum(means) / len(means) if means else math.nan


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    scoring = commands.add_parser("score")
    scoring.add_argument("pairs", type=Path)
    scoring.add_argument("out", type=Path)
    scoring.add_argument("--methods", default=",".join(METHODS))
    scoring.add_argument("--ratios", default="3,6")
    drawing = commands.add_parser("table")
    drawing.add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "table":
        print(table(given.out))
    else:
        ratios = [int(ratio) for ratio in given.ratios.split(",") if ratio]
        score(given.pairs, given.out, [name for name in given.methods.split(",") if name], ratios)


if __name__ == "__main__":
    main()
