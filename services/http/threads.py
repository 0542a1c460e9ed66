"""A few threads, of which one does all the work as long as it is quick.

To wake up a thread for each request costs more than a small request does. Its CPU may be asleep,
and from then on it competes with the thread that woke it up: only one of them runs Python code at
a time, and each system call passes the interpreter's lock to the other one. So one thread handles
all requests that there are, one after the other, and then waits for the next ones.

That is fair only while each of them is quick, and an application may sleep. So another thread
looks again and again whether one is stuck. Then all of them work, each one on what comes next, and
go on like that for a second: where one request was slow, another one often is.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Event, Lock, Thread, get_ident
from typing import Generic, TypeVar

Item = TypeVar("Item")

STUCK = 0.02  # seconds between two looks: a thread that has the same item both times is stuck
CALM = 1.0  # seconds without any such item, after which one thread is enough again


class Pool(Generic[Item]):
    """`count` threads that call `handle` with one item each; they are daemons.

    `flush` is called by a thread that has nothing else to do for now, and when one is stuck: what
    `handle` has left to be done for several items at once must not wait any longer. With a single
    thread, and while all of them work, it is called after each item.
    """

    def __init__(
        self, count: int, handle: Callable[[Item], None], flush: Callable[[], None]
    ) -> None:
        self._handle, self._flush = handle, flush
        self._items: deque[Item] = deque()
        self._taken = 0  # items, so far
        self._working: dict[int, int] = {}  # which one of these a thread has
        self._all_work = count == 1
        self._last_put = 0.0
        self._lock = Lock()
        self._ready = Condition(self._lock)  # there are items, for as many threads as are notified
        self._used, self._closed = Event(), Event()
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(count)]
        if count > 1:
            self._threads.append(Thread(target=self._watch, daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def queued(self) -> bool:
        """Whether there are items that no thread has taken yet."""
        return bool(self._items)

    def put(self, items: Sequence[Item]) -> None:
        """Have items handled, in this order unless one is stuck."""
        with self._lock:
            self._items += items
            self._last_put = time.monotonic()
            if self._all_work:
                self._ready.notify(len(items))
            elif not self._working:
                self._ready.notify()
            if not self._used.is_set():
                self._used.set()

    def close(self, seconds: float) -> None:
        """Have each thread end after the item that it works on; wait at most `seconds` for that."""
        self._closed.set()
        self._used.set()
        with self._lock:
            self._ready.notify_all()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))

    def _work(self) -> None:
        me = get_ident()
        while not self._closed.is_set():
            with self._lock:
                if self._items:
                    item = self._items.popleft()
                    self._taken += 1
                    self._working[me] = self._taken
                else:
                    self._working.pop(me, None)
            if me in self._working:
                self._handle(item)
                if self._all_work:
                    self._flush()
                continue
            self._flush()
            with self._lock:
                while not self._items and not self._closed.is_set():
                    self._ready.wait()

    def _watch(self) -> None:
        last_stuck = -CALM
        before: set[tuple[int, int]] = set()
        while True:
            self._used.wait()
            if self._closed.wait(STUCK):
                return
            now = time.monotonic()
            with self._lock:
                working = set(self._working.items())
                if before & working:
                    last_stuck = now
                    self._ready.notify(len(self._items))
                before = working
                self._all_work = now < last_stuck + CALM
                if now > self._last_put + CALM and not self._all_work:
                    self._used.clear()
            if last_stuck == now:
                self._flush()
