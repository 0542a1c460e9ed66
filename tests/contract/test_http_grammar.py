"""The grammar suite of HTTP/1.1 on the wire, and connections that clients of HTTP/1.0 keep."""

import re
from http.client import HTTPResponse
from xmlrpc.client import dumps

import pytest

from clients.addresses import Address
from tests.contract.data.http_requests import REQUESTS, Parsed, Sent
from tests.support.drivers import Driver, safe
from tests.support.sockets import connect, rest_of

NEXT = b"GET /next HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
OF_THE_GRAMMAR = {400, 413, 414, 431, 501, 505}
NOT_OURS = 421  # a Host that is valid, and not a name of the server

CALL = dumps(("x",), "exists").encode()
ASKED = {
    "rest": b"GET /hello?name=Guido HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "kv": b"POST /RPC2 HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Type: text/xml\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(CALL), CALL),
}


@pytest.fixture(scope="module", params=safe("rest", "kv"), ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each driver, one after the other."""
    found: Driver = request.param
    return found


def statuses(address: Address, data: bytes) -> list[int]:
    """Send a request and another one; return the status of each response, to the last one."""
    with connect(address) as client:
        client.sendall(data + NEXT)
        return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", rest_of(client))]


def is_right(sent: Sent, found: list[int], service: str) -> bool:
    """Whether these are the statuses of a request and of the next one."""
    if isinstance(sent.expected, int) and not (service == "kv" and sent.in_body):
        return found == [sent.expected]
    accepted = found[0] not in OF_THE_GRAMMAR
    if service == "kv" or found == [NOT_OURS]:  # kv accepts the head, and says that it is no call
        return accepted and len(found) == 1
    both = isinstance(sent.expected, Parsed) and sent.expected.keep_alive
    return accepted and found[1:] == [404] * both


def test_a_request_is_read_as_the_standard_has_it(address: Address, driver: Driver) -> None:
    """What is invalid gets one error, and nothing that follows it is another request."""
    found = {name: statuses(address, sent.data) for name, sent in REQUESTS.items()}
    wrong = {
        name: (found[name], sent.expected, sent.clause)
        for name, sent in REQUESTS.items()
        if not is_right(sent, found[name], driver.service)
    }
    assert wrong == {}


def test_a_client_of_http_1_0_can_keep_its_connection(address: Address, driver: Driver) -> None:
    """If it asks for that, as `ab -k` does, each response says so, and how long it is."""
    with connect(address) as client:
        for _ in range(3):
            client.sendall(ASKED[driver.service])
            with HTTPResponse(client) as response:
                response.begin()
                assert response.status == 200
                assert response.headers["Connection"] == "keep-alive"
                assert response.headers["Transfer-Encoding"] is None
                assert len(response.read()) == int(response.headers["Content-Length"]) > 0
