"""Object echo, a thread for each connection: the classic form of `multiprocessing.connection`.

`Listener.accept` waits for the handshake of one peer after the other: one that falls silent in it
keeps every later one waiting until it leaves. And `recv` unpickles what the peer says, which is
to call whatever that names: who has the key runs code here. `evented` is the answer to both.
"""

import errno
import logging
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

from services import runtime
from services.connection import handshake

log = logging.getLogger("object-echo")


def serve(address: runtime.Address) -> None:
    """Accept connections on each listener in a thread of its own; this one has the TCP port."""
    key = handshake.authkey()
    unix_path = runtime.setting("WIRELAB_UNIX_SOCKET", "", str)
    with ExitStack() as stack:
        # Without a number the kernel would hold two connections at the most; others have to try
        # again, and wait a second or more for that.
        listener = stack.enter_context(Listener(address, backlog=1024, authkey=key))
        log.info("listening on %s:%d", *listener.address)
        if unix_path:
            unix_listener = stack.enter_context(unix_server(unix_path, key))
            log.info("listening on %s", unix_path)
            Thread(target=accept_all, args=(unix_listener,), daemon=True).start()
        accept_all(listener)


def unix_server(path: str, key: bytes) -> Listener:
    """Listen on a UNIX socket: a file, which outlives its socket unless it is removed."""
    if Path(path).is_socket():
        Path(path).unlink()
    try:
        return Listener(path, backlog=1024, authkey=key)
    except OSError as error:
        raise runtime.SettingError(
            f"WIRELAB_UNIX_SOCKET has value {path!r}. Not where a socket can be: {error}"
        ) from None


def accept_all(listener: Listener) -> NoReturn:
    """Take one connection after the other."""
    while True:
        accept(listener)


def accept(listener: Listener) -> None:
    """Take the next connection from the kernel's queue, go through its handshake, start a thread.

    A scan, a wrong key, a reset: whatever the peer does wrong is raised out of `Listener.accept`.
    """
    try:
        client = listener.accept()
        Thread(target=converse, args=(client, listener.last_accepted), daemon=True).start()
    except Exception as error:  # noqa: BLE001 - one peer's failure is not the others'
        log.warning("accept: %r", error)
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            # While all descriptors are in use the connection stays in the queue, and the next
            # try would fail at once, over and over.
            time.sleep(0.1)


def converse(client: "Connection[Any, Any]", address: Any) -> None:
    """Send each object back until the client closes."""
    peer = "{}:{}".format(*address) if isinstance(address, tuple) else "the UNIX socket"
    log.info("connection from %s", peer)
    try:
        with client:
            while True:
                client.send(client.recv())
    except Exception as error:  # noqa: BLE001 - one peer's failure is not the others'
        log.info("connection from %s ended: %r", peer, error)


if __name__ == "__main__":
    runtime.main(serve, default_port=25000)
