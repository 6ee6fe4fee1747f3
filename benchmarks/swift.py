"""SWIFT beside full fine-tuning: a trained network is brought to a virtual sensor that it never saw.

    python benchmarks/swift.py --weights fusionnet.wv2-open --sensor worldview-3 --data DATA > swift-wv3.md
    python benchmarks/swift.py --weights fusionnet.wv2-open --sensor worldview-2 --drift 20 --gain 0.8 --data DATA

DATA is the folder of free imagery (docs/data.md). Training patches are drawn from training imagery, the patches that
scores come from out of validation imagery, both by the generator that training used, seen by the target. Full
fine-tuning on all patches tries each of `--rates` and keeps the one with the lowest loss on a tenth of the *training*
patches; its trace is scored as it goes, and that does not count as time. Times hold everything a method does:
descriptors, selection, probing, updates, looks at its own hold-out. One run is one target.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Generator

from panloom import weights
from panloom.adapt.swift import Probe, Schedule, Settings, Transferred, transfer
from panloom.compute import processor_name
from panloom.data.example import Example
from panloom.data.truths import Truth, open_truths
from panloom.data.virtual import Settings as Instrument
from panloom.data.virtual import VirtualSensors
from panloom.metrics import ERGAS, SAM
from panloom.networks import Network
from panloom.train import instrument

#: Of the first training patch and the first held-out one: far from the seeds of training, which are hashes.
TRAIN_SEED, HELD_SEED = 40_000_000, 50_000_000

#: Pixels on each side of a patch that are neither learned from nor scored.
CUT = 6

#: Shortest side of validation imagery that is drawn from.
SMALLEST = 128

#: A trace is scored when so much more time has gone by than at the score before.
SPACING = 1.15

#: Share of the gain of full fine-tuning that counts as all of it.
MOST = 0.95


def target(given: argparse.Namespace) -> Instrument:
    """The virtual sensor: a known one, or one like it whose bands and optics have moved."""
    known = instrument(given.sensor)
    assert known.sensor is not None
    bands = tuple(
        replace(band, centre_nm=band.centre_nm + given.drift, mtf_nyquist=band.mtf_nyquist * given.gain)
        for band in known.sensor.bands
    )
    sensor = replace(known.sensor, bands=bands)
    if given.steady:
        pan = (sensor.pan.mtf_nyquist, sensor.pan.mtf_nyquist, 1.0)
        known = replace(known, shift=(0.0, 0.0), gamma=1.0, haze=0.0, odd=0.0, pan_gain=pan)
    return replace(known, sensor=sensor, ratios=((sensor.ratio, 1.0, given.size),), batch=1, level=given.level)


def patches(truths: Sequence[Truth], known: Instrument, count: int, seed: int) -> list[Example]:
    """Always the same ones."""
    source = VirtualSensors(truths, known)
    return [source(Generator().manual_seed(seed + number)) for number in range(count)]


def scores(network: Network, held: Sequence[Example]) -> tuple[float, float]:
    """Geometric means of ERGAS and SAM over patches."""
    inside, logs = (..., slice(CUT, -CUT), slice(CUT, -CUT)), [0.0, 0.0]
    with torch.no_grad():
        for one in held:
            image, truth, valid = (x[inside] for x in (network(one.pair), one.truth, one.pair.valid))
            logs[0] += math.log(ERGAS(image, truth, valid, ratio=one.pair.ratio))
            logs[1] += math.log(SAM(image, truth, valid))
    return math.exp(logs[0] / len(held)), math.exp(logs[1] / len(held))


@dataclass
class Trace:
    """ERGAS on held-out patches as a fit goes on."""

    held: Sequence[Example]
    points: list[tuple[float, float]] = field(default_factory=list)

    def __call__(self, step: int, seconds: float, network: Network) -> None:
        """Score, if enough time has gone by."""
        if not step or seconds >= SPACING * self.points[-1][0]:
            self.points.append((seconds, scores(network, self.held)[0]))

    def first(self, goal: float) -> float | None:
        """When ERGAS was first as low."""
        return next((seconds for seconds, ergas in self.points if ergas <= goal), None)

    def at(self, seconds: float) -> float:
        """ERGAS at the last look before."""
        return [self.points[0][1], *(ergas for when, ergas in self.points if when <= seconds)][-1]


@dataclass(frozen=True)
class Row:
    """One method."""

    name: str
    done: Transferred
    trace: Trace

    @property
    def seconds(self) -> float:
        """All that the method did."""
        return self.done.report.seconds.total


def run(name: str, source: Network, train: Sequence[Example], held: Sequence[Example], settings: Settings) -> Row:
    """One method, scored as it goes on and with the weights that it keeps."""
    trace = Trace(held)
    done = transfer(source, train, settings, Generator().manual_seed(0), trace)
    trace.points.append((done.report.seconds.fit, scores(done.network, held)[0]))
    row = Row(name, done, trace)
    loss = min(point.held for point in done.report.curve.points)
    print(f"{name}: {row.seconds:.1f} s, loss on its hold-out {loss:.5g}", file=sys.stderr, flush=True)
    return row


def tuned(source: Network, train: Sequence[Example], held: Sequence[Example], given: argparse.Namespace) -> Row:
    """Full fine-tuning on everything, at the rate with the lowest loss on the hold-out of the training patches."""
    found: list[tuple[float, Row]] = []
    for rate in given.rates:
        schedule = Schedule(rate, 0.1 * rate, given.warmup, given.batch, given.epochs, given.limit)
        settings = Settings(method="full", subset=1.0, loss=given.loss, border=CUT, schedule=schedule)
        row = run(f"full, all patches, rate {rate:g}", source, train, held, settings)
        found.append((min(point.held for point in row.done.report.curve.points), row))
    return min(found, key=lambda pair: pair[0])[1]


def rows(source: Network, train: Sequence[Example], held: Sequence[Example], given: argparse.Namespace) -> list[Row]:
    """The methods that learn from a few patches."""
    lr = given.lr
    common = Settings(
        subset=given.subset,
        sampling=given.sampling,
        look=given.look,
        probe=Probe(batch=given.batch, score=given.score, agree=not given.any_sign),
        grain=given.grain,
        loss=given.loss,
        border=CUT,
        schedule=Schedule(lr, 0.1 * lr, given.warmup, given.batch, given.few_epochs, given.few_limit),
    )
    middle = given.shares[len(given.shares) // 2]
    kinds = {f"swift {share:.0%}": replace(common, share=share) for share in given.shares}
    kinds["last layer"] = replace(common, method="last-layer")
    kinds[f"random mask {middle:.0%}"] = replace(common, method="random", share=middle)
    kinds[f"magnitude mask {middle:.0%}"] = replace(common, method="magnitude", share=middle)
    kinds["full, same patches"] = replace(common, method="full")
    return [run(name, source, train, held, settings) for name, settings in kinds.items()]


def table(source: Network, found: Sequence[Row], full: Row, held: Sequence[Example]) -> list[str]:
    """Lines of Markdown."""
    direct, angle = scores(source, held)
    gain = direct - scores(full.done.network, held)[0]
    there = full.trace.first(direct - MOST * gain) if gain > 0 else None
    lines = [
        "| method | weights changed | patches | ERGAS | SAM | share of the full gain | seconds | choose, probe, fit | "
        f"share of the time of {MOST:.0%} | full at that time |",
        "|---|---|---|---|---|---|---|---|---|---|",
        f"| direct | 0 | 0 | {direct:.4f} | {angle:.4f} | 0 | 0 | | | |",
    ]
    for row in [*found, full]:
        work, (ergas, sam) = row.done.report, scores(row.done.network, held)
        share = f"{(direct - ergas) / gain:.1%}" if gain > 0 else "no gain"
        parts = ", ".join(f"{s:.1f}" for s in (work.seconds.choose, work.seconds.probe, work.seconds.fit))
        of = f"{row.seconds / there:.1%}" if there else ""
        learned = len(work.learned) + len(work.held)
        lines.append(
            f"| {row.name} | {work.changed / work.parameters:.1%} | {learned} | {ergas:.4f} | {sam:.4f} | {share} | "
            f"{row.seconds:.1f} | {parts} | {of} | {full.trace.at(row.seconds):.4f} |"
        )
    when = "never" if there is None else f"after {there:.1f} s"
    lines += ["", f"Full fine-tuning on all patches first has {MOST:.0%} of its final gain {when}."]
    chosen = found[0].done.report.selection
    if chosen is not None:
        lines.append(
            f"Selection: {chosen.sampling}, {chosen.dimensions} components, coverage radius {chosen.radius:.3g} "
            f"({chosen.inner:.3g} without the loneliest hundredth), MMD {chosen.mmd:.3g}."
        )
    return lines


def protocol(given: argparse.Namespace, known: Instrument) -> str:
    """What the numbers are of."""
    sensor = known.sensor
    assert sensor is not None
    rates = ", ".join(f"{rate:g}" for rate in given.rates)
    return (
        f"Source {given.weights}; target a virtual {given.sensor}, band centres {given.drift:+g} nm, MTF gains times "
        f"{given.gain:g}, level {given.level:g}, {len(sensor.bands)} bands, ratio {sensor.ratio}"
        f"{', one and the same instrument for all patches' if given.steady else ''}. {given.patches} "
        f"training patches of {given.size} x {given.size} pixels from training imagery, {given.held} held-out from "
        f"validation imagery; geometric means, {CUT} border pixels left out. Loss {given.loss}, batches of "
        f"{given.batch}; all patches: {given.epochs} epochs at most, rates {rates}; few: rate {given.lr:g}, "
        f"{given.few_epochs} epochs at most; the rate rises for {given.warmup:.0%} of the way. {processor_name()}, "
        f"{torch.get_num_threads()} thread(s), float32, torch {torch.__version__}."
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="name or file of the source weights")
    parser.add_argument("--data", type=Path, required=True, help="folder of free imagery")
    parser.add_argument("--sensor", default="worldview-3", help="that the target imitates")
    parser.add_argument("--drift", type=float, default=0.0, help="nm that its band centres move")
    parser.add_argument("--gain", type=float, default=1.0, help="factor of its MTF gains")
    parser.add_argument("--level", type=float, default=0.15, help="mean of its bands, in full scales")
    parser.add_argument("--steady", action="store_true", help="one and the same instrument for all patches")
    parser.add_argument("--patches", type=int, default=2000, help="to train on")
    parser.add_argument("--held", type=int, default=200, help="patches to score on")
    parser.add_argument("--size", type=int, default=64, help="pixels along a side of a patch")
    parser.add_argument("--subset", type=float, default=0.03, help="share of the patches that SWIFT looks at")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.3], help="of the weights")
    parser.add_argument("--sampling", choices=["manifold", "fps", "k-center", "random"], default="manifold")
    parser.add_argument("--look", choices=["features", "crop", "statistics"], default="features")
    parser.add_argument("--score", choices=["gradient", "taylor", "fisher"], default="gradient")
    parser.add_argument("--any-sign", action="store_true", help="scores do not ask whether signs agree")
    parser.add_argument("--grain", choices=["element", "filter"], default="element")
    parser.add_argument("--loss", choices=["l1", "mse", "relative"], default="l1")
    parser.add_argument("--batch", type=int, default=32, help="patches of a step")
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 3e-3], help="tried on all patches")
    parser.add_argument("--warmup", type=float, default=0.1, help="share of the steps in which the rate rises")
    parser.add_argument("--epochs", type=int, default=60, help="on all patches, at most")
    parser.add_argument("--limit", type=float, help="seconds on all patches, at most")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate on few patches")
    parser.add_argument("--few-epochs", type=int, default=300, help="on few patches, at most")
    parser.add_argument("--few-limit", type=float, help="seconds on few patches, at most")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    torch.set_num_threads(given.threads)
    source, known = weights.load(given.weights), target(given)
    train = patches(open_truths(given.data), known, given.patches, TRAIN_SEED)
    large = [truth for truth in open_truths(given.data, held_out=True) if min(truth.image.shape[-2:]) >= SMALLEST]
    held = patches(large, known, given.held, HELD_SEED)
    found, full = rows(source, train, held, given), tuned(source, train, held, given)
    print(protocol(given, known), "\n")
    print("\n".join(table(source, found, full, held)))


if __name__ == "__main__":
    main()
