"""A network as panloom runs it beside the same network in plain eager float32 on the whole image, in one run.

    python benchmarks/inference.py --network fusionnet --bands 8 --size 512 --size 4000 --repeat 3

The jobs run in turn, A B C A B C ..., each in a process of its own, so that its peak memory is its own. Every process
makes the same image and the same network; what is timed is the network, from a pair in memory to an image in memory
("eager", "tuned"), and `panloom.fuse` from arrays to an array, EXP and statistics included ("fuse"). Inside a process
the run is repeated and the least time counts. PSNR is against "eager float32", at full scale,
on the first 1024 x 1024 pixels.

`--weights` names trained weights (`network.tag` or a file); without them the layers are as drawn, seeded.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from panloom import networks, weights
from panloom.compute import Policy, Tuned, converted, each, fused, processor_name
from panloom.networks import Network
from panloom.pair import Pair
from panloom.run import fuse as engine
from panloom.run._tuning import tuned
from panloom.scene import Scene, array_scene
from panloom.sensors import generic_bands, get
from panloom.tiling import plan
from panloom.types import Sensor, Tile, Window

RATIO = 4
JOBS = ("eager float32", "eager float32, channels last", "eager bfloat16, channels last")
JOBS += ("tuned float32", "tuned auto", "fuse float32", "fuse auto")


@dataclass(frozen=True)
class Case:
    """What is run.

    Attributes:
        network: name in the registry.
        weights: trained ones; empty: as drawn.
        bands: of the image.
        size: PAN pixels along a side.
        threads: of torch inside operations for "eager", of tiles for the others.
        repeat: runs inside one process.
    """

    network: str
    weights: str
    bands: int
    size: int
    threads: int
    repeat: int

    def net(self) -> Network:
        """The network."""
        if self.weights:
            return weights.load(self.weights)
        torch.manual_seed(0)
        known = {"bands": self.bands} if self.network != "universal" else {}
        return networks.build(self.network, known).eval().requires_grad_(False)

    def images(self) -> tuple[torch.Tensor, torch.Tensor]:
        """PAN (1, H, W) and MS (C, h, w): smooth noise and fine noise, around 0.4 of full scale."""
        draw = torch.Generator().manual_seed(0)
        rough = torch.rand(1, self.bands + 1, self.size // 32 + 1, self.size // 32 + 1, generator=draw)
        smooth = torch.nn.functional.interpolate(rough, size=(self.size, self.size), mode="bilinear")[0] * 0.4 + 0.2
        pan = smooth[:1] + 0.1 * torch.rand(1, self.size, self.size, generator=draw)
        return pan, torch.nn.functional.avg_pool2d(smooth[1:], RATIO)

    def scene(self) -> Scene:
        """The images as a scene."""
        pan, ms = self.images()
        return array_scene(pan[None], ms[None], sensor=self.sensor, phase=(1.5, 1.5), full_scale=1.0)

    @property
    def sensor(self) -> Sensor:
        """The generic one, with as many bands."""
        return replace(get("generic"), bands=generic_bands(self.bands))


def whole_tile(scene: Scene) -> Tile:
    """The scene as one tile."""
    grid = scene.grid
    return Tile(0, Window(0, 0, grid.height, grid.width), Window(0, 0, *grid.cells))


def eager(case: Case, job: str) -> Callable[[], torch.Tensor]:
    """The network on the whole image at once."""
    scene = case.scene()
    pair: Pair = scene.read(whole_tile(scene))
    net = case.net().prepare(scene, torch.Generator().manual_seed(0))
    if "channels last" in job:
        net = converted(net, torch.bfloat16 if "bfloat16" in job else torch.float32, torch.device("cpu"))
    torch.set_num_threads(case.threads)
    return lambda: net(pair)


def as_tuned(case: Case, precision: str) -> Callable[[], torch.Tensor]:
    """The network as panloom runs it, tile by tile from a whole pair; tiles are views of it."""
    scene = case.scene()
    pair = scene.read(whole_tile(scene))
    policy = Policy.in_memory("cpu", case.threads)
    net = case.net().prepare(scene, torch.Generator().manual_seed(0))
    ready = tuned(scene, net, precision, policy, 0)
    assert isinstance(ready, Tuned)
    print(ready.mode, file=sys.stderr)
    tiles = plan(scene.grid, ready.traits, engine._tile_size(scene, ready))

    def run() -> torch.Tensor:
        out = torch.empty_like(pair.exp)

        def work(tile: Tile) -> None:
            core = tile.core
            part = fused(ready, _view(pair, tile), tile, RATIO, policy)
            out[..., core.row : core.row_end, core.col : core.col_end] = part

        for _ in each(tiles, work, policy.threads):
            pass
        return out

    return run


def _view(pair: Pair, tile: Tile) -> Pair:
    from panloom.compute import cut

    return cut(pair, tile.read)


def as_fuse(case: Case, precision: str) -> Callable[[], torch.Tensor]:
    """`panloom.fuse` with the network in place of what its method's name would give."""
    pan, ms = (x.numpy() for x in case.images())
    net = case.net()
    engine.resolve = lambda *_words: net

    def run() -> torch.Tensor:
        # Any name: `resolve` gives the network.
        done = engine.fuse(
            pan, ms, method="exp", sensor=case.sensor, full_scale=1.0, precision=precision, threads=case.threads
        )
        return torch.from_numpy(done)[None]

    return run


def child(case: Case, job: str, keep: str) -> None:
    """Run one job and print what was measured; the image goes to `keep`."""
    kind, precision = job.split(",")[0].split(" ")
    make = {"eager": eager, "tuned": as_tuned, "fuse": as_fuse}[kind]
    with torch.inference_mode():
        run = make(case, job if kind == "eager" else precision)
        seconds, cpu = [], []
        image = torch.empty(0)
        for _ in range(case.repeat):
            del image
            started, spent = time.perf_counter(), time.process_time()
            image = run()
            seconds.append(time.perf_counter() - started)
            cpu.append(time.process_time() - spent)
        sample = image[..., : min(case.size, 1024), : min(case.size, 1024)]
        np.save(keep, sample.float().numpy())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": min(seconds), "cpu": min(cpu), "peak_mb": peak}))


def parent(words: list[str], jobs: list[str], size: int, rounds: int) -> None:
    """All jobs of one size in turn, and their table."""
    found: dict[str, list[dict[str, float]]] = {job: [] for job in jobs}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for number, job in enumerate(jobs):
                call = [sys.executable, __file__, *words, "--size", str(size), "--job", job]
                done = subprocess.run(
                    [*call, "--keep", f"{folder}/{number}.npy"], check=True, stdout=subprocess.PIPE, text=True
                )
                found[job].append(json.loads(done.stdout.splitlines()[-1]))
        images = [np.load(Path(folder) / f"{number}.npy").astype(np.float64) for number in range(len(jobs))]
    medians = {
        job: {name: statistics.median(run[name] for run in runs) for name in ("seconds", "cpu")}
        for job, runs in found.items()
    }
    base = medians[jobs[0]]
    print(f"\n{size} x {size}\n")
    print(
        "| job | seconds | times faster | CPU seconds | times less | PSNR dB | peak MB |\n|---|---|---|---|---|---|---|"
    )
    for job, image in zip(jobs, images, strict=True):
        seconds, cpu = medians[job]["seconds"], medians[job]["cpu"]
        error = float(((image - images[0]) ** 2).mean())
        psnr = f"{-10 * np.log10(error):.1f}" if error else "exact"
        peak = max(run["peak_mb"] for run in found[job])
        ratios = base["seconds"] / seconds, base["cpu"] / cpu
        print(f"| {job} | {seconds:.3f} | {ratios[0]:.2f} | {cpu:.3f} | {ratios[1]:.2f} | {psnr} | {peak:.0f} |")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--network", default="fusionnet")
    words.add_argument("--weights", default="")
    words.add_argument("--bands", type=int, default=8)
    words.add_argument("--size", type=int, action="append")
    words.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    words.add_argument("--repeat", type=int, default=3, help="runs in one process")
    words.add_argument("--rounds", type=int, default=3, help="processes of each job")
    words.add_argument("--only", action="append", choices=JOBS, help="jobs; all unless given")
    words.add_argument("--job", help=argparse.SUPPRESS)
    words.add_argument("--keep", help=argparse.SUPPRESS)
    given = words.parse_args()
    sizes = given.size or [512]
    if given.job:
        child(
            Case(given.network, given.weights, given.bands, sizes[0], given.threads, given.repeat),
            given.job,
            given.keep,
        )
        return
    print(f"{given.weights or given.network}, {given.bands} bands, {given.threads} threads; {processor_name()},")
    print(f"torch {torch.__version__}; load {os.getloadavg()[0]:.1f}")
    same = ["--network", given.network, "--weights", given.weights, "--bands", str(given.bands)]
    same += ["--threads", str(given.threads), "--repeat", str(given.repeat)]
    for size in sizes:
        parent(same, given.only or list(JOBS), size, given.rounds)


if __name__ == "__main__":
    main()
