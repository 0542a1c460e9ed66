"""RPC, the recipe as printed: `multiprocessing.connection`, a thread for each connection.

Its weaknesses are what it is here for. `Listener.accept` waits for one handshake after the other,
so a client that falls silent in it keeps all later ones waiting; one that breaks it off, or has the
wrong key, makes `accept` raise, and that ends the server. And a request is unpickled, which is to
call whatever it names: a client with the key can run any code here, registered or not.
"""

import logging
import pickle
from multiprocessing.connection import Connection, Listener
from threading import Thread
from typing import Any

from services import listeners, runtime
from services.connection.authkey import authkey
from services.rpc.calls import call, error_answer, result_answer

log = logging.getLogger("rpc")


def serve(address: runtime.Address) -> None:
    """Accept connections, and serve each one in a thread of its own."""
    # The kernel would otherwise queue two connections, and others try again a second later.
    family, where = listeners.resolve(address)
    with Listener(where, family.name, listeners.BACKLOG, authkey()) as listener:
        log.info("listening on %s", listeners.text(listener.address))
        while True:
            client = listener.accept()
            log.info("connection from %s", listeners.text(listener.last_accepted))
            Thread(target=converse, args=(client,), daemon=True).start()


def converse(client: "Connection[Any, Any]") -> None:
    """Answer each request until the client closes."""
    with client:
        try:
            while True:
                client.send_bytes(answer(client.recv_bytes()))
        except EOFError:
            log.info("connection closed")


def answer(message: bytes) -> bytes:
    """Unpickle the request, which runs whatever it says, and carry it out."""
    twice = False
    try:
        request = pickle.loads(message)  # noqa: S301 - the recipe
        if twice := isinstance(request, bytes):
            request = pickle.loads(request)  # noqa: S301 - the recipe
        return result_answer(call(request), twice)
    except Exception as error:  # noqa: BLE001 - whatever a function raises is for its caller
        return error_answer(error, twice)


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
