"""The relay's UDP driver: one socket that all clients send to, and one to the server for each.

A client that is silent for long is forgotten; without room for another one, the one that has been
so for the longest. Raw sockets, as asyncio's transports of Python 3.11 send no empty datagrams.
"""

import asyncio
import socket
import time
from typing import Any

from services import addresses, listeners
from services.relay.flow import Datagrams
from services.relay.proxy import Proxy
from services.udp_sockets import udp_socket

MAX_DATAGRAM = 65_535  # bytes
MAX_BATCH = 64  # datagrams received in one iteration, so that TCP has its turn
MAX_SESSIONS = 1024  # clients of a proxy that are known at the same time


class Listener:
    """The sockets of a UDP proxy; raises OSError if it cannot bind."""

    def __init__(self, proxy: Proxy, address: tuple[str, int]) -> None:
        self.proxy, self.loop = proxy, asyncio.get_running_loop()
        self.socket = udp_socket(address)
        self.socket.setblocking(False)
        self.sessions: dict[Any, Session] = {}
        self.loop.add_reader(self.socket, self.receive)
        self.checking = self.loop.create_task(self.check_idle())

    def receive(self) -> None:
        """Receive what clients have sent."""
        for _ in range(MAX_BATCH):
            try:
                data, peer = self.socket.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            if not (session := self.sessions.get(peer)):
                if len(self.sessions) >= MAX_SESSIONS:
                    min(self.sessions.values(), key=lambda each: each.active).close()
                session = self.sessions[peer] = Session(self, peer)
            session.receive(data)

    async def check_idle(self) -> None:
        """Forget clients that have been silent for long."""
        while True:
            await asyncio.sleep(self.proxy.shared.idle / 6)
            limit = time.monotonic() - self.proxy.shared.idle
            for session in list(self.sessions.values()):
                if session.active < limit and session.up.idle and session.down.idle:
                    session.close()

    def close(self) -> None:
        """Receive nothing more."""
        self.checking.cancel()
        self.loop.remove_reader(self.socket)
        for session in list(self.sessions.values()):
            session.close()
        self.socket.close()


class Session:
    """A client, and its socket to the server, once the name of that is resolved."""

    server: socket.socket | None = None
    connecting: "asyncio.Task[None] | None" = None

    def __init__(self, listener: Listener, peer: Any) -> None:
        self.listener, self.peer, self.proxy = listener, peer, listener.proxy
        self.proxy.connections += 1
        client = listeners.text(peer)
        self.up = Datagrams(self.proxy, "upstream", client, self.send_up)
        self.down = Datagrams(self.proxy, "downstream", client, self.send_down)
        self.up.event("open")
        self.down.begin()

    def receive(self, data: bytes) -> None:
        """Pass on what the client has sent; the first has to wait until it is known where to."""
        self.active = time.monotonic()
        if not self.server and not self.connecting:
            self.connecting = self.listener.loop.create_task(self.connect())
        self.up.receive(data)

    async def connect(self) -> None:
        """Resolve the name of the server, and connect: for UDP that sends nothing (udp(7))."""
        host, port = addresses.split(self.proxy.upstream)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.server = server = socket.socket(family, socket.SOCK_DGRAM)
        server.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(server, (host, port))
            self.proxy.shared.upstreams.check(server.getsockname(), server.getpeername())
        except OSError:
            self.refused()
        else:
            self.listener.loop.add_reader(server, self.receive_replies, server)
            self.up.begin()

    def receive_replies(self, server: socket.socket) -> None:
        """Receive what the server has sent."""
        for _ in range(MAX_BATCH):
            try:
                data = server.recv(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                self.refused()
                return
            self.active = time.monotonic()
            self.down.receive(data)

    def send_up(self, data: bytes) -> None:
        """Send to the server; raises OSError."""
        try:
            if self.server:
                self.server.send(data)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self.refused()
            raise

    def send_down(self, data: bytes) -> None:
        """Send to the client; raises OSError."""
        self.listener.socket.sendto(data, self.peer)

    def refused(self) -> None:
        """Look for the server anew, when the client sends the next datagram."""
        self.up.event("refused", left=False)
        self.disconnect()

    def disconnect(self) -> None:
        """Close the socket to the server."""
        self.up.begun = False
        if self.server:
            self.listener.loop.remove_reader(self.server)
            self.server.close()
        self.server = self.connecting = None

    def close(self) -> None:
        """Forget the client."""
        del self.listener.sessions[self.peer]
        if self.connecting:
            self.connecting.cancel()
        self.disconnect()
        self.up.event("close")
        self.up.end()
        self.down.end()
