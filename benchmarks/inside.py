"""What the shipped networks and classical methods do to one pixel, for the table of `docs/analysis.md`.

    python benchmarks/inside.py score OUT [--landsat PAIR.npz] [--scenes NAME,...] [--methods NAME,...]
    python benchmarks/inside.py table OUT
    python benchmarks/inside.py models FILE[:SCALE] ... [--images PICTURE,...]

`score` looks at each method as `panloom analyze` does, on a drawn scene of each sensor that networks are shipped for
(seed 1, 512 x 512 PAN pixels), and on the middle of a Landsat pair; what stands in OUT already is not done again.
`table` prints what was found. `models` does the same for super-resolution networks, by the derivative at natural
patches, by the paper's white dot (11 x 11, nothing subtracted), and by a white dot in 31 x 31 with the answer to black
subtracted, which a network that needs more than 11 pixels takes too. All numbers are of one scene each: they tell what
a method does, not how good it is.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from panloom.analysis import (
    Descriptors,
    Response,
    Shares,
    describe,
    detail_r2,
    impulse_response,
    mean_response,
    published_response,
    split,
)
from panloom.analysis.foreign import Model, open_model
from panloom.data.pairs import read_pair
from panloom.run._part import part
from panloom.run.analysis.conclusions import FLAT, HIGHEST
from panloom.run.analysis.method import MethodFindings, method_findings
from panloom.run.analysis.model import BORDER, PATCH, PATCHES, PUBLISHED_SIZE, made_small, pictures_for
from panloom.run.analysis.scenes import SIDE, Site, drawn_site
from panloom.run.preparing import prepared
from panloom.run.protocol import problems
from panloom.run.resolve import resolve
from panloom.weights import names

#: From each family one or two, and those for scenes that the networks are the subject of.
CLASSICAL = ("exp", "brovey", "gsa", "pracs", "bdsd-pc", "sfim", "awlp", "mtf-glp", "mtf-glp-cbd", "mtf-glp-hpm")
FEW = ("gsa", "mtf-glp-cbd")

#: Drawn scenes, by the tag of the weights that belong to them.
DRAWN = {"qb": "quickbird", "wv2": "worldview-2", "wv3": "worldview-3"}

#: What the pair is called.
LANDSAT = "landsat-7"

#: Columns: of which number, and how it is printed.
COLUMNS = {
    "leakage": "+.3f",
    "own": ".2f",
    "other": ".2f",
    "half": ".2f",
    "gain": ".2f",
    "near": ".2f",
    "beyond": ".2f",
    "spread": ".0%",
    "r2": ".3f",
    "detail": ".3f",
    "high": ".2f",
    "cancellation": "+.2f",
}

Row = dict[str, float]


def jobs(landsat: Path | None) -> Iterator[tuple[str, str]]:
    """(scene, method): each network of a sensor on its own, those of any bands on all, the shelf on the first."""
    universal = [name for name in names() if name.startswith("universal.")]
    for tag, sensor in DRAWN.items():
        own = [name for name in names() if name.endswith(f".{tag}-open")]
        shelf = CLASSICAL if tag == "qb" else FEW
        yield from ((sensor, name) for name in (*shelf, *universal, *own))
    if landsat is not None:
        yield from ((LANDSAT, name) for name in (*FEW, *universal))


def site_of(scene: str, method: str, landsat: Path | None) -> Site:
    """A drawn scene, or the middle of the pair."""
    if scene != LANDSAT:
        return drawn_site(method, resolve(method, {}), scene)
    assert landsat is not None, "only with a pair is this scene asked for"
    found = problems(read_pair(landsat), ("full",))[0].scene
    return Site(landsat.stem, found, part(found, SIDE), None, landsat.stem)


def row_of(found: MethodFindings, site: Site, multiple: int) -> Row:
    """Medians of the bands, or the worst band where the name of a column says so."""
    numbers, shares = found.numbers, found.parts.bands
    places, curves = numbers.transfer.places, list(numbers.transfer.values.values())
    middle = [statistics.median(column) for column in zip(*curves, strict=True)]
    near = [v for p, v in zip(places, middle, strict=True) if 0.5 <= p * numbers.ratio <= 1.5]
    beyond = [v for p, v in zip(places, middle, strict=True) if 1.5 / numbers.ratio <= p <= HIGHEST]
    mixing = torch.tensor(numbers.mixing)
    gains = [g / s for g, s in zip(numbers.injection, numbers.slopes, strict=True) if abs(s) > FLAT]
    details = detail_r2(found.split, site.pair(multiple), found.parts.border)
    return {
        "leakage": max(numbers.leakage, key=abs),
        "own": float(mixing.diagonal().mean()),
        "other": float((mixing - mixing.diagonal().diag()).abs().max()),
        "half": statistics.median(one.cutoff6 for one in numbers.ms),
        "gain": statistics.median(gains),
        "near": max(near),
        "beyond": statistics.median(beyond),
        "spread": numbers.pan_spread,
        "r2": min(share.r2 for share in shares),
        "detail": float(details.median()),
        "high": statistics.median(share.high_linear for share in shares),
        "cancellation": statistics.median(share.cancellation for share in shares),
        "known": statistics.median(numbers.agreement),
    }


def score(out: Path, landsat: Path | None, scenes: Sequence[str], methods: Sequence[str]) -> None:
    """Fill OUT with one JSON file for each scene."""
    out.mkdir(parents=True, exist_ok=True)
    for scene, method in jobs(landsat):
        if (scenes and scene not in scenes) or (methods and method not in methods):
            continue
        file = out / f"{scene}.json"
        rows: dict[str, Row] = json.loads(file.read_text()) if file.is_file() else {}
        if method in rows:
            continue
        site = site_of(scene, method, landsat)
        ready = prepared(resolve(method, {}), site.scene, 0)[0]
        found = method_findings(ready, site, 0, lambda: None)
        rows[method] = row_of(found, site, ready.traits.multiple)
        file.write_text(json.dumps(rows, indent=1))
        print(f"{scene}: {method}", file=sys.stderr)


def table(out: Path) -> str:
    """All scenes as Markdown, in the order of the jobs."""
    text: list[str] = []
    for scene in (*DRAWN.values(), LANDSAT):
        file = out / f"{scene}.json"
        if file.is_file():
            rows: dict[str, Row] = json.loads(file.read_text())
            known = next(iter(rows.values()))["known"]
            order = [name for where, name in jobs(out) if where == scene and name in rows]
            rows = {name: rows[name] for name in order}
            text += [f"{scene}; PAN knows {known:.2f} of a detail of the median band", "", *_rows(rows), ""]
    return "\n".join(text)


def _rows(rows: dict[str, Row]) -> list[str]:
    head = ["| method | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    cells = (" | ".join(_number(row[name], form) for name, form in COLUMNS.items()) for row in rows.values())
    return head + [f"| `{method}` | {text} |" for method, text in zip(rows, cells, strict=True)]


@dataclass(frozen=True)
class Experiment:
    """One response of a super-resolution network, and what a filter with it makes of a picture; medians of channels.

    Attributes:
        name: of the response.
        spread: over places.
        kernel: of all channels together, as a low-pass.
        shares: energies of the output's parts.
    """

    name: str
    spread: float
    kernel: Descriptors
    shares: Shares


def experiments(model: Model, images: Sequence[str]) -> Iterator[Experiment]:
    """By the derivative, and by white dots."""
    small = [made_small(image, model.scale) for image in pictures_for(model, images).images]
    patches = torch.stack([patch for image in small for patch in _patches(image, -(-PATCHES // len(small)))])
    yield _experiment("derivative", model, small[0], mean_response(model.net, model.scale, patches, seed=0), patches)
    dot = partial(impulse_response, model.net, model.scale, channels=model.channels, channel="white")
    if model.smallest <= PUBLISHED_SIZE:
        paper = published_response(model.net, model.scale, channels=model.channels)
        yield _experiment("white dot, 11 x 11", model, small[0], paper)
    places = [(row, col) for row in (PATCH // 2, PATCH // 2 + 1) for col in (PATCH // 2, PATCH // 2 + 1)]
    moved = dot(size=PATCH + 1, positions=places)
    yield replace(_experiment("white dot, 31 x 31", model, small[0], dot(size=PATCH)), spread=moved.spread)


def _experiment(
    name: str, model: Model, image: Tensor, response: Response, patches: Tensor | None = None
) -> Experiment:
    border = BORDER * model.scale
    shares = split(model.net, image, response).shares(border)
    spread = math.nan if patches is None else _grey_spread(model, patches)
    return Experiment(name, spread, describe(_grey(response), model.scale), shares)


def _grey(response: Response) -> Tensor:
    return response.kernel.sum(1).mean(0)


def _grey_spread(model: Model, patches: Tensor) -> float:
    """As `Response.spread`, of the response of all channels together."""
    kernels = torch.stack([_grey(mean_response(model.net, model.scale, one[None], seed=0)) for one in patches])
    mean = kernels.mean(0)
    return math.sqrt(float((kernels - mean).square().sum((1, 2)).mean() / mean.square().sum()))


def _patches(image: Tensor, count: int) -> Iterator[Tensor]:
    """Of PATCH x PATCH pixels, evenly spread."""
    along = math.isqrt(count - 1) + 1
    starts = [[k * (n - PATCH) // (along - 1) for k in range(along)] for n in image.shape[1:]]
    places = [(row, col) for row in starts[0] for col in starts[1]]
    for k in range(count):
        row, col = places[k * len(places) // count]
        yield image[:, row : row + PATCH, col : col + PATCH]


def models(files: Sequence[str], images: Sequence[str]) -> str:
    """One row for each network and experiment, as Markdown."""
    columns = ("gain", "-6 dB at", "first lobe", "rho", "copies dB", "outside", "spread", "R2", "high", "cancellation")
    lines = ["| model | response | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for text in files:
        file, _, scale = text.partition(":")
        model = open_model(file, architecture=None, scale=int(scale) if scale else None)
        for one in experiments(model, images):
            low, shares = one.kernel, one.shares
            values = (low.dc, low.cutoff6, low.sidelobe, low.rho, max(low.rejection), low.outside, one.spread)
            parts = [float(x.median()) for x in (shares.r2, shares.high_linear, shares.cancellation)]
            cells = [_number(value, ".2f") for value in (*values, *parts)]
            lines.append(f"| {Path(file).stem} x{model.scale} | {one.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(value: float, form: str) -> str:
    """Without a sign of nothing; a dash where a number is not defined."""
    text = format(value, form)
    return "-" if not math.isfinite(value) else text.replace("-", "", 1) if not text.strip("+-0.%") else text


def _listed(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    scored = commands.add_parser("score")
    scored.add_argument("out", type=Path)
    scored.add_argument("--landsat", type=Path)
    scored.add_argument("--scenes", default="")
    scored.add_argument("--methods", default="")
    commands.add_parser("table").add_argument("out", type=Path)
    foreign = commands.add_parser("models")
    foreign.add_argument("files", nargs="+")
    foreign.add_argument("--images", default="")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "table":
        print(table(given.out))
        return
    if given.command == "models":
        print(models(given.files, _listed(given.images)))
        return
    scenes, methods = _listed(given.scenes), _listed(given.methods)
    score(given.out, given.landsat, scenes, methods)


if __name__ == "__main__":
    main()
