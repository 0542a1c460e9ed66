"""The responses to `keys`, of which each may have very many names: made in pieces.

While something is made for one client all others wait. So an iteration of the server makes one
piece and serves the others before it makes the next one; the names are those of one moment.
"""

import logging
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from services.kv import xml_rpc
from services.kv.faults import Fault, Kind
from services.kv.storage import Storage

PIECE = 64 * 1024  # bytes, made in less than a millisecond
MAX_LISTING = 24 * 1024 * 1024  # bytes of a response

Client = TypeVar("Client")

log = logging.getLogger("kv")


class Listings(Generic[Client]):
    """The clients that wait for all names; the response to the first of them is being made."""

    def __init__(self, store: Storage) -> None:
        self._store = store
        self._clients: deque[Client] = deque()
        self._pieces: Iterator[bytes] | None = None  # of the response that is being made
        self._made: list[bytes] = []

    def __bool__(self) -> bool:
        """Whether somebody waits."""
        return bool(self._clients)

    def add(self, client: Client) -> None:
        """Have a client wait for all names."""
        self._clients.append(client)

    def proceed(self) -> Iterator[tuple[Client, list[bytes]]]:
        """Make a piece; yield the clients whose response is complete, each with its parts."""
        made = 0
        while self._clients and made < PIECE:
            try:
                self._pieces = self._pieces or pieces(self._store)
                piece = next(self._pieces, b"")
            except Exception as error:
                if not isinstance(error, Fault):
                    log.exception("internal error")
                    error = Fault(Kind.INTERNAL_ERROR)
                piece, self._made = b"", [xml_rpc.fault_response(error)]
            if piece:
                self._made.append(piece)
                made += len(piece)
            else:
                parts = self._made
                self._pieces, self._made = None, []
                yield self._clients.popleft(), parts


def pieces(store: Storage) -> Iterator[bytes]:
    """Yield a response with all names in pieces; raises Fault if it gets too large."""
    size = 0
    for piece in xml_rpc.strings_response(store.names_meanwhile(), PIECE):
        size += len(piece)
        if size > MAX_LISTING:
            raise Fault(Kind.TOO_LARGE, f"the names take more than {MAX_LISTING} bytes")
        yield piece
