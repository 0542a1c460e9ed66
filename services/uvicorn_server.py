"""How the console and the relay's control are served: uvicorn, and a time limit that it lacks.

uvicorn bounds the time between two requests alone. So a client that sends nothing, or the head of a
request byte by byte, would keep one of the connections for ever.
"""

import asyncio
import contextlib

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from services import acknowledgments, runtime


class Server(uvicorn.Server):
    """A uvicorn without handlers for signals: services/runtime.py waits for them.

    Settings of its own have no say in it. With more than `connections`, it answers with 503.
    """

    def __init__(self, application: ASGIApp, connections: int) -> None:
        seconds = runtime.setting("WIRELAB_SILENCE_TIMEOUT", "10", runtime.positive)
        configuration = uvicorn.Config(
            application, http=Protocol, ws="none", lifespan="off", loop="none", log_config=None,
            access_log=False, log_level="warning", limit_concurrency=connections,
            timeout_keep_alive=seconds, server_header=False,
        )  # fmt: skip
        super().__init__(configuration)

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Do nothing."""
        return contextlib.nullcontext()


class Protocol(H11Protocol):
    """A connection of which each request has to arrive within the time between two of them.

    That counts from the connection or from the first byte of the request to its last.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the first request."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        super().connection_lost(exc)
        self._forget()

    def _expect(self) -> None:
        """Have the time run, from when it began to, unless the request is complete."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._forget()
            return
        acknowledgments.acknowledge(self.transport.get_extra_info("socket"))
        if not self._deadline:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def _forget(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
