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
    pace = _Pace(unit_pixels)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None, rate="")

        def told(done: int, total: int) -> None:
            pace.step(done)
            bar.update(task, completed=done, total=total, rate=pace.rate(done))

        yield told


class _Pace:
    """Rate and time left, counted from the first unit: opening and statistics are no part of them."""

    def __init__(self, unit_pixels: int) -> None:
        self._pixels, self._first, self._began = unit_pixels, 0, 0.0

    def step(self, done: int) -> None:
        """Start the clock with the first unit."""
        if not self._began:
            self._first, self._began = done, time.perf_counter()

    def rate(self, done: int) -> str:
        """Pixels per second, in words; empty before the second unit."""
        if not self._pixels or done <= self._first:
            return ""
        return f" {(done - self._first) * self._pixels / (time.perf_counter() - self._began) / 1e6:.1f} Mpx/s"

    def left(self, done: int, total: int) -> str:
        """Seconds left, in words; empty where nothing is known."""
        if done <= self._first or done >= total:
            return ""
        left = (time.perf_counter() - self._began) / (done - self._first) * (total - done)
        return f", {left:.0f} s left"


def _lines(console: Console, label: str, unit_pixels: int, unit: str) -> Told:
    pace = _Pace(unit_pixels)
    last = time.perf_counter() - QUIET  # the first one is told at once

    def told(done: int, total: int) -> None:
        nonlocal last
        pace.step(done)
        now = time.perf_counter()
        if done < total and now - last < QUIET:
            return
        last = now
        words = f"{label}: {done}/{total} {unit}{pace.rate(done)}{pace.left(done, total)}"
        console.print(words, highlight=False)

    return told
