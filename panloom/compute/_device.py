"""Which device computes, and how many threads and tiles are at work."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from threading import BoundedSemaphore

import torch

from panloom.errors import OptionError
from panloom.pair import Pair

#: Resident memory of an idle run (interpreter, torch, GDAL and its cache), in MB.
BASE_MB = 380

#: Tiles that are read ahead from a network.
REMOTE_READERS = 6


@dataclass(frozen=True)
class Policy:
    """How a run computes.

    Attributes:
        device: where methods run.
        threads: tiles computed at once.
        ahead: tiles in flight, finished ones that wait for the writer included.
        readers: threads beyond `threads` that may wait for slow files while others compute.
        turn: held while a tile is computed, so that no more than `threads` are.
    """

    device: torch.device
    threads: int
    ahead: int
    readers: int
    turn: BoundedSemaphore

    @staticmethod
    def choose(
        device: str, threads: int | None, memory_mb: float, tile_mb: float, *, slow_files: bool = False
    ) -> Policy:
        """The policy for tiles that need `tile_mb` each.

        Args:
            device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
            threads: None: one per processor that this process may use.
            memory_mb: the whole process should stay below it.
            tile_mb: working memory of one tile.
            slow_files: tiles are read over a network, so readers run ahead of the computation.

        Raises:
            OptionError: no such device, threads below 1, or memory for less than one tile.
        """
        threads = _workers(threads)
        room = int((memory_mb - BASE_MB) / tile_mb)
        if room < 1:
            least = BASE_MB + tile_mb
            raise OptionError(f"memory of {memory_mb} MB is too little: one tile needs {least:.0f} MB in all")
        threads = min(threads, room)
        readers = min(REMOTE_READERS, room - threads) if slow_files else 0
        return Policy(
            _device(device), threads, min(room, 2 * threads + readers + 1), readers, BoundedSemaphore(threads)
        )

    @staticmethod
    def in_memory(device: str = "cpu", threads: int | None = None) -> Policy:
        """The policy for images that are in memory already: they, and not a limit, say how much is needed.

        Raises:
            OptionError: no such device, or threads below 1.
        """
        threads = _workers(threads)
        return Policy(_device(device), threads, 2 * threads + 1, 0, BoundedSemaphore(threads))


def _workers(threads: int | None) -> int:
    """Threads that were asked for, or one per processor."""
    threads = processors() if threads is None else threads
    if threads < 1:
        raise OptionError(f"threads must be 1 or more; given: {threads}")
    return threads


def processors() -> int:
    """Processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise OptionError(f"no device is called {name!r}; use auto, cpu or cuda") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise OptionError(f"device {name!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices")
    return device


def to_device(pair: Pair, device: torch.device) -> Pair:
    """The pair with its tensors on a device; the same pair where they are there already."""
    if pair.pan.device == device:
        return pair
    return replace(
        pair,
        pan=pair.pan.to(device),
        ms=pair.ms.to(device),
        exp=pair.exp.to(device),
        valid=pair.valid.to(device),
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, CUDA's, or that of torch's CPU allocator."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
