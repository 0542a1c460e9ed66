"""multiprocessing.connection, event-driven: a slow step of an answer stalls all clients."""

import select
from functools import partial
from socket import socket

from services import acknowledgments, listeners, runtime, workers
from services.connection.protocol import Answer
from services.connection.sessions import TICK, Sessions


def serve(address: runtime.Address, answer: Answer) -> None:
    """Accept connections, and serve each one whenever epoll reports it; in one process or more."""
    sessions: Sessions[socket] = Sessions.from_settings(answer)
    group = listeners.tcp_and_unix_group(address, workers.count())
    with workers.several(group) as own, select.epoll() as epoll:
        listening = {each.fileno(): each for each in own}
        for listener in own:
            listener.setblocking(False)
            epoll.register(listener, select.EPOLLIN)
        while True:
            events, polled = epoll.poll(0 if sessions.turns else TICK), sessions.clock()
            for descriptor, event in events + sessions.turns:
                if descriptor in listening:
                    accept(epoll, listening[descriptor], sessions)
                else:
                    converse(epoll, sessions, descriptor, event)
            if sessions.check_timeouts(polled, acknowledgments.in_kernel):
                for descriptor in listening:  # one may be paused for lack of capacity
                    epoll.modify(descriptor, select.EPOLLIN)
            # Not sooner: a new connection must not get a descriptor that `events` still names.
            for client in sessions.pop_closed():
                client.close()  # which also removes it from epoll


def accept(epoll: select.epoll, listener: socket, sessions: Sessions[socket]) -> None:
    """Accept the connections that wait in the kernel's queue."""
    for _ in range(listeners.MAX_ACCEPTS):
        try:
            client, peer = listener.accept()
        except OSError as error:  # BlockingIOError when the queue is empty
            if listeners.accept_failed(error):
                epoll.modify(listener, 0)
            return
        client.setblocking(False)
        epoll.register(client, select.EPOLLOUT)  # the server speaks first: its challenge
        wake = partial(epoll.modify, client, select.EPOLLIN)
        sessions.open(client.fileno(), client, listeners.text(peer), wake)


def converse(epoll: select.epoll, sessions: Sessions[socket], descriptor: int, event: int) -> None:
    """Once all is sent, answer what is queued or else receive; send what the kernel takes."""
    client, protocol = sessions[descriptor]
    try:
        if protocol.queued and not protocol.data_to_send():
            protocol.resume()
        elif not protocol.data_to_send():
            protocol.receive_data(b"" if protocol.needs else client.recv(protocol.receive_size))
        if outgoing := protocol.data_to_send():
            protocol.sent(client.send(outgoing))
        else:
            acknowledgments.acknowledge(client)
    except OSError as error:
        if not isinstance(error, BlockingIOError):
            protocol.close(str(error))
    sessions.update(descriptor)
    ready = select.EPOLLOUT if protocol.queued or protocol.data_to_send() else select.EPOLLIN
    wanted = 0 if protocol.needs else ready  # while it waits, only its end is reported
    if event != wanted:  # EPOLLOUT comes at once: other connections are served in between
        epoll.modify(client, wanted)
