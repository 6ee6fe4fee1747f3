"""The parallel maps: in order, bounded, honest about errors, quick to stop."""

from __future__ import annotations

import threading
import time
from itertools import count

import pytest
import torch

from panloom.compute import each, started, together, workers


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


# ---- parts of one computation --------------------------------------------------------------------


@pytest.fixture
def _two_torch_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_of_parts_come_in_their_order(count: int):
    def work(k: int) -> int:
        time.sleep(0.001 * ((k * 7) % 5))
        return k * k

    with workers(count):
        assert together(work, range(23)) == [k * k for k in range(23)]
        assert together(work, []) == []
    assert together(work, range(3)) == [0, 1, 4]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_as_many_parts_at_once_as_workers(count: int):
    gate = threading.Barrier(count)

    def work(_: int) -> None:
        gate.wait(timeout=5)  # breaks unless so many are at work

    with workers(count):
        together(work, range(count))

    def alone(_: int) -> int:
        with lock:
            busy[0] += 1
        time.sleep(0.003)
        with lock:
            most.append(busy[0])
            busy[0] -= 1
        return 0

    busy, most, lock = [0], [], threading.Lock()
    with workers(count):
        together(alone, range(12))
    assert max(most) <= count


def test_parts_of_parts_are_computed_too():
    def work(k: int) -> list[int]:
        return together(lambda j: 10 * k + j, range(3))

    with workers(3):
        assert together(work, range(4)) == [[10 * k + j for j in range(3)] for k in range(4)]


@pytest.mark.parametrize("wrong", [0, 7, 11])
def test_an_error_of_a_part_is_raised_and_the_workers_go_on(wrong: int):
    def work(k: int) -> int:
        time.sleep(0.001)
        if k == wrong:
            raise ValueError(f"part {k}")
        return k

    with workers(3):
        with pytest.raises(ValueError, match=f"part {wrong}"):
            together(work, range(12))
        assert together(lambda k: k, range(12)) == list(range(12))


def test_workers_end_also_after_an_error():
    before = threading.active_count()
    with workers(3):
        together(lambda k: k, range(6))
    assert threading.active_count() == before
    with pytest.raises(ZeroDivisionError), workers(3):
        together(lambda k: 1 // (3 - k), range(6))
    assert threading.active_count() == before


@pytest.mark.usefixtures("_two_torch_threads")
@pytest.mark.parametrize("count", [1, 3])
def test_every_part_has_one_torch_thread(count: int):
    with workers(count):
        assert set(together(lambda _: torch.get_num_threads(), range(6))) == {1}
    assert torch.get_num_threads() == 2, "the caller keeps its own number"


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_parts_run_in_the_gradient_mode_of_the_caller(mode):
    def work(_: int) -> tuple[bool, bool]:
        time.sleep(0.002)
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with workers(3), mode():
        assert set(together(work, range(6))) == {work(0)}


def test_slopes_can_be_taken_in_every_thread():
    weight = torch.rand(30, 30, requires_grad=True, generator=torch.Generator().manual_seed(1))

    def slope(k: int) -> torch.Tensor:
        return torch.autograd.grad((weight @ weight.T + k).sin().sum(), weight)[0]

    expected = [slope(k) for k in range(6)]
    with workers(3):
        assert all(torch.equal(a, b) for a, b in zip(expected, together(slope, range(6)), strict=True))


@pytest.mark.parametrize("count", [1, 3])
def test_what_was_started_goes_on_beside_other_parts(count: int):
    began: list[int] = []

    def work(k: int) -> int:
        began.append(k)
        return k * k

    with workers(count):
        later = started(work, range(8))
        assert together(lambda k: -k, range(5)) == [0, -1, -2, -3, -4]
        end = time.monotonic() + 5
        while count > 1 and not began and time.monotonic() < end:
            time.sleep(0.001)
        assert bool(began) == (count > 1), "other threads do not wait to be asked"
        assert later() == [k * k for k in range(8)]
    assert sorted(began) == list(range(8)), "nothing is computed twice"
