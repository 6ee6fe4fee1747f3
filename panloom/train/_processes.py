"""One training by several processes: each takes its share of the examples of a step, and gradients are added up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as torchrun started them; one where it did not.

    Attributes:
        rank: number of this process.
        world: how many there are.
        local: number of this process on its own machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and tells."""
        return self.rank == 0

    def device(self, asked: torch.device) -> torch.device:
        """The device of this process: its own GPU, where there are several."""
        if asked.type == "cuda" and asked.index is None and self.world > 1:
            return torch.device("cuda", self.local)
        return asked

    def add(self, *numbers: Tensor) -> None:
        """Replace tensors by their sums over the processes."""
        if self.world > 1:
            for number in numbers:
                distributed.all_reduce(number)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.world > 1:
            distributed.barrier()


def launched() -> Processes:
    """The processes that torchrun started, of which this is one; they need not be bound together yet."""
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        return Processes()
    rank, world, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Processes(rank, world, local)


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started; bound together until the end of the block."""
    group = launched()
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield group
        return
    if device.type == "cuda":
        torch.cuda.set_device(group.local)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield group
    finally:
        distributed.destroy_process_group()
