"""How far adapted networks carry: made for one Landsat-7 scene, used on the others without a look at them.

    PANLOOM_WEIGHTS=FOLDER python benchmarks/adaptation_carry.py score DATA OUT [--split train|val] [--scenes 6]
    python benchmarks/adaptation_carry.py table OUT > carry.md

FOLDER holds the public weights, see `benchmarks/adaptation.py`. Each network is adapted to each scene (degraded in the
`wald-physical` form, so that its truth is known), and what was prepared fuses all scenes: weights, bridge and all. On
the diagonal a network sees the scene that it was made for. Scenes of `train` are spread evenly over its four path/rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from adaptation_rows import markdown, number, pooled
from torch import Generator

from panloom.compute import Policy
from panloom.data.pairs import Recorded, only, read_pair
from panloom.errors import PanloomWarning
from panloom.pair import Fuser
from panloom.run._fits import fit_of
from panloom.run.evaluate import Judge
from panloom.run.fuse import whole
from panloom.run.protocol import problems
from panloom.run.resolve import resolve

#: What is carried, and how it is made; `direct` and the classical method are the ones to beat.
METHODS: dict[str, tuple[str, dict[str, object]]] = {
    "mtf-glp-cbd": ("mtf-glp-cbd", {}),
    "fusionnet": ("fusionnet.qb", {}),
    "fusionnet+refit": ("fusionnet.qb+refit", {}),
    "fusionnet+tailor": ("fusionnet.qb+tailor", {"preset": "quality"}),
    "fusionnet+swift": ("fusionnet.qb+swift", {}),
    "dicnn": ("dicnn.qb", {}),
    "dicnn+refit": ("dicnn.qb+refit", {}),
    "dicnn+tailor": ("dicnn.qb+tailor", {"preset": "quality"}),
    "dicnn+swift": ("dicnn.qb+swift", {}),
    "random+refit": ("random+refit", {}),
    "universal.open": ("universal.open", {}),
    "universal.open+refit": ("universal.open+refit", {}),
}

Matrix = list[list[float]]


def spread(names: Sequence[str], count: int) -> list[str]:
    """Some of a list, evenly."""
    if count >= len(names):
        return list(names)
    return [names[round(k * (len(names) - 1) / max(count - 1, 1))] for k in range(count)]


def judges(folder: Path, count: int) -> dict[str, Judge]:
    """Scenes, with ERGAS alone."""
    names = sorted(path.stem for path in folder.glob("fuse_L7_*.npz"))
    found = {}
    for name in spread(names, count):
        judge = Judge.of(problems(by_wavelength(read_pair(folder / f"{name}.npz")), ["wald-physical"])[0])
        found[name] = replace(judge, table=tuple(pair for pair in judge.table if pair[0] == "ergas"))
    return found


def by_wavelength(pair: Recorded) -> Recorded:
    """Bands that are sharpened, from blue on, as the public weights know them; the files have red first."""
    sharp = [k for k, band in enumerate(pair.sensor.bands) if band.role == "sharpen"]
    return only(pair, sorted(sharp, key=lambda k: pair.sensor.bands[k].centre_nm))


def fused(judge: Judge, fuser: Fuser) -> float:
    """ERGAS of a prepared method."""
    problem = judge.problem
    image = whole(problem.scene, fuser, Policy.in_memory("cpu", 1))[None].double() * problem.full_scale
    return judge.score(image)[0]["ergas"]


def carried(name: str, scenes: dict[str, Judge]) -> dict[str, object]:
    """ERGAS of what was made for each scene (rows) on each scene (columns), and what the gates said."""
    method, options = METHODS[name]
    matrix: Matrix = []
    said = []
    for made_for in scenes.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PanloomWarning)
            ready = resolve(method, options).prepare(made_for.problem.scene, Generator().manual_seed(0))
        report = fit_of(ready)
        said.append(None if report is None else report.decision)
        matrix.append([fused(judge, ready) for judge in scenes.values()])
        print(f"{name}: {len(matrix)} of {len(scenes)}", file=sys.stderr, flush=True)
    return {"scenes": list(scenes), "ergas": matrix, "decisions": said}


def score(folder: Path, out: Path, count: int) -> None:
    """A file for each method."""
    out.mkdir(parents=True, exist_ok=True)
    missing = [name for name in METHODS if not (out / f"{name}.json").is_file()]
    scenes = judges(folder, count) if missing else {}
    for name in missing:
        (out / f"{name}.json").write_text(json.dumps(carried(name, scenes)))


def at_home(matrix: Matrix) -> list[float]:
    """On the scene that it was made for, of each scene."""
    return [matrix[k][k] for k in range(len(matrix))]


def abroad(matrix: Matrix) -> list[float]:
    """Made for another scene: geometric mean over these, of each scene."""
    return [pooled([row[k] for j, row in enumerate(matrix) if j != k]) for k in range(len(matrix))]


def table(out: Path) -> str:
    """All methods as Markdown."""
    found = {
        name: json.loads((out / f"{name}.json").read_text()) for name in METHODS if (out / f"{name}.json").is_file()
    }
    single = at_home(found["mtf-glp-cbd"]["ergas"])
    rows = []
    for name, one in found.items():
        home, away = at_home(one["ergas"]), abroad(one["ergas"])
        every = [v / single[k] for j, row in enumerate(one["ergas"]) for k, v in enumerate(row) if j != k]
        ratios = [pooled([v / s for v, s in zip(values, single, strict=True)]) for values in (home, away)]
        loss = pooled([a / h for a, h in zip(away, home, strict=True)])
        said = [decision for decision in one["decisions"] if decision is not None]
        frozen = f"{sum(one != 'adapted' for one in said)} of {len(said)}" if said else ""
        rows.append([f"`{name}`", *(number(x) for x in (*ratios, loss, max(every))), frozen])
    head = ("method", "own scene", "other scenes", "other / own", "worst on another scene", "frozen by gate")
    return "\n".join(markdown(head, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    scoring = commands.add_parser("score")
    scoring.add_argument("data", type=Path)
    scoring.add_argument("out", type=Path)
    scoring.add_argument("--split", choices=["train", "val"], default="train")
    scoring.add_argument("--scenes", type=int, default=6)
    drawing = commands.add_parser("table")
    drawing.add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "table":
        print(table(given.out))
    else:
        score(given.data / "pansharpening" / given.split, given.out, given.scenes)


if __name__ == "__main__":
    main()
