"""Progress in a log and on a terminal, with a clock that the test moves."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from panloom.run import progress as module
from panloom.run.progress import PIXELS, STEPS, Unit, progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds, to be moved by hand."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def lines(steps, clock, unit):
    """What a log shows of news at their seconds."""
    text = io.StringIO()
    with progress(Console(file=text, force_terminal=False, width=120), "gsa", unit) as told:
        for seconds, done, total in steps:
            clock[0] = 1000.0 + seconds
            told(done, total)
    return text.getvalue().splitlines()


def test_the_rate_is_that_of_real_pixels(clock):
    """3 Mpx in 10 s after the first tile, whatever the sizes of the tiles; 6 of 10 Mpx are left at 0.3 Mpx/s."""
    assert lines([(0, 1_000_000, 10_000_000), (10, 4_000_000, 10_000_000)], clock, PIXELS) == [
        "gsa: 1.00/10.0 Mpx",
        "gsa: 4.00/10.0 Mpx 0.30 Mpx/s, 20 s left",
    ]


def test_a_log_is_quiet_between_news_and_tells_the_end(clock):
    steps = [(0, 1, 4), (3, 2, 4), (6, 3, 4), (9, 4, 4)]
    assert lines(steps, clock, STEPS) == ["gsa: 1/4 steps", "gsa: 4/4 steps"]


def test_a_resumed_run_counts_from_where_it_began(clock):
    told = lines([(0, 6_000_000, 8_000_000), (10, 7_000_000, 8_000_000)], clock, PIXELS)
    assert told[-1] == "gsa: 7.00/8.00 Mpx 0.10 Mpx/s, 10 s left"


def test_a_terminal_gets_a_bar():
    text = io.StringIO()
    with progress(Console(file=text, force_terminal=True, width=120), "gsa", PIXELS) as told:
        told(1_000_000, 4_000_000)
        told(4_000_000, 4_000_000)
    assert "4.00/4.00 Mpx" in text.getvalue()
    assert "100%" in text.getvalue()


@pytest.mark.parametrize(("count", "words"), [(0, "0.00"), (36_000, "0.04"), (9_990_000, "9.99"), (12_340_000, "12.3")])
def test_numbers(count, words):
    assert Unit("Mpx", 1_000_000).number(count) == words
