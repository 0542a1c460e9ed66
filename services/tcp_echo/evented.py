"""TCP echo, event-driven: one thread and one selector serve every connection at once."""

import errno
import logging
import selectors
import socket
import time

from services import runtime
from services.tcp_echo.transform import transform

CHUNK = 64 * 1024  # bytes; also all that the server ever holds for one connection

log = logging.getLogger("tcp-echo")


def serve(address: runtime.Address) -> None:
    """Accept connections and take a step of the echo wherever the kernel says one is possible."""
    with (
        socket.create_server(address, backlog=1024) as listener,
        selectors.DefaultSelector() as selector,
    ):
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        log.info("listening on %s:%d", *listener.getsockname()[:2])
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    accept(selector, listener)
                else:
                    echo(selector, key)


def accept(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    """Take the next connection from the kernel's queue."""
    try:
        client, peer = listener.accept()
    except OSError as error:
        log.warning("accept: %s", error)
        if error.errno in (errno.EMFILE, errno.ENFILE):
            # While all descriptors are in use the connection stays in the queue, and the selector
            # would report it again at once, over and over.
            time.sleep(0.1)
        return
    log.info("connection from %s:%d", *peer[:2])
    client.setblocking(False)
    # Nagle's algorithm would hold back a short answer until the one before is acknowledged.
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(client, selectors.EVENT_READ, data=b"")


def echo(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Receive once and send it back; what the kernel does not take yet is kept as `key.data`.

    A client is read from only while nothing is kept for it. So one that sends and never reads
    costs one chunk here, the rest waits in its own send buffer; and when its FIN is seen, all
    that it sent before has gone back.
    """
    client: socket.socket = key.fileobj  # type: ignore[assignment]
    unsent: bytes = key.data
    try:
        if not unsent:
            unsent = transform(client.recv(CHUNK))
            if not unsent:
                close(selector, client)
                return
        unsent = unsent[client.send(unsent) :]
    except BlockingIOError:
        pass
    except OSError as error:
        log.info("connection broken off: %s", error)
        close(selector, client)
        return
    if unsent or key.data:  # something is kept now, or was
        events = selectors.EVENT_WRITE if unsent else selectors.EVENT_READ
        selector.modify(client, events, data=unsent)


def close(selector: selectors.BaseSelector, client: socket.socket) -> None:
    """Close a connection that is over."""
    selector.unregister(client)
    client.close()


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
