"""Requests that a client writes in two parts, the head and then the body, as many libraries do."""

import time
from http.client import HTTPResponse
from statistics import median
from xmlrpc.client import dumps

import pytest

from clients.addresses import Address
from tests.support.drivers import Driver, safe
from tests.support.sockets import connect

FORM = "application/x-www-form-urlencoded"
POSTS = {  # path, type and body
    "rest": ("/hello", FORM, b"name=Guido"),
    "httpbin": ("/post", FORM, b"name=Guido"),
    "kv": ("/RPC2", "text/xml", dumps(("x",), "exists").encode()),
}


@pytest.fixture(scope="module", params=safe(*POSTS), ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each driver, one after the other."""
    found: Driver = request.param
    return found


def test_a_body_written_after_its_head_waits_for_no_ack(address: Address, driver: Driver) -> None:
    """A client with Nagle's algorithm sends it when the head is acknowledged: after 40 ms."""
    path, kind, body = POSTS[driver.service]
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    times: dict[int, list[float]] = {1: [], 2: []}
    with connect(address) as client:
        for parts in [(head + body,), (head, body)] * 15:
            began = time.perf_counter()
            for part in parts:
                client.sendall(part)
            with HTTPResponse(client) as response:
                response.begin()
                assert (response.status, bool(response.read())) == (200, True)
            times[len(parts)].append(time.perf_counter() - began)
    assert median(times[2]) < 10 * median(times[1])
