"""Clients beside a silent one, fifty at once, a queue, and one that does not read."""

import os

from lab.workshop.check import Client, Failed, Figures, Mine, check

CLIENTS = 50


def ask(client: Client) -> float:
    """Have a few bytes returned that no other client has sent."""
    text = os.urandom(8).hex().encode()
    return client.ask(text, text)


@check("4.1")
def beside_a_silent_one(mine: Mine) -> Figures:
    """Connect, say nothing, and be served beside that."""
    with mine.connect(), mine.connect() as second:
        second.note("another client is connected, and silent")
        return {"milliseconds": 1000 * ask(second)}


@check("4.2")
def fifty_at_once(mine: Mine) -> Figures:
    """Keep fifty connections open, and ask on all of them, the last first."""
    mine.measured(all=CLIENTS)
    return {"milliseconds": 1000 * max(mine.last_to_first(CLIENTS, ask))}


@check("4.3", needs="process")
def the_queue(mine: Mine) -> None:
    """Stop the process for a moment, as a busy machine does, and have fifty clients come."""
    connected = mine.queue(CLIENTS)
    mine.measured(all=CLIENTS, connected=connected, next=connected + 1)
    if connected < CLIENTS:
        raise Failed


@check("4.4")
def beside_one_that_does_not_read(mine: Mine) -> Figures:
    """Send megabytes, read nothing, and see whether another client is served."""
    with mine.connect() as greedy:
        mine.measured(mebibytes=greedy.flood() / 2**20)
        with mine.connect() as other:
            other.note("another client sends, and reads nothing")
            return {"milliseconds": 1000 * ask(other)}
