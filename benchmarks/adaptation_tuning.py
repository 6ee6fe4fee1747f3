"""The constants of adapters, chosen on training pairs: one after the other, each the best of a handful of values.

    PANLOOM_WEIGHTS=FOLDER python benchmarks/adaptation_tuning.py search DATA OUT --adapter tailor
    python benchmarks/adaptation_tuning.py table OUT > tuning.md

FOLDER holds the public weights, see `benchmarks/adaptation.py`. Pairs are those of `benchmarks/development.txt` that
public weights fit (`--pairs all`: every such pair of `train`), each degraded in both forms of the protocol; pairs of
validation are never read. The cost is the geometric mean of ERGAS over that of the best single classical method, over
pairs, protocols and networks. Nothing is gated in the search: what each gate would have done is worked out afterwards.
A score that stands in OUT is not made again.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from adaptation_rows import SINGLE, foreign, markdown, number, pooled
from torch import Generator

from panloom.adapt import _module
from panloom.compute import Policy
from panloom.data.pairs import read_pair
from panloom.errors import PanloomWarning
from panloom.run._fits import fit_of
from panloom.run.evaluate import Judge
from panloom.run.fuse import whole
from panloom.run.protocol import Protocol, problems
from panloom.run.resolve import resolve

Value = float | str | tuple[float, ...]
Setting = Mapping[str, Value]

PROTOCOLS: tuple[Protocol, ...] = ("wald-toolbox", "wald-physical")

#: Networks that constants are chosen with.
NETWORKS = ("fusionnet", "dicnn")

#: Weights of the spectral term and of the Wald term.
SHARES = ((16.0, 1.0, 0.0, 0.0), (4.0, 1.0, 0.0, 0.0), (64.0, 1.0, 0.0, 0.0), (1.0, 4.0, 0.0, 0.0))

#: Values of each constant in the order in which they are settled; the first is that of before.
SPACES: dict[str, dict[str, tuple[Value, ...]]] = {
    "tailor": {
        "weights": ((1.0, 1.0, 0.0, 0.0), *SHARES, (1.0, 1.0, 0.1, 0.0)),
        "rate": (0.05, 0.02, 0.1),
        "form": ("wlin", "aff", "lowrank", "wres"),
        "steps": (100, 30, 200),
        "WHITE": (1e-4, 1e-3, 1e-2),
        "DEAD": (0.05, 0.01, 0.2),
        "patches": (4, 2, 8),
        "selection": ("farthest", "random", "texture"),
    },
    "cat": {
        "weights": ((1.0, 1.0, 0.0, 0.0), *SHARES),
        "rate": (0.05, 0.01, 0.02),
        "steps": (100, 30, 200),
    },
    "swift": {
        "lr": (1e-3, 3e-4, 3e-3),
        "epochs": (30, 60, 120),
        "score": ("gradient", "taylor", "fisher"),
        "grain": ("element", "filter"),
        "share": (0.2, 0.1, 0.3),
        "loss": ("l1", "mse"),
        "fewest": (16, 32, 64),
    },
}

#: Gates that are worked out afterwards.
GATES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, math.inf)

#: In place of a gate: nothing is ever kept frozen.
OPEN = 1e9


def search(
    space: Mapping[str, Sequence[Value]], cost: Callable[[Setting], float]
) -> Iterator[tuple[str, Value, float, bool]]:
    """Coordinate search from the first values: each constant, each value, its cost, and whether it is best so far."""
    best: dict[str, Value] = {name: values[0] for name, values in space.items()}
    least = cost(best)
    for name, values in space.items():
        yield name, best[name], least, True
        for value in values:
            if value == best[name]:
                continue
            found = cost({**best, name: value})
            better = found < least
            if better:
                best, least = {**best, name: value}, found
            yield name, value, found, better


@dataclass(frozen=True)
class Case:
    """A network with foreign weights on a degraded pair."""

    path: Path
    protocol: Protocol
    host: str

    @property
    def key(self) -> str:
        """In the file."""
        return f"{self.path.stem} {self.protocol} {self.host}"


def cases(data: Path, which: str, networks: Sequence[str]) -> list[Case]:
    """All of the search, pair by pair."""
    folder = data / "pansharpening" / "train"
    lines = (Path(__file__).with_name("development.txt")).read_text().splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    found = []
    for path in sorted(folder.glob("*.npz")) if which == "all" else [folder / f"{name}.npz" for name in names]:
        pair = read_pair(path)
        tag = foreign(pair.group, len(pair.sensor.bands)) if pair.ratio == 4 else None
        if tag is not None:
            found += [Case(path, protocol, f"{name}.{tag}") for name in networks for protocol in PROTOCOLS]
    return found


@functools.cache
def judge(path: Path, protocol: Protocol) -> Judge:
    """A problem that only ERGAS is asked of."""
    found = Judge.of(problems(read_pair(path), [protocol])[0])
    return replace(found, table=tuple(pair for pair in found.table if pair[0] == "ergas"))


@contextlib.contextmanager
def constants(setting: Setting) -> Iterator[dict[str, Value]]:
    """Words in capitals are constants of a module while this lasts; the rest are options of the adapter."""
    capital = {name: value for name, value in setting.items() if name.isupper()}
    before = {name: getattr(_module, name) for name in capital}
    try:
        for name, value in capital.items():
            setattr(_module, name, value)
        yield {name: value for name, value in setting.items() if name not in capital}
    finally:
        for name, value in before.items():
            setattr(_module, name, value)


def measure(case: Case, method: str, setting: Setting) -> dict[str, Any]:
    """ERGAS, and what the adapter said."""
    judging, began = judge(case.path, case.protocol), time.process_time()
    problem = judging.problem
    with warnings.catch_warnings(), constants(setting) as options:
        warnings.simplefilter("ignore", PanloomWarning)
        ready = resolve(method, options).prepare(problem.scene, Generator().manual_seed(0))
    spent, report = time.process_time() - began, fit_of(ready)
    image = whole(problem.scene, ready, Policy.in_memory("cpu", 1))[None].double() * problem.full_scale
    found = {"ergas": judging.score(image)[0]["ergas"], "cpu": spent}
    return found if report is None else {**found, "validated": report.validated, "decision": report.decision}


@dataclass
class Trials:
    """Scores of settings on cases, in a file.

    Attributes:
        file: JSON: setting, then case.
        adapter: name.
    """

    file: Path
    adapter: str

    def __post_init__(self) -> None:
        self.found: dict[str, dict[str, dict[str, Any]]] = (
            json.loads(self.file.read_text()) if self.file.is_file() else {}
        )

    def of(self, case: Case, setting: Setting | None, method: str) -> dict[str, Any]:
        """The score, made if it is not there."""
        here = self.found.setdefault(method if setting is None else words(setting), {})
        if case.key not in here:
            here[case.key] = measure(case, method, setting or {})
            self.file.write_text(json.dumps(self.found))
        return here[case.key]

    def frozen(self, case: Case) -> dict[str, Any]:
        """What the adapter gives where its gate lets nothing pass: the network behind its bridge."""
        return self.of(case, {"gate": 0.0}, f"{case.host}+{self.adapter}")

    def cost(self, every: Sequence[Case], setting: Setting) -> float:
        """Geometric mean of ERGAS over the best single classical method."""
        logs = []
        for case in every:
            single = self.of(replace(case, host=""), None, SINGLE)["ergas"]
            mine = self.of(case, {**setting, "gate": OPEN}, f"{case.host}+{self.adapter}")
            logs.append(mine["ergas"] / single)
        return pooled(logs)


def words(setting: Setting) -> str:
    """A setting as a key."""
    return json.dumps(dict(sorted(setting.items())))


def gated(adapted: float, frozen: float, validated: float | None, gate: float) -> float:
    """What a gate lets through."""
    return adapted if validated is not None and validated <= gate else frozen


def run(data: Path, out: Path, adapter: str, which: str, networks: Sequence[str]) -> None:
    """The search of an adapter; its steps go to OUT as well."""
    out.mkdir(parents=True, exist_ok=True)
    trials, every = Trials(out / f"{adapter}.trials.json", adapter), cases(data, which, networks)
    for case in every:
        trials.frozen(case)
    steps = []
    for step in search(SPACES[adapter], lambda setting: trials.cost(every, setting)):
        steps.append(step)
        (out / f"{adapter}.steps.json").write_text(json.dumps(steps))
        print(*step, file=sys.stderr, flush=True)


def settled(steps: Sequence[tuple[str, Any, float, bool]]) -> dict[str, Any]:
    """The values that the search came to."""
    found: dict[str, Any] = {}
    for name, value, _, better in steps:
        if better or name not in found:
            found[name] = tuple(value) if isinstance(value, list) else value
    return found


def table(out: Path) -> str:
    """All searches as Markdown."""
    text: list[str] = []
    for file in sorted(out.glob("*.steps.json")):
        adapter = file.name.partition(".")[0]
        steps = json.loads(file.read_text())
        trials = json.loads((out / f"{adapter}.trials.json").read_text())
        single = {key: one["ergas"] for key, one in trials[SINGLE].items()}
        rows = [[name, str(value), number(cost, ".4f"), "yes" if better else ""] for name, value, cost, better in steps]
        text += [f"### {adapter}", "", *markdown(("constant", "value", "ERGAS / best single", "taken"), rows), ""]
        text += [f"Best: {settled(steps)}", "", *_gates(trials, single), ""]
    return "\n".join(text)


def _gates(trials: Mapping[str, Mapping[str, Any]], single: Mapping[str, float]) -> list[str]:
    """What each gate does with the setting that has the least cost without one."""
    frozen = trials.get(words({"gate": 0.0}), {})
    settings = {
        key: found for key, found in trials.items() if f'"gate": {OPEN}' in key and found.keys() == frozen.keys()
    }
    if not settings:
        return []
    base = {key: single[f"{key.rpartition(' ')[0]} "] for key in frozen}
    best = min(settings.values(), key=lambda found: pooled([one["ergas"] / base[key] for key, one in found.items()]))
    rows = []
    for gate in GATES:
        values = {k: gated(best[k]["ergas"], frozen[k]["ergas"], best[k]["validated"], gate) for k in frozen}
        kept = sum(values[key] == frozen[key]["ergas"] for key in frozen)
        rows.append(
            [number(gate, "g"), number(pooled([values[k] / base[k] for k in frozen])), f"{kept} of {len(frozen)}"]
        )
    return markdown(("gate", "ERGAS / best single", "frozen"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    searching = commands.add_parser("search")
    searching.add_argument("data", type=Path)
    searching.add_argument("out", type=Path)
    searching.add_argument("--adapter", choices=list(SPACES), required=True)
    searching.add_argument("--pairs", choices=["development", "all"], default="development")
    searching.add_argument("--networks", nargs="+", default=list(NETWORKS))
    drawing = commands.add_parser("table")
    drawing.add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "table":
        print(table(given.out))
    else:
        run(given.data, given.out, given.adapter, given.pairs, given.networks)


if __name__ == "__main__":
    main()
