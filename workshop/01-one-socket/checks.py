"""One client, its end, the next client, and a client that does not say goodbye."""

import os

from lab.workshop.check import Failed, Figures, Mine, check


@check("1.1")
def the_answer(mine: Mine) -> Figures:
    """Ask twice on one connection."""
    text = os.urandom(300).hex().encode()
    with mine.connect() as client:
        client.ask(b"hello", b"HELLO")
        seconds = client.ask(text, text.upper())
    return {"milliseconds": 1000 * seconds, "count": len(text)}


@check("1.2", needs="process")
def the_end(mine: Mine) -> Figures:
    """Close a connection, and see whether the server notices."""
    with mine.connect() as client:
        client.ask(b"hello", b"HELLO")
        client.finish()
        client.ends(0.1 * mine.patience)
        share = mine.share()
        client.note(f"your server: {share.percent:.0f} % of a core")
    if not share.spinning:
        return {"cpu": share.percent}
    if mine.serves(b"next", b"NEXT"):
        raise Failed("but_serves", cpu=share.percent)
    raise Failed(cpu=share.percent, waited=mine.patience)


@check("1.3")
def the_next_ones(mine: Mine) -> Figures:
    """Come three times, one client after the other."""
    for number in range(3):
        text = os.urandom(8).hex().encode()
        if not mine.serves(text, text.upper()):
            raise Failed(number=number + 1, before=number, address=mine.address)
    return {"count": 3}


@check("1.4")
def a_reset(mine: Mine) -> None:
    """Reset a connection, as the kernel does for a program that is killed with unread bytes."""
    with mine.connect() as client:
        client.ask(b"hello", b"HELLO")
        client.reset()
    if mine.serves(b"next", b"NEXT"):
        return
    if mine.status is None:
        raise Failed
    raise Failed("ended", status=mine.status)
