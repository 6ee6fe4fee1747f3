"""The one parallel map: in order, bounded, honest about errors, quick to stop."""

from __future__ import annotations

import threading
import time
from itertools import count

import pytest
import torch

from panloom.compute import each


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("ahead", [None, 1, 3, 20])
def test_results_come_in_the_order_of_the_items(threads: int, ahead: int | None):
    def work(k: int) -> int:
        time.sleep(0.001 * ((k * 7) % 5))
        return k * k

    assert list(each(range(23), work, threads, ahead)) == [k * k for k in range(23)]
    assert list(each([], work, threads, ahead)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_is_raised_at_its_place(threads: int):
    def work(k: int) -> int:
        if k >= 5:
            raise ValueError(f"item {k}")
        time.sleep(0.002)
        return k

    results = each(range(20), work, threads)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="item 5"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_an_error_of_the_items_is_raised_too():
    def items():
        yield from range(3)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(each(items(), lambda k: k, 2))


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, None), (2, 5), (4, 2)])
def test_the_look_ahead_is_bounded(threads: int, ahead: int | None):
    taken = []

    def items():
        for k in count():
            taken.append(k)
            yield k

    room = max(ahead or 2 * threads, threads)
    results = each(items(), lambda k: k, threads, ahead)
    assert not taken, "nothing is taken before the first result is asked for"
    for k in range(10):
        assert next(results) == k
        assert len(taken) <= k + 1 + room
    results.close()
    assert len(taken) <= 10 + room


def test_no_more_calls_at_once_than_threads():
    busy, most, lock = [0], [0], threading.Lock()

    def work(k: int) -> int:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.003)
        with lock:
            busy[0] -= 1
        return k

    list(each(range(20), work, 3, 12))
    assert 1 < most[0] <= 3


def test_closing_stops_the_work_and_its_threads():
    started = []

    def work(k: int) -> int:
        started.append(k)
        time.sleep(0.005)
        return k

    before = threading.active_count()
    results = each(count(), work, 2, 4)
    next(results)
    results.close()
    seen = len(started)
    time.sleep(0.03)
    assert len(started) == seen
    assert threading.active_count() == before


def test_threads_end_after_an_error():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(each(range(8), lambda k: 1 // (3 - k), 2))
    assert threading.active_count() == before


def test_every_call_has_one_torch_thread_and_no_gradients():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        inside = list(each(range(4), lambda k: (torch.get_num_threads(), torch.is_inference_mode_enabled()), 2))
        assert set(inside) == {(1, True)}
        assert torch.get_num_threads() == 2, "the caller keeps its own number"
        assert not torch.is_inference_mode_enabled()
    finally:
        torch.set_num_threads(threads)


def test_the_result_does_not_depend_on_the_number_of_threads():
    items = [torch.rand(40, 40, generator=torch.Generator().manual_seed(k)) for k in range(8)]
    one, four = (list(each(items, lambda x: x @ x.T, threads)) for threads in (1, 4))
    assert all(torch.equal(a, b) for a, b in zip(one, four, strict=True))
