"""The picture of what a check's client has seen."""

import socket

import pytest

from clients.addresses import Address
from lab.workshop.client import Client, Recording
from lab.workshop.picture import LEFT, picture
from tests.support.pace import FAR
from tests.support.sockets import LOOPBACK


def test_a_client_that_leaves_says_nothing_of_the_server() -> None:
    """It may have closed too, and nobody has looked."""
    assert LEFT in drawn()


@pytest.mark.parametrize(
    ("close_first", "finish", "said"),
    [
        (True, False, "The server closed first (FIN), then the client."),
        (False, True, "The client has sent its FIN, the server has not."),
    ],
)
def test_a_client_that_waits_says_what_it_saw(close_first: bool, finish: bool, said: str) -> None:
    """An end of the server, or that there was none while it waited."""
    assert said in drawn(close_first=close_first, finish=finish)


def drawn(*, close_first: bool = False, finish: bool = False) -> str:
    """Return the picture of a connection, which the client closes in the end."""
    recording = Recording(1, "tcp-echo")
    with (
        socket.create_server((LOOPBACK, 0)) as listener,
        Client(Address(*listener.getsockname()), FAR, recording) as client,
        listener.accept()[0] as server,
    ):
        if close_first:
            server.close()
            assert client.rest() == b""
        if finish:
            client.finish()
    return picture([recording], "en", 80)
