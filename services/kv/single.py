"""The key-value store under the stock XML-RPC server: in memory, one connection at a time.

A connection has one call and one answer (HTTP/1.0), and everybody else waits for both: also for a
client that connects and says nothing. What is kept is gone with the process.
"""

import logging
import sys
from typing import Any
from xmlrpc.client import dumps
from xmlrpc.server import SimpleXMLRPCServer

from services import runtime
from services.kv.faults import Fault, Kind

log = logging.getLogger("kv")


def serve(address: runtime.Address) -> None:
    """Take one connection after the other, with one call and one answer each."""
    store = KeyValueServer()
    with Server(address, logRequests=False, allow_none=True) as server:
        for name in store.methods:
            server.register_function(getattr(store, name))
        log.info("listening on %s:%d", *server.server_address[:2])
        server.serve_forever()


class KeyValueServer:
    """Any XML-RPC value under a name, in a dict; nothing can come between two calls."""

    methods = ("get", "set", "delete", "exists", "keys", "compare_and_set")

    def __init__(self) -> None:
        self._data: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """Return the value of `name`."""
        if name not in self._data:
            raise Fault(Kind.NO_SUCH_KEY, repr(name))
        return self._data[name]

    def set(self, name: str, value: Any) -> None:
        """Keep `value` under `name`."""
        self._data[name] = value

    def delete(self, name: str) -> None:
        """Forget `name`."""
        self.get(name)
        del self._data[name]

    def exists(self, name: str) -> bool:
        """Whether `name` has a value."""
        return name in self._data

    def keys(self) -> list[str]:
        """Return all names, oldest first."""
        return list(self._data)

    def compare_and_set(self, name: str, expected: Any, value: Any) -> bool:
        """Set `name` to `value` if its value is `expected`; return whether it was.

        Values are equal when their XML-RPC forms are: 1 is neither 1.0 nor True, and the members
        of a struct have an order. A missing name counts as None.
        """
        if form(self._data.get(name)) != form(expected):
            return False
        self._data[name] = value
        return True


def form(value: Any) -> str:
    """Return `value` as XML-RPC."""
    return dumps((value,), allow_none=True)


class Server(SimpleXMLRPCServer):
    """The listener; the kernel's queue holds those who wait."""

    request_queue_size = 1024

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Log what ended a connection before there was an answer to send."""
        log.warning("connection from %s:%d: %r", *client_address, sys.exception())


if __name__ == "__main__":
    runtime.main(serve, default_port=15000)
