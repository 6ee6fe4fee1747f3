"""How a network is run: precision, memory format and parts of a tile, measured once on each machine.

Networks compute in the type of their weights, so reduced precision is a copy with shorter weights. bfloat16 is chosen
where the hardware has it and its PSNR against float32 on tiles of this very scene is at least `PSNR_BOUND`: nothing
that a clock says decides about numbers. The parts change the time and not the result: with channels last, oneDNN sums
up every pixel in the same order whatever the size of the image.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeVar, cast

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from panloom.compute._device import Policy, to_device
from panloom.compute._each import torch_threads
from panloom.compute._graphs import Graphs
from panloom.compute._memo import key_of, measurements, remember
from panloom.compute._parts import cut, in_parts
from panloom.errors import OptionError
from panloom.pair import Fuser, Pair, SceneLike
from panloom.types import Tile, Traits, Window

PRECISIONS = ("auto", "float32", "bfloat16")

#: Least PSNR of bfloat16 against float32, in dB at full scale.
PSNR_BOUND = 60.0

#: PAN pixels along a side of the parts that are tried; 0: the whole tile at once.
SIDES = (0, 256, 128)

#: PAN pixels along a side of the part that tells how fast float32 is beside the chosen precision.
TRIAL = 128

#: Seconds beyond which a measured run is not repeated.
LONG = 0.25

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Mode:
    """How a network is run.

    Attributes:
        precision: "float32" or "bfloat16".
        side: PAN pixels along a side of the parts of a tile, about; 0: the whole tile at once.
        rate: million samples (pixels times bands) per second of one thread; None: not measured.
        psnr: of bfloat16 against float32 on tiles of the scene, in dB at full scale; infinite where they are equal,
            minus infinite where the scene gives no sample; None: not looked at.
    """

    precision: str
    side: int = 0
    rate: float | None = None
    psnr: float | None = None

    def __str__(self) -> str:
        words = [self.precision, f"tiles in parts of {self.side} pixels" if self.side else "whole tiles at once"]
        return ", ".join(words if self.psnr is None else [*words, _compared(self.psnr)])


def _compared(psnr: float) -> str:
    if math.isfinite(psnr):
        return f"PSNR of bfloat16 against float32 {psnr:.1f} dB"
    return "bfloat16 equal to float32 on samples" if psnr > 0 else "no sample to compare bfloat16 with float32 on"


@dataclass(frozen=True, eq=False)
class Tuned:
    """A network, or a method around one, as it is run on this machine.

    Attributes:
        fuser: with weights of the chosen precision, on the chosen device.
        mode: what was chosen.
        device: where it runs.
        graphs: CUDA graphs of its tiles; None: not on a GPU.
    """

    fuser: Fuser
    mode: Mode
    device: torch.device
    graphs: Graphs | None = None

    @property
    def traits(self) -> Traits:
        """Those of the method."""
        return self.fuser.traits

    def prepare(self, scene: SceneLike, rng: Generator) -> Tuned:
        """The method prepared for another scene, run in the same way."""
        return replace(self, fuser=self.fuser.prepare(scene, rng), graphs=self.graphs and Graphs())

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        return self.core(pair, Window(0, 0, *pair.exp.shape[-2:]))

    def core(self, pair: Pair, core: Window) -> Float[Tensor, "b C H2 W2"]:
        """The core, given in PAN pixels of the tile, of the fused tile."""
        return in_parts(self._run, pair, core, self.traits, self.mode.side)

    def _run(self, pair: Pair) -> Tensor:
        if self.graphs is not None:
            return self.graphs(self.fuser, pair, self.device)
        return self.fuser(to_device(pair, self.device))


def fused(fuser: Fuser, pair: Pair, tile: Tile, ratio: int, policy: Policy) -> Float[Tensor, "b C H W"]:
    """The core of a tile by any method, on the CPU."""
    core = tile.core.shifted(-tile.read.row * ratio, -tile.read.col * ratio)
    if isinstance(fuser, Tuned):
        return fuser.core(pair, core).cpu()
    rows, cols = slice(core.row, core.row_end), slice(core.col, core.col_end)
    return fuser(to_device(pair, policy.device))[..., rows, cols].cpu()


def wanted(precision: str, device: torch.device) -> str:
    """The precision that a network is to run in, unless its error is too large.

    Raises:
        OptionError: no such precision.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"precision is {', '.join(PRECISIONS)}; given: {precision!r}")
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 itself: AVX512-BF16 or AMX, CUDA from 8.0."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public name for them
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)


def holds_network(fuser: object) -> bool:
    """Whether a method is a network or keeps one in its fields."""
    found: list[nn.Module] = []

    def note(module: nn.Module) -> nn.Module:
        found.append(module)
        return module

    _rebuilt(fuser, note)
    return bool(found)


def tune(
    fuser: Fuser,
    precision: str,
    policy: Policy,
    tile: Callable[[], tuple[Pair, Window]],
    samples: Callable[[], Iterable[Pair]],
) -> Fuser:
    """A prepared network as it is to be run; any other method as it is.

    Args:
        fuser: prepared for the scene.
        precision: "auto", "float32" or "bfloat16".
        policy: its device is where the network will run.
        tile: a usual tile of the scene, and its core in PAN pixels of the tile; to measure on, where this machine has
            not measured such a network on such a tile before.
        samples: pairs of the scene, to measure the error of bfloat16 on.

    Raises:
        OptionError: no such precision.
    """
    asked = wanted(precision, policy.device)
    if not holds_network(fuser):
        return fuser
    forms = {kind: converted(fuser, getattr(torch, kind), policy.device) for kind in dict.fromkeys((asked, "float32"))}
    with torch_threads(1), torch.inference_mode():
        if precision != "auto":
            forms = {asked: forms[asked]}
        found = _recalled(fuser, forms, policy.device, tile)
        chosen, psnr = str(found["precision"]), None
        if precision == "auto" and chosen == "bfloat16":
            psnr = _psnr(forms["float32"], forms[chosen], policy.device, samples())
            chosen = chosen if psnr >= PSNR_BOUND else "float32"
    rate = cast("float", found["rate" if chosen == found["precision"] else "slow_rate"])
    mode = Mode(chosen, cast("int", found["side"]), rate, psnr)
    return Tuned(forms[chosen], mode, policy.device, Graphs() if policy.device.type == "cuda" else None)


def converted(fuser: Fuser, dtype: torch.dtype, device: torch.device) -> Fuser:
    """A copy whose networks have weights of a type, on a device, channels last."""

    def change(module: nn.Module) -> nn.Module:
        moved = copy.deepcopy(module).to(device=device, dtype=dtype)
        return moved.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stub lacks it

    return _rebuilt(fuser, change)


def _rebuilt(value: Thing, change: Callable[[nn.Module], nn.Module]) -> Thing:
    """A module changed, or a frozen record with all modules in its fields changed."""
    if isinstance(value, nn.Module):
        return cast("Thing", change(value))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    old = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    new = {name: _rebuilt(item, change) for name, item in old.items()}
    return replace(value, **new) if any(new[name] is not old[name] for name in old) else value


def _described(fuser: object) -> list[object]:
    """What of a network decides its speed: its layers and the shapes of their weights."""
    shapes: list[object] = []

    def note(module: nn.Module) -> nn.Module:
        shapes.append((type(module).__name__, [(name, tuple(p.shape)) for name, p in module.named_parameters()]))
        return module

    _rebuilt(fuser, note)
    return [type(fuser).__name__, *shapes]


def _recalled(
    fuser: Fuser, forms: Mapping[str, Fuser], device: torch.device, tile: Callable[[], tuple[Pair, Window]]
) -> Mapping[str, object]:
    """What was measured of a network on this machine, now or earlier."""
    pair, core = tile()
    shape = (pair.ms.shape[1], pair.ratio, core.height, core.width, fuser.traits.halo)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    key = key_of((*_described(fuser), shape, sorted(forms), name))
    found = measurements().get(key, {})
    if not _whole(found, forms):
        found = _measure(forms, device, pair, core) | {"label": f"{_label(fuser)}, {shape[0]} bands, ratio {shape[1]}"}
        remember(key, found)
    return found


def _whole(found: Mapping[str, object], forms: Mapping[str, Fuser]) -> bool:
    """Whether an entry of the memo, which anybody may have edited, holds all that is needed."""
    rates = (found.get("rate"), found.get("slow_rate"))
    sound = all(isinstance(rate, float) and 0 < rate < math.inf for rate in rates)
    return sound and found.get("precision") == next(iter(forms)) and found.get("side") in SIDES


def _label(fuser: object) -> str:
    names: list[str] = []

    def note(module: nn.Module) -> nn.Module:
        names.append(type(module).__name__)
        return module

    _rebuilt(fuser, note)
    return " + ".join(dict.fromkeys((names[0], type(fuser).__name__)))


def _measure(forms: Mapping[str, Fuser], device: torch.device, pair: Pair, core: Window) -> dict[str, object]:
    """With which parts of a tile the first of the forms is fastest, and how fast the other one is on a small part."""
    small = Window(core.row, core.col, min(core.height, TRIAL), min(core.width, TRIAL))
    read = small.cells(pair.ratio)
    trial = cut(pair, read.grown(next(iter(forms.values())).traits.halo).clipped(*pair.ms.shape[-2:]))
    whole = Window(0, 0, *trial.exp.shape[-2:])
    seconds = {kind: _seconds(Tuned(form, Mode(kind), device), trial, whole) for kind, form in forms.items()}
    kind = next(iter(forms))
    # A method that needs the whole scene has no parts to choose from.
    tried = SIDES if forms[kind].traits.tiling == "exact" else SIDES[:1]
    sides = {side: _seconds(Tuned(forms[kind], Mode(kind, side), device), pair, core) for side in tried}
    side = min(sides, key=lambda length: sides[length])
    rate = pair.ms.shape[1] * core.height * core.width / sides[side] / 1e6
    return {
        "precision": kind,
        "side": side,
        "rate": rate,
        "slow_rate": rate * seconds[kind] / seconds["float32"] if "float32" in seconds else rate,
    }


def _seconds(tuned: Tuned, pair: Pair, core: Window) -> float:
    """Least of two runs (of one, where it is long), after one on a GPU that is not counted.

    On the CPU processor time is counted, which other programs disturb less.
    """
    if tuned.device.type != "cuda":
        first = _timed(lambda: tuned.core(pair, core), time.thread_time)
        return first if first > LONG else min(first, _timed(lambda: tuned.core(pair, core), time.thread_time))
    runs = [_timed(lambda: tuned.core(pair, core).cpu(), time.perf_counter) for _ in range(3)]
    return min(runs[1:])


def _timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return max(clock() - started, 1e-6)


def _psnr(exact: Fuser, reduced: Fuser, device: torch.device, samples: Iterable[Pair]) -> float:
    """Of one form against the other, in dB at full scale; minus infinity where the scene gives no sample."""
    squares, count = 0.0, 0
    for pair in samples:
        moved = to_device(pair, device)
        error = (reduced(moved).double() - exact(moved).double())[moved.valid.expand_as(moved.exp)]
        squares, count = squares + float(error.square().sum()), count + error.numel()
    if not count or not math.isfinite(squares):
        return -math.inf
    return math.inf if not squares else -10 * math.log10(squares / count)
