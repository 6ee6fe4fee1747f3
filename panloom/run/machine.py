"""What this machine offers to networks, and what was measured on it: `panloom info --compute`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from panloom.compute import has_bfloat16, measurements, memo_file, processor_name, processors


@dataclass(frozen=True)
class Measured:
    """How one network runs best.

    Attributes:
        network: name, bands and ratio.
        precision: the faster one of those that were tried.
        side: PAN pixels along a side of the parts of a tile; 0: the whole tile at once.
        rate: million samples (pixels times bands) per second of one thread.
    """

    network: str
    precision: str
    side: int
    rate: float


@dataclass(frozen=True)
class Machine:
    """Devices, precisions and measurements.

    Attributes:
        processor: name of the processor.
        threads: processors that this process may use.
        torch: version of torch.
        precision: that networks run in on the processor, unless their error is too large.
        gpus: names of CUDA devices, with the precision that networks run in.
        memo: file that keeps the measurements.
        networks: the measurements, oldest first.
    """

    processor: str
    threads: int
    torch: str
    precision: str
    gpus: tuple[str, ...]
    memo: str
    networks: tuple[Measured, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """One line for each fact."""
        return [
            f"processor: {self.processor}, {self.threads} threads; networks in {self.precision}",
            f"GPU: {'; '.join(self.gpus) or 'none that torch sees'}",
            f"torch {self.torch}",
            f"measurements: {self.memo if self.networks else 'none so far; the first run of a network makes one'}",
        ]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Rows of a table of the measurements."""
        return [(m.network, m.precision, str(m.side or "whole tile"), f"{m.rate:.2f}") for m in self.networks]


def machine() -> Machine:
    """The machine that this runs on."""
    gpus = tuple(
        f"{torch.cuda.get_device_name(k)} ({_usual(torch.device('cuda', k))})" for k in range(torch.cuda.device_count())
    )
    return Machine(
        processor_name(),
        processors(),
        torch.__version__,
        _usual(torch.device("cpu")),
        gpus,
        str(memo_file()),
        tuple(filter(None, map(_measured, measurements().values()))),
    )


def _usual(device: torch.device) -> str:
    return "bfloat16" if has_bfloat16(device) else "float32"


def _measured(entry: object) -> Measured | None:
    """An entry of the memo, unless somebody damaged it."""
    match entry:
        case {"label": str(label), "precision": str(precision), "side": int(side), "rate": float(rate)}:
            return Measured(label, precision, side, rate)
        case _:
            return None
