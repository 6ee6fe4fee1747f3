"""Progress of long work: a bar with rate and time left on a terminal, quiet lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

#: Seconds between two lines of a log.
QUIET = 10.0

Told = Callable[[int, int], None]


@contextmanager
def progress(console: Console, label: str, unit_pixels: int = 0, unit: str = "tiles") -> Iterator[Told]:
    """A function to be told `(done, in all)`.

    Args:
        console: where to show it; a bar on a terminal, else a line at the start, every ten seconds and at the end.
        label: what is going on.
        unit_pixels: pixels of one unit, for the rate; 0: the rate is left out.
        unit: what is counted.
    """
    if not console.is_terminal:
        yield _lines(console, label, unit_pixels, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None, rate="")
        started = time.perf_counter()

        def told(done: int, total: int) -> None:
            rate = _rate(done, unit_pixels, started)
            bar.update(task, completed=done, total=total, rate=rate)

        yield told


def _lines(console: Console, label: str, unit_pixels: int, unit: str) -> Told:
    started = time.perf_counter()
    last = started - QUIET  # the first one is told at once

    def told(done: int, total: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if done < total and now - last < QUIET:
            return
        last = now
        left = (now - started) / done * (total - done)
        eta = f", {left:.0f} s left" if done < total else ""
        console.print(f"{label}: {done}/{total} {unit}{_rate(done, unit_pixels, started)}{eta}", highlight=False)

    return told


def _rate(done: int, unit_pixels: int, started: float) -> str:
    if not unit_pixels:
        return ""
    return f" {done * unit_pixels / max(time.perf_counter() - started, 1e-6) / 1e6:.1f} Mpx/s"
