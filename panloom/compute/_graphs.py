"""Networks on a GPU: tiles in pinned memory, a stream for every worker, and CUDA graphs for shapes that come again."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from panloom.compute._device import to_device
from panloom.pair import Fuser, Pair

log = logging.getLogger("panloom")

#: Shapes of tiles that are captured by one worker; the rest, of a scene's rim, run without a graph.
SHAPES = 4

IMAGES = ("pan", "ms", "exp", "valid")


@dataclass
class _Captured:
    """A graph, the tensors that it reads, and the one that it writes."""

    graph: torch.cuda.CUDAGraph
    pair: Pair
    image: Tensor


@dataclass
class _Worker(threading.local):
    """What a thread keeps: its stream, its graphs, and the shapes that it has met without capturing them."""

    stream: torch.cuda.Stream | None = None
    captured: dict[object, _Captured | None] = field(default_factory=dict)
    met: set[object] = field(default_factory=set)


class Graphs:
    """Runs tiles on a GPU; every thread has its own stream, so one tile is copied while another is computed.

    A shape is captured when it comes for the second time. A method that cannot be captured, because it waits for the
    host or draws noise, runs as it is.
    """

    def __init__(self) -> None:
        self._worker = _Worker()
        # Capturing forbids other threads to allocate or to wait; without the lock one thread would break another's.
        self._capturing = threading.Lock()

    def __call__(self, fuser: Fuser, pair: Pair, device: torch.device) -> Tensor:
        """The fused tile on the CPU."""
        worker = self._worker
        if worker.stream is None:
            worker.stream = torch.cuda.Stream(device)
        with torch.cuda.device(device), torch.cuda.stream(worker.stream):
            image = self._image(worker, fuser, _pinned(pair), device)
            out = torch.empty(image.shape, dtype=image.dtype, pin_memory=True)
            out.copy_(image, non_blocking=True)
            worker.stream.synchronize()
        return out

    def _image(self, worker: _Worker, fuser: Fuser, pair: Pair, device: torch.device) -> Tensor:
        key = (*(getattr(pair, name).shape for name in IMAGES), *(start % 2 for start in pair.origin))
        if key in worker.met and key not in worker.captured and len(worker.captured) < SHAPES:
            worker.captured[key] = self._capture(fuser, pair, device)
        worker.met.add(key)
        found = worker.captured.get(key)
        if found is None:
            return fuser(_moved(pair, device))
        for name in IMAGES:
            getattr(found.pair, name).copy_(getattr(pair, name), non_blocking=True)
        found.graph.replay()
        return found.image

    def _capture(self, fuser: Fuser, pair: Pair, device: torch.device) -> _Captured | None:
        """The graph of a tile; None where the method cannot be captured, or the graph does not give its result."""
        if fuser.traits.stochastic:
            return None
        fixed, graph = to_device(pair, device), torch.cuda.CUDAGraph()
        with self._capturing:
            expected = fuser(fixed)
            torch.cuda.current_stream(device).synchronize()
            try:
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    image = fuser(fixed)
            except RuntimeError as error:
                log.debug("no CUDA graph: %s", error)
                return None
        graph.replay()
        return _Captured(graph, fixed, image) if torch.allclose(image, expected, rtol=0, atol=1e-4) else None


def _pinned(pair: Pair) -> Pair:
    """The pair in page-locked memory, from which a copy to the GPU goes on beside other work."""
    return replace(pair, **{name: getattr(pair, name).contiguous().pin_memory() for name in IMAGES})


def _moved(pair: Pair, device: torch.device) -> Pair:
    return replace(pair, **{name: getattr(pair, name).to(device, non_blocking=True) for name in IMAGES})
