"""Progress of long work: a bar with rate and time left on a terminal, quiet lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

#: Seconds between two lines of a log.
QUIET = 10.0

#: Told how much is done, and how much there is in all.
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Unit:
    """What is counted.

    Attributes:
        name: as it is shown.
        size: counts that make one unit.
        rated: the rate is shown.
    """

    name: str
    size: int = 1
    rated: bool = False

    def count(self, done: int, total: int) -> str:
        """How much is done, in words."""
        if self.size == 1:
            return f"{done}/{total} {self.name}"
        return f"{self.number(done)}/{self.number(total)} {self.name}"

    def number(self, count: float) -> str:
        """A count in units: two digits behind the point where it is small, one where it is not."""
        units = count / self.size
        return f"{units:.{1 if units >= 10 else 2}f}"


#: Pixels of the result, shown in millions.
PIXELS = Unit("Mpx", 1_000_000, rated=True)

#: Steps of unequal length, which have no rate.
STEPS = Unit("steps")


@contextmanager
def progress(console: Console, label: str, unit: Unit) -> Iterator[Told]:
    """A function to be told `(done, in all)`.

    Args:
        console: where to show it; a bar on a terminal, else a line at the start, every ten seconds and at the end.
        label: what is going on.
        unit: what is counted.
    """
    pace = _Pace(unit)
    if not console.is_terminal:
        yield _lines(console, label, pace)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None, words="")

        def told(done: int, total: int) -> None:
            pace.step(done)
            bar.update(task, completed=done, total=total, words=unit.count(done, total) + pace.rate(done))

        yield told


class _Pace:
    """Rate and time left, counted from the first news: opening and statistics are no part of them."""

    def __init__(self, unit: Unit) -> None:
        self.unit, self._first, self._began = unit, 0, 0.0

    def step(self, done: int) -> None:
        """Start the clock with the first news."""
        if not self._began:
            self._first, self._began = done, time.perf_counter()

    def rate(self, done: int) -> str:
        """Units per second, in words; empty before the second news."""
        if not self.unit.rated or done <= self._first:
            return ""
        rate = (done - self._first) / (time.perf_counter() - self._began)
        return f" {self.unit.number(rate)} {self.unit.name}/s"

    def left(self, done: int, total: int) -> str:
        """Seconds left, in words; empty where nothing is known."""
        if done <= self._first or done >= total:
            return ""
        left = (time.perf_counter() - self._began) / (done - self._first) * (total - done)
        return f", {left:.0f} s left"


def _lines(console: Console, label: str, pace: _Pace) -> Told:
    last = time.perf_counter() - QUIET  # the first one is told at once

    def told(done: int, total: int) -> None:
        nonlocal last
        pace.step(done)
        now = time.perf_counter()
        if done < total and now - last < QUIET:
            return
        last = now
        words = f"{label}: {pace.unit.count(done, total)}{pace.rate(done)}{pace.left(done, total)}"
        console.print(words, highlight=False)

    return told
