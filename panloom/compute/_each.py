"""One ordered, bounded, parallel map, the only place where panloom starts threads; and the threads inside torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    items: Iterable[Item], work: Callable[[Item], Result], threads: int = 1, ahead: int | None = None
) -> Generator[Result, None, None]:
    """`work(item)` for every item, in the order of the items, computed by `threads` threads.

    Every call runs with one torch thread of its own, so the result does not depend on `threads`.

    Args:
        items: taken one by one, never more than `ahead` beyond the result that was asked for.
        work: a pure function.
        threads: how many calls run at once.
        ahead: how many items may be in flight or finished and not yet taken; at least `threads`.

    Raises:
        Exception: the first error of `work`, at its place in the order. Closing the iterator stops the work.
    """
    waiting: deque[Future[Result]] = deque()
    source = iter(items)
    room = max(ahead or 2 * threads, threads)
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="panloom", initializer=_single)

    def quietly(item: Item) -> Result:
        with torch.inference_mode():
            return work(item)

    try:
        waiting.extend(pool.submit(quietly, item) for item in islice(source, room))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(quietly, item) for item in islice(source, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)  # what a worker sets is the default of threads that the caller starts later


def _single() -> None:
    """One torch thread per worker: threads of tiles do not compete with threads inside an operation."""
    torch.set_num_threads(1)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let every operation of torch in this thread use `count` threads.

    Small operations on all processors are many times slower where other programs are at work too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
