"""Ordered parallel maps, the only place where panloom starts threads; and the threads inside torch.

`each` is for tiles: there may be many, results are taken one by one, and its threads end with it. `together` is for the
parts of one computation, which may be small: it uses threads that `workers` keeps ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Threads that `together` may use in this thread beside it; None: none.
_HELPERS: ContextVar[ThreadPoolExecutor | None] = ContextVar("helpers", default=None)


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


@contextmanager
def workers(count: int) -> Iterator[None]:
    """Let `together` in this thread compute `count` parts at once; every operation of torch uses one thread."""
    with torch_threads(1):
        if count < 2:
            yield
            return
        # This thread works too.
        helpers = ThreadPoolExecutor(count - 1, thread_name_prefix="panloom", initializer=_single)
        token = _HELPERS.set(helpers)
        try:
            yield
        finally:
            _HELPERS.reset(token)
            helpers.shutdown(wait=True, cancel_futures=True)


def together(work: Callable[[Item], Result], parts: Sequence[Item]) -> list[Result]:
    """`work(part)` for every part, in the order of the parts, computed by the threads that `workers` gave.

    Without `workers`, and in the threads that it gives, it is a plain loop. So that results do not depend on the number
    of threads, what the parts are must not depend on it either.

    Args:
        work: a pure function; it runs in the gradient mode of the caller.
        parts: of about the same size.

    Raises:
        Exception: an error of `work`.
    """
    return started(work, parts)()


def started(work: Callable[[Item], Result], parts: Sequence[Item]) -> Callable[[], list[Result]]:
    """`together`, whose results are asked for later: the other threads begin while this one does something else."""
    helpers = _HELPERS.get()
    if helpers is None:
        return lambda: [work(part) for part in parts]
    gradients, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def there(part: Item) -> Result:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return work(part)

    futures = [helpers.submit(there, part) for part in parts]

    def results() -> list[Result]:
        try:
            # What nobody has begun is computed here.
            here = {k: there(part) for k, part in enumerate(parts) if futures[k].cancel()}
            return [here[k] if k in here else future.result() for k, future in enumerate(futures)]
        finally:
            for future in futures:
                future.cancel()

    return results
