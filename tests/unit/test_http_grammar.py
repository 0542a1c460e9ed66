"""The grammar suite of HTTP/1.1, without sockets: what a request says, or its error."""

from collections.abc import Iterator
from itertools import repeat
from random import Random

import pytest

from services.http.protocol import Protocol
from tests.contract.data.http_requests import REQUESTS, Parsed, Sent
from tests.unit.test_http_protocol import new_protocol, respond

NEXT = b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n"
CASES = [pytest.param(sent, id=name) for name, sent in REQUESTS.items()]


def received(data: bytes, sizes: Iterator[int]) -> list[Parsed | int]:
    """Receive data in pieces of these sizes; return the requests in it, or statuses of errors."""
    protocol = new_protocol()
    found: list[Parsed | int] = []
    while data:
        size = next(sizes)
        protocol.receive_data(data[:size])
        data = data[size:]
        found += answered(protocol)
    return found


def answered(protocol: Protocol) -> Iterator[Parsed | int]:
    """Respond to all requests that are complete; yield these, or the status of an error."""
    while request := protocol.next_request():
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        yield Parsed(
            request.method, request.path, request.query, request.version, headers,
            bytes(request.body), request.keep_alive,
        )  # fmt: skip
        respond(protocol)
        protocol.sent(len(protocol.data_to_send()))
    if protocol.error and protocol.data_to_send():
        yield int(protocol.error.status[:3])
        protocol.sent(len(protocol.data_to_send()))


@pytest.mark.parametrize("sent", CASES)
def test_a_request_says_what_the_standard_has_it_say(sent: Sent) -> None:
    """Wherever it is split; and what follows is the next request, unless the connection ends."""
    expected: list[Parsed | int] = [sent.expected]
    if isinstance(sent.expected, Parsed) and sent.expected.keep_alive:
        expected.append(Parsed(path="/next"))
    data = sent.data + NEXT
    random = Random(sent.data)  # noqa: S311 - to be repeated
    for sizes in (repeat(len(data)), repeat(1), *(random_sizes(random) for _ in range(5))):
        assert received(data, sizes) == expected, sent.clause


def random_sizes(random: Random) -> Iterator[int]:
    """Yield sizes of pieces, small ones and large ones."""
    while True:
        yield random.randint(1, random.choice([3, 30, 300]))
