"""Object echo, the recipe as printed: `multiprocessing.connection`, one connection at a time.

Its weaknesses are what it is here for. `Listener.accept` waits for a client's handshake, and the
loop then waits for that client's messages: one that falls silent in either keeps all others
waiting. And `recv` unpickles what it receives, which is to call whatever that names: a client with
the key can run any code here.
"""

import logging
from multiprocessing.connection import Connection, Listener
from typing import Any

from services import listeners, runtime
from services.connection.authkey import authkey

log = logging.getLogger("object-echo")


def serve(address: runtime.Address) -> None:
    """Serve connections, one after the other."""
    # The kernel would otherwise queue two connections, and others try again a second later.
    family, where = listeners.resolve(address)
    with Listener(where, family.name, listeners.BACKLOG, authkey()) as listener:
        log.info("listening on %s", listeners.text(listener.address))
        while True:
            try:
                client = listener.accept()
                log.info("connection from %s", listeners.text(listener.last_accepted))
                converse(client)
            except Exception as error:  # noqa: BLE001 - a wrong key, say, or a reset
                log.info("connection broken off: %r", error)


def converse(client: "Connection[Any, Any]") -> None:
    """Send each object back until the client closes."""
    with client:
        try:
            while True:
                client.send(client.recv())
        except EOFError:
            log.info("connection closed")


if __name__ == "__main__":
    runtime.main(serve, default_port=25000)
