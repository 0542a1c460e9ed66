"""A client that sends its FIN first and reads late, and a server that comes back."""

import os
import re
import time

import psutil

from lab.workshop.check import Failed, Mine, check
from lab.workshop.client import Client

SENT = 32 * 1024  # bytes: the kernel takes them for a server that has not accepted yet
CLIENTS = 20  # shared by chance between two servers: that one has none is once in a million


class Sides:
    """The TCP states of both sides of a connection, or "?" of one on another machine."""

    def __init__(self, client: Client) -> None:
        self._client = client
        ours, theirs = client.socket.getsockname()[1], client.socket.getpeername()[1]
        self._pairs = (ours, theirs), (theirs, ours)
        self._here = states().keys()

    def now(self) -> dict[str, str]:
        """Return the state of the client's side and of the server's, and write them down."""
        found = states()
        client, server = (
            found.get(pair, "CLOSED") if pair in self._here else "?" for pair in self._pairs
        )
        self._client.note(f"client {client}, server {server}")
        return {"client": client, "server": server}


def states() -> dict[tuple[int, int], str]:
    """Return the states of all sides on this machine, by their own port and the other one."""
    return {
        (each.laddr.port, each.raddr.port): named(each.status)
        for each in psutil.net_connections("tcp")
        if each.laddr and each.raddr
    }


def named(status: str) -> str:
    """Return a state by its name in RFC 9293, 3.3.2: FIN-WAIT-2."""
    return re.sub(r"(?<=WAIT)(?=\d)", "-", status.replace("_", "-"))


def listens_again(mine: Mine, port: int) -> bool:
    """Start it on a port that it had before; whether it listens, there or elsewhere."""
    try:
        mine.start(WIRELAB_PORT=str(port))
    except Failed:
        return False
    if mine.address.port != port:
        raise Failed("elsewhere", port=port, other=mine.address.port)
    return True


def connections(mine: Mine) -> set[int]:
    """Return the ports of the clients whose connections its process has accepted."""
    found = psutil.Process(mine.process.pid).net_connections("tcp")
    return {each.raddr.port for each in found if each.raddr}


@check("3.1")
def half_closed(mine: Mine) -> dict[str, object]:
    """Send everything and a FIN before the server accepts; read when it has sent all."""
    data = os.urandom(SENT // 2).hex().encode()
    figures: dict[str, object] = {"wanted": SENT}
    with mine.connect() as before, mine.connect(narrow=True) as client:
        before.ask(b"hello", b"hello")
        sides = Sides(client)
        client.send(data)
        sides.now()
        client.finish()
        sides.now()
        before.close()
        if client.silent(client.patience):
            raise Failed(count=0, **figures, **sides.now())
        # Nobody reads for a while: the server has time to send all, and to do what it does then.
        time.sleep(0.1 * client.patience)
        try:
            got = client.receive(SENT)
        except Failed as failure:
            kind = "rst" if failure.kind == "reset" else ""
            count = failure.figures["count"]
            raise Failed(kind, count=count, **figures, **sides.now()) from None
        if got != data:
            raise Failed("wrong", asked=data, wanted=data, got=got)
        client.ends(0.3 * client.patience)
        sides.now()
    return figures


@check("3.2")
def the_other_end(mine: Mine) -> dict[str, object]:
    """Send FIN, and wait for the server's."""
    with mine.connect() as client:
        sides = Sides(client)
        client.ask(b"hello", b"hello")
        client.finish()
        began = time.monotonic()
        if not client.ends(client.patience):
            raise Failed(waited=client.patience, **sides.now())
        seconds = time.monotonic() - began
        if client.recording.records[-1].kind == "reset":
            raise Failed("rst", **sides.now())
        figures = sides.now()
    return {"milliseconds": 1000 * seconds, **figures}


@check("3.3", needs="process")
def again(mine: Mine) -> dict[str, object]:
    """Kill the server while a client is connected, and start it again on its port."""
    port = mine.address.port
    with mine.connect() as client:
        sides = Sides(client)
        client.ask(b"hello", b"hello")
        mine.kill()
        client.ends(client.patience)
        client.close()
        figures = {"port": port, "state": sides.now()["server"]}
    if not listens_again(mine, port):
        raise Failed(**figures)
    with mine.connect() as client:
        client.ask(b"again", b"again")
    return figures


@check("3.4", needs="process")
def not_twice(mine: Mine) -> dict[str, object]:
    """Start the server once more while it runs, on the same port."""
    port = mine.address.port
    try:
        with mine.again(WIRELAB_PORT=str(port)) as second:
            if second.address.port != port:
                raise Failed("elsewhere", port=port, other=second.address.port)
            taken = 0
            for _ in range(CLIENTS):
                with mine.connect() as client:
                    client.ask(b"hello", b"hello")
                    taken += client.socket.getsockname()[1] in connections(second)
            raise Failed(port=port, taken=taken, count=CLIENTS)
    except Failed as failure:
        if failure.kind != "not_listening":
            raise
    with mine.connect() as client:
        client.ask(b"hello", b"hello")
    return {"port": port}
