"""Memory is kept while a run trains, and given back when it ends."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest
import torch
import train_tools
from train_tools import recipe

from panloom.train import Run, Supervised, train
from panloom.train._memory import memory_kept

registered = train_tools.toy_in_registry

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be told"
)

#: Bytes of a block that glibc left alone gives back at once.
LARGE = 2**26
#: Pages of such a block are more, even huge ones.
FEW = 16


def taken() -> int:
    """Pages that the system clears for a large block, when as large a one was used and freed before."""
    from resource import RUSAGE_THREAD, getrusage

    before = getrusage(RUSAGE_THREAD).ru_minflt
    torch.empty(LARGE, dtype=torch.uint8).fill_(1)
    return getrusage(RUSAGE_THREAD).ru_minflt - before


def held() -> int:
    """Bytes of memory that this process has."""
    from resource import getpagesize

    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def test_what_is_freed_is_taken_again_and_given_back_in_the_end():
    for _ in range(2):
        with memory_kept():
            # The first ones find their place.
            assert [taken() for _ in range(5)][-1] < FEW
            inside = held()
        assert held() < inside - 0.9 * LARGE


def test_memory_is_kept_while_a_run_trains_and_no_longer(tmp_path):
    seen = []

    def objective(net, batch, rng):
        seen.append((taken(), held()))
        return Supervised("l1")(net, batch, rng)

    train(recipe(objective=objective), Run(tmp_path, device="cpu", threads=1))
    pages, inside = seen[-1]
    assert pages < FEW
    assert held() < inside - 0.9 * LARGE
