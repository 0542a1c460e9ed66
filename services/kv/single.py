"""The key-value store under the stock XML-RPC server: one connection at a time.

A connection has one call and one answer (HTTP/1.0), and all other clients wait for both, also for
one that connects and sends nothing.
"""

import logging
import sys
from typing import Any
from xmlrpc.server import SimpleXMLRPCServer

from services import listeners, runtime
from services.kv.memory_store import MemoryStore

log = logging.getLogger("kv")


def serve(address: runtime.Address) -> None:
    """Accept one connection after the other, with one call and one answer each."""
    store = MemoryStore()
    Server.address_family, where = listeners.resolve(address)
    with Server(where, logRequests=False, allow_none=True) as server:
        for name in store.methods:
            server.register_function(getattr(store, name))
        log.info("listening on %s", listeners.text(server.server_address))
        server.serve_forever()


class Server(SimpleXMLRPCServer):
    """The listener; other clients wait in the kernel's queue."""

    request_queue_size = 1024

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Log what ended a connection before there was an answer to send."""
        log.warning("connection from %s: %r", listeners.text(client_address), sys.exception())


if __name__ == "__main__":
    runtime.main(serve, default_port=15000)
