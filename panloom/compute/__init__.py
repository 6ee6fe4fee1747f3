"""Where and how things are computed: threads, devices, memory, precision. Never decided inside a method."""

from panloom.compute._device import Policy, out_of_memory, processors, to_device
from panloom.compute._each import each, started, together, torch_threads, workers
from panloom.compute._memo import measurements, memo_file, processor_name
from panloom.compute._parts import cut
from panloom.compute._tune import (
    PRECISIONS,
    Mode,
    Tuned,
    converted,
    fused,
    has_bfloat16,
    holds_network,
    tune,
    wanted,
)

__all__ = [
    "PRECISIONS",
    "Mode",
    "Policy",
    "Tuned",
    "converted",
    "cut",
    "each",
    "fused",
    "has_bfloat16",
    "holds_network",
    "measurements",
    "memo_file",
    "out_of_memory",
    "processor_name",
    "processors",
    "started",
    "to_device",
    "together",
    "torch_threads",
    "tune",
    "wanted",
    "workers",
]
