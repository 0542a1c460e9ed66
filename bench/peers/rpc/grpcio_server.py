"""gRPC: unary calls over HTTP/2, and a pool of threads."""

import logging
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import msgpack

from bench.peers.rpc import Functions, add, echo
from services import runtime

log = logging.getLogger("rpc")

# Calls that do not wait for anything: more threads only wait for each other, and take more time.
THREADS = 4
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)

# In place of what protoc would generate: less to do for two numbers, nothing for bytes, and for
# records MessagePack, which is parsed in C as well, straight into dicts.
PAIR, NUMBER = struct.Struct("!qq"), struct.Struct("!q")


def service() -> grpc.GenericRpcHandler:
    """Return what can be called."""
    methods = {
        "add": grpc.unary_unary_rpc_method_handler(
            lambda pair, _: add(*pair), PAIR.unpack, NUMBER.pack
        ),
        "echo": grpc.unary_unary_rpc_method_handler(lambda data, _: echo(data)),
        "join": grpc.unary_unary_rpc_method_handler(
            lambda lists, _: add(*lists), msgpack.unpackb, msgpack.packb
        ),
    }
    return grpc.method_handlers_generic_handler("Service", methods)


def serve(address: runtime.Address) -> None:
    """Serve the calls of all connections from a pool of threads."""
    server = grpc.server(ThreadPoolExecutor(THREADS), options=OPTIONS)
    server.add_generic_rpc_handlers([service()])
    host, _ = address
    port = server.add_insecure_port("{}:{}".format(*address))
    server.start()
    log.info("listening on %s:%d", host, port)
    server.wait_for_termination()


@contextmanager
def connect(address: runtime.Address) -> Iterator[Functions]:
    """Lend the functions of the server at `address`."""
    with grpc.insecure_channel("{}:{}".format(*address), OPTIONS) as channel:
        total: Any = channel.unary_unary(
            "/Service/add", lambda pair: PAIR.pack(*pair), lambda data: NUMBER.unpack(data)[0]
        )
        joined: Any = channel.unary_unary("/Service/join", msgpack.packb, msgpack.unpackb)
        yield Functions(
            lambda x, y: total((x, y)),
            channel.unary_unary("/Service/echo"),
            lambda x, y: joined((x, y)),
        )


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
