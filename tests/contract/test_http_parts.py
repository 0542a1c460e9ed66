"""Requests that a client writes in two parts, the head and then the body, as many libraries do.

With Nagle's algorithm the client sends the second part when the first one is acknowledged.
"""

from xmlrpc.client import dumps

import pytest

from clients.addresses import Address
from tests.support.drivers import Driver, safe
from tests.support.http_parts import median_times
from tests.support.relay import relaying

FORM = "Content-Type: application/x-www-form-urlencoded"
POSTS = {
    "rest": (f"POST /hello HTTP/1.1\r\n{FORM}", b"name=Guido"),
    "httpbin": (f"POST /post HTTP/1.1\r\n{FORM}", b"name=Guido"),
    "kv": ("POST /RPC2 HTTP/1.1\r\nContent-Type: text/xml", dumps(("x",), "exists").encode()),
}


@pytest.fixture(scope="module", params=safe(*POSTS), ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each driver, one after the other."""
    found: Driver = request.param
    return found


def test_a_body_written_after_its_head_waits_for_no_ack(address: Address, driver: Driver) -> None:
    """By default it comes after 40 ms, with an answer."""
    whole, in_two = median_times(address, *POSTS[driver.service])
    assert in_two < 10 * whole


def test_nor_does_one_for_the_control_of_the_relay() -> None:
    """Which uvicorn serves, as it does the console."""
    with relaying() as (relay, _):
        whole, in_two = median_times(relay.address, "POST /proxies/kv HTTP/1.1", b"{}")
    assert in_two < 10 * whole
