"""Training steps per second beside the way that papers train: float32, contiguous tensors, a plain loop.

    python benchmarks/training.py --threads 1 --rounds 5

Both train one network on the same batches with the same loss, optimizer and clipping, in turns. Ours is
`panloom.train.train` as it stands, log and checkpoint included. The batches are in memory, so loading does not count.
Each way has a process of its own, because how one treats memory would change the other. The fastest round of each
counts; processor time is told beside it, because another program at work slows the clock.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import torch
from torch import Generator, nn

from panloom import networks
from panloom.data.example import Example
from panloom.pair import Pair
from panloom.train import Adam, Recipe, Run, Stairs, Supervised, train

RATIO = 4
#: Steps of a round that are not timed: memory is taken and kernels are chosen in them.
WARM = 2

Times = tuple[float, float]


@dataclass(frozen=True)
class Task:
    """What is trained.

    Attributes:
        network: registry name.
        bands: of the images.
        batch: patches in a step.
        size: pixels along a side of a patch.
        steps: in a round.
    """

    network: str
    bands: int
    batch: int
    size: int
    steps: int

    def batches(self) -> list[Example]:
        """A few of them."""
        return [batch(self.bands, self.batch, self.size, seed) for seed in range(4)]


def batch(bands: int, count: int, size: int, seed: int) -> Example:
    """Noise: the values do not change the time."""
    rng = Generator().manual_seed(seed)
    low, high = (count, bands, size // RATIO, size // RATIO), (count, bands, size, size)
    ms, exp, truth = (torch.rand(shape, generator=rng) for shape in (low, high, high))
    pan, valid = truth.mean(1, keepdim=True), torch.ones(count, 1, size, size, dtype=torch.bool)
    return Example(Pair(pan, ms, exp, valid, (2.0, 2.0)), truth)


def plain(task: Task) -> Times:
    """Seconds and processor seconds of a step in the papers' way."""
    net, batches = networks.build(task.network, {"bands": task.bands}).train(), task.batches()
    optimizer = torch.optim.Adam(net.parameters(), 3e-4)
    clocks = []
    for step in range(WARM + task.steps):
        clocks.append((time.perf_counter(), time.process_time()))
        given = batches[step % len(batches)]
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(given.pair), given.truth)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        loss.item()
    clocks.append((time.perf_counter(), time.process_time()))
    return per_step(clocks[WARM], clocks[-1], task.steps)


def ours(task: Task, precision: Literal["float32", "bfloat16"]) -> Times:
    """Seconds and processor seconds of a step of `panloom train`."""
    batches = task.batches()
    recipe = Recipe(
        network=task.network,
        options={"bands": task.bands},
        source=lambda rng: batches[int(torch.randint(len(batches), (), generator=rng))],
        objective=Supervised("mse"),
        steps=WARM + task.steps,
        optimizer=Adam(3e-4),
        schedule=Stairs(),
        clip=10.0,
        precision=precision,
    )
    clocks: list[Times] = []
    with tempfile.TemporaryDirectory() as folder:
        tell = [lambda line: clocks.append((time.perf_counter(), time.process_time()))]
        train(recipe, Run(Path(folder), device="cpu", threads=torch.get_num_threads()), tell)
    return per_step(clocks[WARM - 1], clocks[-1], task.steps)


def per_step(begin: Times, end: Times, steps: int) -> Times:
    """The mean of both clocks."""
    return (end[0] - begin[0]) / steps, (end[1] - begin[1]) / steps


def process(threads: int) -> ProcessPoolExecutor:
    """A process that waits for work, with so many threads."""
    return ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (threads,))


def machine() -> str:
    """Processor, the flags that matter for bfloat16, and how busy it is."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in found.items()}
    known = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    flags = [flag for flag in known if flag in facts.get("flags", "").split()]
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{facts.get('model name', 'unknown processor')}, {' '.join(flags)}, torch {torch.__version__}, {load}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="fusionnet")
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64, help="pixels along a side of a patch")
    parser.add_argument("--steps", type=int, default=8, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    task = Task(args.network, args.bands, args.batch, args.size, args.steps)
    ways = {
        "papers: float32, contiguous": (plain, task),
        "panloom, float32": (ours, task, "float32"),
        "panloom, bfloat16": (ours, task, "bfloat16"),
    }
    best = dict.fromkeys(ways, (float("inf"), float("inf")))
    with ExitStack() as stack:
        processes = {name: stack.enter_context(process(args.threads)) for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                wall, processor = processes[name].submit(*way).result()
                best[name] = min(best[name][0], wall), min(best[name][1], processor)
    print(f"{machine()}, {args.threads} threads")
    print(f"{args.network}, {args.bands} bands, batch of {args.batch} patches of {args.size} x {args.size}\n")
    print("| way | s/step | patches/s | ratio | processor s/step | ratio |\n|---|---|---|---|---|---|")
    first = best["papers: float32, contiguous"]
    for name, (wall, processor) in best.items():
        ratios = f"{first[0] / wall:.2f} | {processor:.3f} | {first[1] / processor:.2f}"
        print(f"| {name} | {wall:.3f} | {args.batch / wall:.0f} | {ratios} |")


if __name__ == "__main__":
    main()
