"""The relay's TCP driver: accepts connections, and connects to the server for each of them.

What passes between the two sockets is in direction.py.
"""

import asyncio
import socket
from dataclasses import replace
from time import time

from services import addresses, listeners
from services.relay.direction import CHUNK, Direction
from services.relay.flow import Flow
from services.relay.proxy import STREAMS, Proxy
from services.relay.resets import Resets
from services.relay.toxics import Piece
from services.wire.record import Kind

CONNECT_SECONDS = 10.0
MAX_CONNECTIONS = 2048  # of all proxies
NO_LINGER = b"\1\0\0\0\0\0\0\0"  # socket(7), SO_LINGER: close() sends RST


class Listener:
    """The sockets of a TCP proxy; raises OSError if it cannot listen."""

    def __init__(self, proxy: Proxy, address: tuple[str, int]) -> None:
        self.proxy, self.loop = proxy, asyncio.get_running_loop()
        self.socket = listeners.tcp_listener(address, may_pause=True, buffers=CHUNK)
        self.socket.setblocking(False)
        self.connections: set[Connection] = set()
        self.resets = Resets()
        self.accepting = self.loop.create_task(self.accept())

    async def accept(self) -> None:
        """Accept connections; without capacity for another one, it waits in the kernel's queue."""
        while True:
            if self.proxy.shared.connections >= MAX_CONNECTIONS:
                await asyncio.sleep(listeners.RETRY_SECONDS)
                continue
            try:
                client, peer = await self.loop.sock_accept(self.socket)
                self.connections.add(Connection(self, client, listeners.text(peer)))
            except OSError as error:
                if listeners.accept_failed(error):
                    await asyncio.sleep(listeners.RETRY_SECONDS)

    def close(self) -> None:
        """Stop listening, and close all connections."""
        self.accepting.cancel()
        self.loop.remove_reader(self.socket)  # at once, as its descriptor is used again at once
        self.socket.close()
        for connection in self.connections:
            connection.connecting.cancel()
            connection.connecting.add_done_callback(connection.close)
        self.resets.close()


class Connection:
    """A client's connection, and ours to the server."""

    def __init__(self, listener: Listener, client: socket.socket, peer: str) -> None:
        self.listener, self.proxy, self.client = listener, listener.proxy, client
        host, port = addresses.split(self.proxy.upstream)
        self.server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.server.setblocking(False)
        listeners.limit_buffers(self.server, CHUNK)
        listeners.set_options(self.server, may_pause=True)
        self.proxy.connections += 1
        self.proxy.shared.connections += 1
        self.opening = Piece("open", 0, b"", time())
        self.up, self.down = (Direction(self.proxy, stream, peer) for stream in STREAMS)
        self.connecting = listener.loop.create_task(self.connect((host, port)))

    async def connect(self, address: tuple[str, int]) -> None:
        """Connect to the server, and begin; unless this connection is to fail."""
        if action := self.proxy.failure(self.up.number):
            self.end("reset", self.up, replace(self.opening, kind="reset", actions=(action,)))
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self.listener.loop.sock_connect(self.server, address)
            here, there = self.server.getsockname(), self.server.getpeername()
            self.proxy.shared.upstreams.check(here, there)
        except OSError:  # TimeoutError is one
            self.end("refused", self.up, replace(self.opening, kind="refused"))
        else:
            self.up.event("open", self.opening)
            for source, direction in ((self.client, self.up), (self.server, self.down)):
                self.listener.resets.watch(source, direction.was_reset)
            self.up.start(self.client, self.server, self.down, self.end)
            if self.up.begun:  # else a toxic has ended the connection already
                self.down.start(self.server, self.client, self.up, self.end)

    def close(self, _connecting: object) -> None:
        """Close, now that it is connecting no more: the event loop had the socket until then."""
        self.end("close", self.up)

    def end(self, kind: Kind, flow: Flow, piece: Piece | None = None) -> None:
        """Record how it ends, and close both sides; by RST unless it is a close."""
        if self in self.listener.connections:
            self.listener.connections.discard(self)
            self.proxy.shared.connections -= 1
            for direction, each in ((self.up, self.client), (self.down, self.server)):
                direction.stop()
                if kind != "close":
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                each.close()
            flow.event(kind, piece, left=kind != "refused")
