"""Memory of a step is kept for the next one."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Options of glibc by their numbers in malloc.h; see `man mallopt`.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
#: What glibc itself comes to in a program that frees large blocks.
_USUAL = {_TRIM_THRESHOLD: 2**26, _MMAP_THRESHOLD: 2**25, _MMAP_MAX: 2**16}


@contextmanager
def memory_kept() -> Iterator[None]:
    """Let this process keep the memory that it frees, for what it takes next.

    glibc gives large blocks back to the system, and so most of what a layer frees: the next layer gets new pages, which
    the system clears one by one. On a processor that takes up to a fifth of a step. Elsewhere than with glibc nothing
    is changed.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(_TRIM_THRESHOLD, -1)  # never
    libc.mallopt(_MMAP_MAX, 0)  # no large block apart from the rest, which would be given back alone
    try:
        yield
    finally:
        for option, value in _USUAL.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
