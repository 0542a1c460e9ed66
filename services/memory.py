"""Freed memory that is kept for the next message, and by whom."""

import ctypes
from functools import cache

M_ARENA_MAX = -8  # mallopt(3), and malloc.h of glibc


@cache  # once for the process is enough
def keep_freed_memory(size: int) -> None:
    """Let the C library keep blocks of up to `size` bytes when they are freed.

    It returns blocks over its threshold to the kernel, and each page of the next one is then a
    page fault: for a message of 1 MiB that costs more than all else. In glibc the threshold rises
    to the size of such a block when that is freed (mallopt(3), M_MMAP_THRESHOLD).
    """
    bytes(size)


def share_freed_memory() -> None:
    """Have all threads allocate from one pool, so that what one has freed is there for the others.

    glibc gives threads pools of their own (arenas), so that they need not wait for each other, and
    each pool keeps what was once allocated in it. Threads of Python wait for each other anyway.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and one pool
    if mallopt:
        mallopt(M_ARENA_MAX, 1)
