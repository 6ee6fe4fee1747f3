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


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started; bound together until the end of the block."""
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size(), int(os.environ["LOCAL_RANK"]))
    finally:
        distributed.destroy_process_group()
