"""Networks against the whole classical shelf, pair by pair, for `docs/benchmarks.md`.

    python benchmarks/networks.py score PAIRS OUT [--methods NAME,...] [--ratios 3,6]
    python benchmarks/networks.py table OUT > networks.md

`score` fuses every pair of a folder (docs/protocol.md says which may be used for what) by every classical method and by
the named ones, in all protocols, and pairs of ratio 4 simulated at other ratios as well; what stands in OUT already is
not computed again. `table` divides by the *best classical method of each pair and protocol, chosen with the truth*: an
oracle that no user has.

Two rows with the truth stand beside the methods at reduced resolution. MOVED is that oracle again, with PAN moved to
where MS lies, as `universal` moves it: it shows what of a network's lead is registration. NOISE is no method: it is the
error that would be left if of every band only that were wrong which neither PAN nor the *true* other bands explain,
pixel by pixel, in the finest octave of the truth: mostly noise of the recorded truth, which nothing can predict.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from panloom import classical
from panloom.adapt import adapter
from panloom.compute import Policy
from panloom.data.pairs import Recorded, find_pairs, read_pair
from panloom.errors import OptionError
from panloom.networks.universal import Universal
from panloom.optics.alignment import Moved, aligned
from panloom.optics.moments import Moments
from panloom.optics.octaves import in_finest_octave, unexplained
from panloom.pair import Pair, Reduced, SceneLike
from panloom.run.evaluate import Judge, evaluate
from panloom.run.fuse import whole
from panloom.run.protocol import CHOICES, Problem, at_ratio, problems
from panloom.run.resolve import resolve
from panloom.types import Tile, Traits, Window

Scores = dict[tuple[str, str, str], dict[str, float]]

#: Rows with the truth, see above.
MOVED, NOISE = "best classical with PAN moved", "noise of the truth"

#: What is scored beside the shelf.
METHODS = (
    "universal.open",
    "universal.open+plain",
    "universal.open+refit",
    "universal.open-small",
    "random+refit",
    "regression",
    MOVED,
    NOISE,
)

#: What is measured of MOVED.
INDICES = ("ergas", "sam", "q2n", "q2n-unrounded")

#: Share of white noise that is left of it where the mean of 3 x 3 pixels is taken away.
LEFT = 8 / 9

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


def moved_shelf(problem: Problem) -> dict[str, float]:
    """Indices of the classical method with the least ERGAS, PAN moved for all of them."""
    judge = Judge.of(problem)
    judge = replace(judge, table=tuple((name, index) for name, index in judge.table if name in INDICES))
    found: list[dict[str, float]] = []
    for name in classical.names():
        fuser = Moved(resolve(name)).prepare(problem.scene, Generator().manual_seed(0))
        image = whole(problem.scene, fuser, Policy.in_memory("cpu", 1))[None]
        found.append(judge.score(image.double() * problem.full_scale)[0])
    return min(found, key=lambda values: values["ergas"])


def noise(problem: Problem) -> dict[str, float]:
    """ERGAS of what neither PAN nor the other bands explain of the truth in its finest octave, taken for white."""
    cells = Window(0, 0, *problem.scene.grid.cells)
    pair = aligned(problem.scene).read(Tile(0, cells.scaled(problem.scene.grid.ratio), cells))
    assert problem.truth is not None
    assert problem.truth_valid is not None
    inner = (..., *(slice(problem.cut, -problem.cut or None),) * 2)
    truth, valid = problem.truth[inner], (problem.truth_valid & pair.valid)[inner]
    found = Moments.of(in_finest_octave(Reduced(pair.pan[inner].double(), truth, valid)))
    left = unexplained(found.comoment / (found.count - 1)) / LEFT
    means = truth.transpose(0, 1)[:, valid[:, 0]].mean(1)
    return {"ergas": 100 / problem.scene.grid.ratio * float((left / means.square()).mean().sqrt())}


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
    truths = {MOVED: moved_shelf, NOISE: noise}
    known = [name for name in missing if name in truths]
    if not missing:
        return
    methods = [name for name in missing if name not in truths]
    try:
        found = evaluate(pair, methods, protocol=protocol).scores if methods else ()
        given = problems(pair, [p for p in CHOICES[protocol] if p != "full"]) if known else []
    except OptionError as error:
        print(f"{pair.name}: {error}", file=sys.stderr)
        return
    record["scores"] += [{**asdict(row), "bands": None} for row in found]
    record["scores"] += [
        {"method": name, "protocol": problem.protocol, "values": truths[name](problem)}
        for name in known
        for problem in given
    ]
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
            f"| {_label(method)} | {geometric(ergas, groups):.3f} | {max(ergas.values()):.3f} | "
            f"{sum(value < 1 for value in ergas.values())} of {len(ergas)} | {_cell(sam)} | "
            f"{_cell(_q2n(scores, pairs, protocol, method), '+.4f')} |"
        )
    lines += ["", "| pair | best classical | ERGAS | " + " | ".join(_label(m) for m in methods) + " |"]
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
        if not all(math.isnan(mean) for mean in means):
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


def _label(method: str) -> str:
    return method if method in (MOVED, NOISE) else f"`{method}`"


def _cell(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)


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
