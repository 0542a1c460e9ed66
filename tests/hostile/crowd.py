"""Many connections that mean harm, held by one thread: mute, dripping, or sent off at once."""

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


class Form(NamedTuple):
    """What a hostile client sends: first `opening`, then `drip` again and again, if any."""

    opening: bytes = b""
    drip: bytes = b""


MUTE = Form()


@dataclass(eq=False)
class Member:
    """One connection of the crowd; times are readings of the monotonic clock, in seconds."""

    stream: socket.socket
    form: Form
    began: float
    connected: bool = False


class Crowd:
    """`count` connections to one server, as long as the body of a `with` runs.

    They take the `forms` in turn, send their drip `every` so many seconds, and read and forget
    what they get. One that the server has closed is replaced by another if it goes on `again`.
    """

    def __init__(
        self,
        address: Address,
        count: int,
        *forms: Form,
        every: float = 1.0,
        again: bool = True,
    ) -> None:
        self.opened = 0
        self.refused = 0
        self.cut: list[float] = []  # seconds after which the server closed a connection
        self.most = 0  # connections at one time
        self._address = address
        self._waiting = deque(
            (forms or (MUTE,))[number % (len(forms) or 1)] for number in range(count)
        )
        self._every = every
        self._again = again
        self._members: dict[int, Member] = {}
        self._drips: deque[tuple[float, Member]] = deque()  # in the order in which they are due
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
    def here(self) -> int:
        """How many connections there are right now."""
        return sum(member.connected for member in list(self._members.values()))

    @property
    def all_there(self) -> bool:
        """Whether every member has got its first connection, or was refused."""
        return self.opened + self.refused >= self._count

    def _run(self) -> None:
        try:
            with select.epoll() as self._epoll:
                while not self._stopping.is_set():
                    self._turn()
        except BaseException as error:  # noqa: BLE001 - raised where the `with` ends
            self._failure = error
        finally:
            for member in self._members.values():
                member.stream.close()

    def _turn(self) -> None:
        now = time.monotonic()
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._connect(self._waiting.popleft(), now)
        while self._drips and self._drips[0][0] <= now:
            _, dripping = self._drips.popleft()
            if dripping.stream.fileno() >= 0:
                self._send(dripping, dripping.form.drip)
                self._drips.append((now + self._every, dripping))
        for descriptor, events in self._epoll.poll(TICK):
            if member := self._members.get(descriptor):
                self._step(member, events, now)
        self.most = max(self.most, len(self._members))
        time.sleep(TICK / 2)  # else a crowd that is busy would leave its victim no processor

    def _connect(self, form: Form, now: float) -> None:
        stream = socket.socket()
        stream.setblocking(False)
        started = stream.connect_ex(self._address)
        if started not in (0, errno.EINPROGRESS):
            stream.close()
            self._lose(form)
            return
        self._members[stream.fileno()] = Member(stream, form, now)
        self._epoll.register(stream, select.EPOLLOUT)

    def _step(self, member: Member, events: int, now: float) -> None:
        try:
            if not member.connected:
                if member.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._drop(member)
                    self._lose(member.form)
                    return
                member.connected = True
                member.began = now
                self.opened += 1
                self._epoll.modify(member.stream, select.EPOLLIN)
                self._send(member, member.form.opening)
                if member.form.drip:
                    self._drips.append((now + self._every, member))
            elif events & ~select.EPOLLOUT and member.stream.recv(64 * 1024):
                return
            else:
                self._end(member, now)
        except BlockingIOError:
            pass
        except OSError:
            self._end(member, now)

    def _send(self, member: Member, data: bytes) -> None:
        with suppress(OSError):  # if that was its end, epoll will say so
            if data:
                member.stream.send(data)

    def _end(self, member: Member, now: float) -> None:
        self.cut.append(now - member.began)
        self._drop(member)
        if self._again:
            self._waiting.append(member.form)

    def _lose(self, form: Form) -> None:
        self.refused += 1
        if self._again:
            self._waiting.append(form)

    def _drop(self, member: Member) -> None:
        del self._members[member.stream.fileno()]
        member.stream.close()
