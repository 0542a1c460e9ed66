"""The recipe as printed: a thread for each connection, and everything pickled twice.

It shows what the second pickling costs. The variants of our own are called by our own client,
which pickles once.
"""

import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client, Connection, Listener
from threading import Thread
from typing import Any

from bench.peers.rpc import Functions, add, echo
from services import runtime
from services.connection.authkey import authkey

log = logging.getLogger("rpc")


class Handler:
    """Calls registered functions for whoever is at the other end of a connection."""

    def __init__(self) -> None:
        self._functions: dict[str, Callable[..., object]] = {}

    def register(self, function: Callable[..., object]) -> None:
        """Make `function` callable under its own name."""
        self._functions[function.__name__] = function

    def handle(self, connection: "Connection[Any, Any]") -> None:
        """Answer one request after the other."""
        try:
            while True:
                name, args, kwargs = pickle.loads(connection.recv())  # noqa: S301 - the recipe
                try:
                    result = self._functions[name](*args, **kwargs)
                    connection.send(pickle.dumps(result))
                except Exception as error:  # noqa: BLE001 - it is for the caller
                    connection.send(pickle.dumps(error))
        except EOFError:
            pass


class Proxy:
    """Calls functions of the server: `proxy.add(2, 3)`."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: object, **kwargs: object) -> Any:
            self._connection.send(pickle.dumps((name, args, kwargs)))
            result = pickle.loads(self._connection.recv())  # noqa: S301 - the recipe
            if isinstance(result, Exception):
                raise result
            return result

        return call


def serve(address: runtime.Address) -> None:
    """Accept connections, and start a thread for each."""
    handler = Handler()
    handler.register(add)
    handler.register(echo)
    # With the recipe's backlog, 1, some of sixteen clients that come at once wait for seconds.
    with Listener(address, backlog=128, authkey=authkey()) as listener:
        log.info("listening on %s:%d", *listener.address)
        while True:
            connection = listener.accept()
            Thread(target=handler.handle, args=(connection,), daemon=True).start()


@contextmanager
def connect(address: runtime.Address) -> Iterator[Functions]:
    """Lend the functions of the server at `address`."""
    with Client(address, authkey=authkey()) as connection:
        proxy = Proxy(connection)
        yield Functions(proxy.add, proxy.echo, proxy.add)


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
