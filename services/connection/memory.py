"""Freed memory that is kept for the next message."""

from functools import cache


@cache  # once for the process: where many threads did it, each would keep that much for itself
def keep_freed_memory(size: int) -> None:
    """Let the C library keep blocks of up to `size` bytes when they are freed.

    It returns blocks over its threshold to the kernel, and each page of the next one is then a
    page fault: for a message of 1 MiB that costs more than all else. In glibc the threshold rises
    to the size of such a block when that is freed (mallopt(3), M_MMAP_THRESHOLD).
    """
    bytes(size)
