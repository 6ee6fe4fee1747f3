"""Where and how things are computed: threads, devices, memory. Never decided inside a method."""

from panloom.compute._device import Policy, out_of_memory, processors, to_device
from panloom.compute._each import each, torch_threads

__all__ = ["Policy", "each", "out_of_memory", "processors", "to_device", "torch_threads"]
