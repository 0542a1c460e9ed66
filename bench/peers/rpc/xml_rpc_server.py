"""XML-RPC: the standard library's server, and a thread for each connection."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any, cast
from xmlrpc.client import ServerProxy
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from bench.peers.rpc import Functions, add, echo
from services import runtime

log = logging.getLogger("rpc")


class Handler(SimpleXMLRPCRequestHandler):
    """Keeps connections, as HTTP/1.1 does, and compresses nothing. TCP_NODELAY is the default."""

    protocol_version = "HTTP/1.1"
    encode_threshold = None  # type: ignore[assignment]


class Server(ThreadingMixIn, SimpleXMLRPCServer):
    """Serves each connection in a thread of its own."""

    daemon_threads = True
    request_queue_size = 128


def serve(address: runtime.Address) -> None:
    """Serve each connection in a thread of its own."""
    with Server(address, Handler, logRequests=False, use_builtin_types=True) as server:
        server.register_function(add)
        server.register_function(echo)  # type: ignore[arg-type]
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


@contextmanager
def connect(address: runtime.Address) -> Iterator[Functions]:
    """Lend the functions of the server at `address`."""
    with ServerProxy("http://{}:{}".format(*address), use_builtin_types=True) as proxy:
        functions = cast(Any, proxy)
        yield Functions(functions.add, functions.echo, functions.add)


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
