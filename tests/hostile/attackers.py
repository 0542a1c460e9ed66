"""Many hostile connections to one server, held by one thread: silent, slow, or busy."""

import errno
import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from clients.addresses import Address

TICK = 0.01  # seconds
AT_ONCE = 50  # connections begun in a tick; the queue of a server takes about a thousand


class Behavior(NamedTuple):
    """What an attacker sends: first `opening`, then `repeated` again and again, if any."""

    opening: bytes = b""
    repeated: bytes = b""


SILENT = Behavior()


@dataclass(eq=False)
class Attacker:
    """One connection; times are readings of the monotonic clock, in seconds."""

    stream: socket.socket
    behavior: Behavior
    began: float
    connected: bool = False


class Attackers:
    """`count` connections to one server, as long as the body of a `with` runs.

    The `behaviors` are dealt out in rotation. What is to be repeated is sent `every` so many
    seconds; what the server sends is read and dropped. A connection that the server has closed is
    replaced by another one, unless `reconnect` is False.
    """

    def __init__(
        self,
        address: Address,
        count: int,
        *behaviors: Behavior,
        every: float = 1.0,
        reconnect: bool = True,
    ) -> None:
        self.opened = 0
        self.refused = 0
        self.closed: list[float] = []  # seconds after which the server closed a connection
        self._address = address
        self._waiting = deque(
            (behaviors or (SILENT,))[number % (len(behaviors) or 1)] for number in range(count)
        )
        self._every = every
        self._reconnect = reconnect
        self._attackers: dict[int, Attacker] = {}
        self._repeats: deque[tuple[float, Attacker]] = deque()  # in the order in which they are due
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None
        self._count = count

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if self._failure and not error:
            raise self._failure

    @property
    def connected(self) -> int:
        """How many connections there are right now."""
        return sum(attacker.connected for attacker in list(self._attackers.values()))

    @property
    def all_tried(self) -> bool:
        """Whether each attacker has been connected or refused."""
        return self.opened + self.refused >= self._count

    def _run(self) -> None:
        try:
            with select.epoll() as self._epoll:
                while not self._stopping.is_set():
                    self._iterate()
        except BaseException as error:  # noqa: BLE001 - raised where the `with` ends
            self._failure = error
        finally:
            for attacker in self._attackers.values():
                attacker.stream.close()

    def _iterate(self) -> None:
        now = time.monotonic()
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._connect(self._waiting.popleft(), now)
        while self._repeats and self._repeats[0][0] <= now:
            _, attacker = self._repeats.popleft()
            if attacker.stream.fileno() >= 0:
                self._send(attacker, attacker.behavior.repeated)
                self._repeats.append((now + self._every, attacker))
        for descriptor, events in self._epoll.poll(TICK):
            if found := self._attackers.get(descriptor):
                self._step(found, events, now)
        time.sleep(TICK / 2)  # else many that are busy would leave the server no processor

    def _connect(self, behavior: Behavior, now: float) -> None:
        stream = socket.socket()
        stream.setblocking(False)
        started = stream.connect_ex(self._address)
        if started not in (0, errno.EINPROGRESS):
            stream.close()
            self._refuse(behavior)
            return
        self._attackers[stream.fileno()] = Attacker(stream, behavior, now)
        self._epoll.register(stream, select.EPOLLOUT)

    def _step(self, attacker: Attacker, events: int, now: float) -> None:
        try:
            if not attacker.connected:
                if attacker.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._drop(attacker)
                    self._refuse(attacker.behavior)
                    return
                attacker.connected = True
                attacker.began = now
                self.opened += 1
                self._epoll.modify(attacker.stream, select.EPOLLIN)
                self._send(attacker, attacker.behavior.opening)
                if attacker.behavior.repeated:
                    self._repeats.append((now + self._every, attacker))
            elif events & ~select.EPOLLOUT and attacker.stream.recv(64 * 1024):
                return
            else:
                self._close(attacker, now)
        except BlockingIOError:
            pass
        except OSError:
            self._close(attacker, now)

    def _send(self, attacker: Attacker, data: bytes) -> None:
        with suppress(OSError):  # if the connection is closed, epoll will say so
            if data:
                attacker.stream.send(data)

    def _close(self, attacker: Attacker, now: float) -> None:
        self.closed.append(now - attacker.began)
        self._drop(attacker)
        if self._reconnect:
            self._waiting.append(attacker.behavior)

    def _refuse(self, behavior: Behavior) -> None:
        self.refused += 1
        if self._reconnect:
            self._waiting.append(behavior)

    def _drop(self, attacker: Attacker) -> None:
        del self._attackers[attacker.stream.fileno()]
        attacker.stream.close()
