"""multiprocessing.connection, a thread for each connection, which blocks in recv and send."""

import time
from contextlib import suppress
from socket import SHUT_RDWR, socket
from threading import Semaphore, Thread

from services import acknowledgments, listeners, runtime
from services.connection.protocol import PART, Answer
from services.connection.sessions import TICK, Sessions


def serve(address: runtime.Address, answer: Answer) -> None:
    """Accept connections and serve each in a thread; this thread enforces the timeouts."""
    sessions: Sessions[socket] = Sessions.from_settings(answer)
    for listener in listeners.tcp_and_unix(address):
        Thread(target=accept, args=(listener, sessions), daemon=True).start()
    while True:
        time.sleep(TICK)
        sessions.check_timeouts(sessions.clock(), acknowledgments.in_kernel)
        wake_closed(sessions)


def accept(listener: socket, sessions: Sessions[socket]) -> None:
    """Accept in a loop."""
    while True:
        try:
            client, peer = listener.accept()
        except OSError as error:
            if listeners.accept_failed(error):
                time.sleep(listeners.RETRY_SECONDS)
            continue
        name = listeners.text(peer)
        try:
            Thread(target=converse, args=(client, name, sessions), daemon=True).start()
        except RuntimeError as error:  # can't start new thread
            listeners.log.warning("connection from %s closed: %s", name, error)
            client.close()


def converse(client: socket, peer: str, sessions: Sessions[socket]) -> None:
    """Send, answer or receive, whichever is next, until the connection is closed."""
    descriptor = client.fileno()
    room = Semaphore(0)
    protocol = sessions.open(descriptor, client, peer, room.release)
    with client:
        while descriptor in sessions:  # until this thread, or another one, has closed it
            try:
                if outgoing := protocol.data_to_send()[:PART]:
                    protocol.sent(client.send(outgoing))
                elif protocol.queued:
                    protocol.resume()
                elif protocol.needs:
                    room.acquire()
                else:
                    protocol.receive_data(client.recv(protocol.receive_size))
                    if not protocol.data_to_send():
                        acknowledgments.acknowledge(client)
            except OSError as error:
                protocol.close(str(error))
            sessions.update(descriptor)
            wake_closed(sessions)


def wake_closed(sessions: Sessions[socket]) -> None:
    """Wake threads that are blocked on closed connections, such as evicted ones."""
    for client in sessions.pop_closed():
        with suppress(OSError):  # already disconnected
            client.shutdown(SHUT_RDWR)  # close() would not wake them
