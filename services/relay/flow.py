"""One stream of one connection, without its sockets: its position, its toxics, its records.

A driver's class for a direction is a Flow that has `send`, which sends a piece that is due and
returns whether that is done; and `arrange`, which is called after that, to receive and to wait for
room as `may_receive` and `blocked` say.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.relay.chain import Chain
from services.relay.proxy import Proxy
from services.relay.toxics import Piece, Toxic
from services.wire.record import Kind, Stream


class Flow(ABC):
    """A stream. `client` is as the records have it."""

    def __init__(self, proxy: Proxy, stream: Stream, client: str) -> None:
        self.proxy, self.stream, self.client = proxy, stream, client
        self.server, self.number = proxy.upstream, proxy.connections
        self.begun = self.blocked = False
        self.offset = 0
        self.step = proxy.protocol == "tcp"  # whether the offset counts bytes, or datagrams
        self.chain = Chain(ordered=self.step)
        self._held = 0  # bytes, of those that the proxies count together
        self._timer: Any = None
        for toxic in proxy.toxics:
            self.on_change("add", toxic)
        proxy.on_change.add(self.on_change)

    @abstractmethod
    def send(self, piece: Piece) -> bool:
        """Send a piece that is due; return whether that is done, or else there is no room."""

    @abstractmethod
    def arrange(self) -> None:
        """Receive, and wait for room, as `may_receive` and `blocked` say."""

    @property
    def may_receive(self) -> bool:
        """Whether there is room for more."""
        return not self.blocked and self._held < self.proxy.shared.limit

    @property
    def idle(self) -> bool:
        """Whether nothing is to come without something else."""
        return self.chain.deadline == math.inf

    def on_change(self, what: str, toxic: Toxic) -> None:
        """Have it take effect that a toxic was added, removed or changed."""
        if toxic.stream == self.stream:
            now = time.monotonic()
            if what == "add":
                self.chain.add(*self.proxy.effect(toxic, self.number), now)
            elif what == "remove":
                self.chain.remove(toxic, now)
            else:
                self.chain.change(toxic, now)
            self.pump()

    def begin(self) -> None:
        """Send and arrange from now on."""
        self.begun = True
        self.pump()

    def receive(self, data: bytes, kind: Kind = "data") -> None:
        """Let in data, a datagram or the end of the stream, and send what is due."""
        piece = Piece(kind, self.offset, data, time.time())
        self.offset += len(data) if self.step else 1
        # The most common case is data without a toxic, and with nothing before it that waits.
        idle = kind == "data" and self.begun and not (self.chain.stages or self.blocked)
        if idle and self._passed(piece):
            return
        piece.dropped = not self.step and self.chain.size >= self.proxy.shared.limit
        self.chain.receive(piece, time.monotonic())
        self.pump()

    def pump(self) -> None:
        """Send what is due, as far as there is room; then see when to come again."""
        if not self.begun:
            return
        now = time.monotonic()
        ready = self.chain.ready(now)
        self.blocked = False
        while ready and not self.blocked:
            piece = ready.popleft()
            if not self._passed(piece):
                ready.appendleft(piece)
                self.blocked = True
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self.begun:  # send() may have ended it
            wait = self.chain.deadline - now
            if wait < math.inf:
                self._timer = self.proxy.shared.call_later(max(0.0, wait), self.pump)
            self._hold(self.chain.size)
            self.arrange()

    def _passed(self, piece: Piece) -> bool:
        """Send a piece and record it, if there is room; whether it has come to its end."""
        if piece.dropped:
            self.lost(piece)
        elif self.send(piece):
            self.record(piece, None if piece.dropped else time.time())
        elif self.begun:
            return False
        else:  # send() has failed, or has ended the connection
            self.lost(piece)
        return True

    def lost(self, piece: Piece) -> None:
        """Record a piece that has not left; if it was to end the connection, that has a record."""
        if piece.kind in ("data", "fin"):
            self.record(piece, None)

    def record(self, piece: Piece, left: float | None) -> None:
        """Count a piece that is at the end of its way, and add its record to the journal."""
        proxy, data = self.proxy, piece.data
        proxy.received[self.stream] += len(data)
        if left:
            proxy.sent[self.stream] += len(data)
        for action in piece.actions:
            key = (action.toxic, self.stream)
            proxy.actions[key] = proxy.actions.get(key, 0) + 1
        proxy.shared.journal.add((
            proxy.name, proxy.protocol, self.number, piece.kind, self.stream, piece.offset, data,
            piece.arrived, left, self.client, self.server, piece.actions,
        ))  # fmt: skip

    def event(self, kind: Kind, piece: Piece | None = None, *, left: bool = True) -> None:
        """Record what has happened to the connection, now unless a piece says when and why."""
        now = time.time()
        piece = piece or Piece(kind, -1, b"", now)
        if piece.offset < 0:
            piece = replace(piece, offset=self.offset, arrived=piece.arrived or now)
        self.record(piece, now if left else None)

    def end(self) -> None:
        """Record what has not left, and receive and send nothing more."""
        self.begun = False
        if self._timer:
            self._timer.cancel()
        for piece in self.chain.abandon():
            self.lost(piece)
        self._hold(0)
        self.proxy.on_change.discard(self.on_change)

    def _hold(self, size: int) -> None:
        self.proxy.shared.waiting += size - self._held
        self._held = size


class Datagrams(Flow):
    """One direction: what there is no room for is lost, as it is in any network."""

    def __init__(
        self, proxy: Proxy, stream: Stream, client: str, send: Callable[[bytes], None]
    ) -> None:
        super().__init__(proxy, stream, client)
        self.send_data = send

    def send(self, piece: Piece) -> bool:
        """Send a datagram, or have it recorded as lost."""
        try:
            self.send_data(piece.data)
        except OSError:
            piece.dropped = True
        return True

    def arrange(self) -> None:
        """There is nothing to wait for."""
