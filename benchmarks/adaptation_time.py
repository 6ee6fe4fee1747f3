"""What adaptation costs beside inference, arrays in and out, in one run.

    python benchmarks/adaptation_time.py --weights fusionnet.wv3-open --size 512

The jobs run in turns in one process, after one round that does not count; the median counts. All but the last are
`panloom.fuse` with the weights in memory, at `--precision`; gates are open, so that what was learned is used. "The
papers' way" is the same training written plainly, in eager float32: a residual module of 1 x 1, 3 x 3 channel by
channel and 1 x 1 layers between features and head, Adam, as many steps on as many patches, the network's features made
anew in each step, the MTF as a full convolution, and inference on the whole image at once. How the papers' own code
does it is not public.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from adaptation_rows import markdown, number
from inference import RATIO, Case, whole_tile
from torch import Tensor, nn
from torch.nn import functional

from panloom import adapt
from panloom.compute import cut, processor_name
from panloom.networks import Network
from panloom.optics.toolbox import mtf_kernel
from panloom.pair import Fuser, Pair
from panloom.run import fuse as engine
from panloom.types import Window

#: Of the fast preset of tailor: steps, patches of each kind, MS pixels along their sides, learning rate.
STEPS, PATCHES, SIDE, RATE = 30, 4, 16, 0.05

#: In place of a gate: nothing is kept frozen.
OPEN = 1e9

Job = Callable[[], object]


def product(case: Case, network: Network, adapter: str, options: dict[str, object], precision: str) -> Job:
    """`panloom.fuse` with the network, or with an adapter on it, in place of what a method's name would give."""
    pan, ms = (x.numpy() for x in case.images())
    fuser: Fuser = adapt.get(adapter)(network, **options) if adapter else network

    def run() -> object:
        engine.resolve = lambda *_words: fuser
        # Any name: `resolve` gives the network.
        return engine.fuse(
            pan, ms, method="exp", sensor=case.sensor, full_scale=1.0, precision=precision, threads=case.threads
        )

    return run


class Residual(nn.Module):
    """1 x 1, 3 x 3 channel by channel, 1 x 1, added to what comes in; at the beginning it adds nothing.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 1)
        self.wide = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.last = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, features: Tensor) -> Tensor:
        """The changed features."""
        inner = functional.relu(self.wide(functional.relu(self.first(features))))
        return features + self.last(inner)


def papers(case: Case, network: Network) -> Job:
    """Iterative tailoring, plainly."""

    def run() -> object:
        # The scene is opened as in `panloom.fuse`; EXP is made for all of it.
        scene = case.scene()
        torch.set_num_threads(case.threads)
        pair, kernel = scene.read(whole_tile(scene)), kernels(case)
        low = degraded(pair, kernel)
        full_size, low_size = (replaced.ms.shape[-1] // SIDE for replaced in (pair, low))
        picked = [patch(pair, 2 * k % full_size, 3 * k % full_size) for k in range(PATCHES)]
        lowered = [patch(low, k % low_size, k // low_size) for k in range(min(PATCHES, low_size**2))]
        targets = [patch_of(pair.ms, one) for one in lowered]
        module = trained(network, picked, lowered, targets, kernel)
        with torch.no_grad():
            return network.head(module(network.features(pair)), pair).numpy()

    return run


def kernels(case: Case) -> Tensor:
    """The MTF of each band."""
    return torch.stack([mtf_kernel(band.mtf_nyquist, RATIO) for band in case.sensor.bands])[:, None].float()


def lowpass(image: Tensor, kernel: Tensor) -> Tensor:
    """Through the MTF, every ratio-th pixel."""
    padded = functional.pad(image, (20, 20, 20, 20), mode="replicate")
    return functional.conv2d(padded, kernel, groups=len(kernel))[..., RATIO // 2 :: RATIO, RATIO // 2 :: RATIO]


def degraded(pair: Pair, kernel: Tensor) -> Pair:
    """The pair once more through its own optics."""
    ms = lowpass(pair.ms, kernel)
    exp = functional.interpolate(ms, scale_factor=RATIO, mode="bicubic")
    pan = functional.avg_pool2d(pair.pan, RATIO)
    return replace(pair, pan=pan, ms=ms, exp=exp, valid=torch.ones_like(pan, dtype=torch.bool))


def patch(pair: Pair, row: int, col: int) -> Pair:
    """One of the pair's patches."""
    return cut(pair, Window(row * SIDE, col * SIDE, SIDE, SIDE))


def patch_of(ms: Tensor, low: Pair) -> Tensor:
    """The truth of a patch of the degraded pair."""
    (row, col), (height, width) = low.origin, low.pan.shape[-2:]
    return ms[..., row : row + height, col : col + width]


def trained(network: Network, full: list[Pair], low: list[Pair], truth: list[Tensor], kernel: Tensor) -> Residual:
    """The module after its steps."""
    with torch.no_grad():
        module = Residual(network.features(full[0]).shape[1])
    optimiser = torch.optim.Adam(module.parameters(), RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = torch.zeros(())
        for one in full:
            loss = loss + (lowpass(output(network, module, one), kernel) - one.ms).abs().mean()
        for one, target in zip(low, truth, strict=True):
            loss = loss + (output(network, module, one) - target).abs().mean()
        loss.backward()
        optimiser.step()
    return module


def output(network: Network, module: nn.Module, pair: Pair) -> Tensor:
    """Of the network with the module; its features are frozen."""
    with torch.no_grad():
        features = network.features(pair)
    return network.head(module(features), pair)


def jobs(case: Case, precision: str) -> dict[str, Job]:
    """By what is printed."""
    network = case.net()
    frozen = network.requires_grad_(False)
    return {
        "inference": product(case, frozen, "", {}, precision),
        "refit + inference": product(case, frozen, "refit", {"gate": OPEN}, precision),
        "tailor fast + inference": product(case, frozen, "tailor", {"gate": OPEN}, precision),
        "tailor quality + inference": product(case, frozen, "tailor", {"gate": OPEN, "preset": "quality"}, precision),
        "cat fast + inference": product(case, frozen, "cat", {"gate": OPEN}, precision),
        "swift + inference": product(case, frozen, "swift", {"gate": OPEN}, precision),
        "the papers' way + inference": papers(case, frozen),
    }


def timed(todo: dict[str, Job], repeat: int) -> dict[str, tuple[float, float]]:
    """Medians of seconds by the clock and of processor seconds."""
    clocks: dict[str, list[tuple[float, float]]] = {name: [] for name in todo}
    for turn in range(repeat + 1):
        for name, job in todo.items():
            began, spent = time.perf_counter(), time.process_time()
            job()
            if turn:
                clocks[name].append((time.perf_counter() - began, time.process_time() - spent))
    return {name: tuple(map(statistics.median, zip(*found, strict=True))) for name, found in clocks.items()}  # type: ignore[misc]


#: Aims: the most that a job may take, in times of another.
TARGETS = {
    "refit + inference": "at most 2.2 x inference",
    "tailor fast + inference": "at most 4 x inference; the papers' way at least 5 x this (10 x with AMX)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="fusionnet.wv3-open")
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    case = Case(given.weights.partition(".")[0], given.weights, given.bands, given.size, given.threads, given.repeat)
    found = timed(jobs(case, given.precision), given.repeat)
    base, plain = found["inference"], found["the papers' way + inference"]
    rows = []
    for name, both in found.items():
        ratios = [number(mine / of, ".2f") for mine, of in zip(both, base, strict=True)]
        faster = [number(of / mine, ".1f") for mine, of in zip(both, plain, strict=True)]
        rows.append(
            [name, number(both[0]), ratios[0], faster[0], number(both[1]), ratios[1], faster[1], TARGETS.get(name, "")]
        )
    print(f"{given.weights}, {given.size} x {given.size} x {given.bands}, precision {given.precision};")
    print(f"{processor_name()}, {given.threads} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}\n")
    head = (
        "job",
        "seconds",
        "x inference",
        "papers' way / this",
        "CPU s",
        "x inference",
        "papers' way / this",
        "asked",
    )
    print("\n".join(markdown(head, rows)))


if __name__ == "__main__":
    main()
