"""How often gates err: adapters on virtual scenes whose true high resolution is known.

    PANLOOM_WEIGHTS=FOLDER python benchmarks/adaptation_gate.py score DATA OUT [--held-out] [--scenes 8]
    python benchmarks/adaptation_gate.py table OUT > gate.md

A gate looks at a scene degraded once more; what it decides about is the scene itself. Here both are known: each scene
is made by the generator of training from imagery for training (with `--held-out`: for validation, for the last table
only), and the adapted output and the frozen one are held against the truth. Hosts are our open weights and public ones
(FOLDER, see `benchmarks/adaptation.py`), of the scene's own sensor and of others. A gate is right when it takes the
output with the smaller ERGAS. What stands in OUT is not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from adaptation_rows import markdown, number, pooled
from torch import Generator

from panloom import weights
from panloom.compute import Policy
from panloom.data.example import Example
from panloom.data.truths import open_truths
from panloom.data.virtual import VirtualSensors
from panloom.errors import PanloomWarning
from panloom.metrics import ERGAS
from panloom.pair import Fuser
from panloom.run._fits import fit_of
from panloom.run.fuse import whole
from panloom.run.resolve import resolve
from panloom.scene import Scene, array_scene
from panloom.train import imitated, instrument

#: Tags of hosts for each sensor that scenes imitate: of its own sensor first.
HOSTS = {
    "quickbird": ("qb-open", "qb", "wv4"),
    "worldview-2": ("wv2-open", "wv2", "wv3-open", "wv3"),
    "worldview-3": ("wv3-open", "wv3", "wv2-open", "wv2"),
}

#: Those that were made for the sensor.
AT_HOME = {"quickbird": ("qb-open", "qb"), "worldview-2": ("wv2-open", "wv2"), "worldview-3": ("wv3-open", "wv3")}

NETWORKS = ("fusionnet", "dicnn", "pannet")

#: Adapters, their options, and the gates that they come with are asked for in the table.
ADAPTERS: dict[str, dict[str, object]] = {
    "refit": {},
    "tailor": {},
    "cat": {},
    "swift": {},
}

#: Gates of the second table.
GATES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0, 1e9)

#: PAN pixels along the sides of a scene, pixels on each side that are not scored, and seed of the first scene.
SIDE, CUT, SEED = 256, 12, 60_000_000


def scenes(data: Path, sensor: str, count: int, *, held_out: bool) -> list[Example]:
    """Virtual scenes of a sensor: real lands only."""
    known = imitated(sensor)
    settings = replace(instrument(sensor), ratios=((known.ratio, 1.0, SIDE),), leaves=0.0, batch=1)
    truths = [truth for truth in open_truths(data, held_out=held_out) if min(truth.image.shape[-2:]) >= 128]
    source = VirtualSensors(truths, settings)
    return [source(Generator().manual_seed(SEED + number)) for number in range(count)]


def as_scene(example: Example, sensor: str) -> Scene:
    """What is fused."""
    pair = example.pair
    assert pair.sensor is not None  # the imitated one
    names = [band.name for band in imitated(sensor).bands]
    return array_scene(pair.pan, pair.ms, sensor=pair.sensor, phase=pair.phase, sharpen=names, full_scale=1.0)


def ergas(fuser: Fuser, scene: Scene, example: Example) -> float:
    """Of a prepared method."""
    image, inner = whole(scene, fuser, Policy.in_memory("cpu", 1))[None].double(), slice(CUT, -CUT)
    images = (x[..., inner, inner] for x in (image, example.truth.double(), example.pair.valid))
    return ERGAS.value(ERGAS.tally(*images, ratio=scene.grid.ratio))


def prepared(method: str, options: Mapping[str, object], scene: Scene) -> Fuser:
    """Ready for a scene."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PanloomWarning)
        return resolve(method, options).prepare(scene, Generator().manual_seed(0))


def score(data: Path, file: Path, sensor: str, count: int, *, held_out: bool) -> None:
    """Fill a file with what each adapter does to each host on each scene."""
    found: list[dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else []
    there = {(one["scene"], one["host"], one["adapter"]) for one in found}
    hosts = [name for tag in HOSTS[sensor] for net in NETWORKS if (name := f"{net}.{tag}") in weights.names()]
    for number_, example in enumerate(scenes(data, sensor, count, held_out=held_out)):
        scene = as_scene(example, sensor)
        for host in hosts:
            missing = [name for name in ADAPTERS if (number_, host, name) not in there]
            if missing:
                direct = ergas(prepared(host, {}, scene), scene, example)
                # Behind the bridge or without it, and the same whatever the adapter is.
                frozen = ergas(prepared(f"{host}+refit", {"gate": 0.0}, scene), scene, example)
                base = {"scene": number_, "host": host, "direct": direct, "frozen": frozen}
                found += [base | adapted(host, name, scene, example) for name in missing]
                file.write_text(json.dumps(found))
        print(f"{sensor}, scene {number_}", file=sys.stderr, flush=True)


def adapted(host: str, name: str, scene: Scene, example: Example) -> dict[str, Any]:
    """The adapted output, whatever the gate says, and what that looks at."""
    ready = prepared(f"{host}+{name}", {**ADAPTERS[name], "gate": 1e9}, scene)
    report = fit_of(ready)
    assert report is not None
    usual = resolve(f"{host}+{name}")
    gate = float(getattr(usual, "gate", 1.0))
    kept = {"adapter": name, "validated": report.validated, "gate": gate, "ergas": ergas(ready, scene, example)}
    return {**kept, "decision": report.decision}


@dataclass(frozen=True)
class Confusion:
    """How a gate did.

    Attributes:
        took: the adapted output, and it was better.
        harmed: the adapted output, and it was worse.
        missed: the frozen output, and the adapted one was better.
        kept: the frozen output, and the adapted one was worse.
        harm: ERGAS over that of the better choice where the adapted output was wrong: geometric mean.
        loss: the same where the frozen one was wrong.
        cost: the same over all decisions.
        gain: ERGAS of what the gate takes over that of the frozen output, over all.
        direct: the same over that of the network without the bridge, which no gate chooses.
    """

    took: int
    harmed: int
    missed: int
    kept: int
    harm: float
    loss: float
    cost: float
    gain: float
    direct: float

    @property
    def errors(self) -> float:
        """Share of wrong decisions."""
        return (self.harmed + self.missed) / max(self.took + self.harmed + self.missed + self.kept, 1)


def confusion(found: Sequence[Mapping[str, Any]], gate: Callable[[Mapping[str, Any]], float]) -> Confusion:
    """What a gate does to some scenes."""
    parts: dict[tuple[bool, bool], list[float]] = {(a, b): [] for a in (True, False) for b in (True, False)}
    chosen: list[float] = []
    direct: list[float] = []
    for one in found:
        better = one["ergas"] < one["frozen"]
        takes = one["validated"] is not None and one["validated"] <= gate(one)
        value = one["ergas"] if takes else one["frozen"]
        parts[takes, better].append(value / min(one["ergas"], one["frozen"]))
        chosen.append(value / one["frozen"])
        direct.append(value / one["direct"])
    took, harmed = parts[True, True], parts[True, False]
    missed, kept = parts[False, True], parts[False, False]
    every = [*took, *harmed, *missed, *kept]
    counts = (len(took), len(harmed), len(missed), len(kept))
    return Confusion(*counts, pooled(harmed), pooled(missed), pooled(every), pooled(chosen), pooled(direct))


def table(out: Path) -> str:
    """All sensors together, as Markdown."""
    found = [one | {"sensor": file.stem} for file in sorted(out.glob("*.json")) for one in json.loads(file.read_text())]
    own = [one for one in found if one["host"].partition(".")[2] in AT_HOME[one["sensor"]]]
    blocks = {"all": found, "own sensor": own, "foreign": [one for one in found if one not in own]}
    head = ("hosts", "adapter", "gate", "took, right", "took, wrong", "kept, wrong", "kept, right", "errors")
    head += ("harm of a wrong take", "loss of a wrong keep", "ERGAS / best choice", "ERGAS / frozen", "/ direct")
    text = []
    for sweep in (False, True):
        rows = []
        for title, part in blocks.items():
            for name in ADAPTERS:
                mine = [one for one in part if one["adapter"] == name]
                gates = GATES if sweep else [one["gate"] for one in mine[:1]]
                rows += [_row(title, name, gate, confusion(mine, lambda _one, g=gate: g)) for gate in gates if mine]
        text += [f"### {'other gates' if sweep else 'as they are'}", "", *markdown(head, rows), ""]
    return "\n".join(text)


def _row(title: str, name: str, gate: float, found: Confusion) -> list[str]:
    counts = [str(n) for n in (found.took, found.harmed, found.missed, found.kept)]
    numbers = [number(x) for x in (found.harm, found.loss, found.cost, found.gain, found.direct)]
    return [title, name, number(gate, "g"), *counts, f"{found.errors:.0%}", *numbers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    scoring = commands.add_parser("score")
    scoring.add_argument("data", type=Path)
    scoring.add_argument("out", type=Path)
    scoring.add_argument("--held-out", action="store_true", help="imagery of validation")
    scoring.add_argument("--scenes", type=int, default=8, help="of each sensor")
    scoring.add_argument("--sensor", choices=list(HOSTS), action="append")
    drawing = commands.add_parser("table")
    drawing.add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "table":
        print(table(given.out))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    for sensor in given.sensor or HOSTS:
        score(given.data, given.out / f"{sensor}.json", sensor, given.scenes, held_out=given.held_out)


if __name__ == "__main__":
    main()
