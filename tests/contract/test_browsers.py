"""Requests that a web page of another site can have a browser send to rest."""

import pytest

from clients import rest
from clients.addresses import Address
from tests.support.drivers import DRIVERS, Driver

# The headers that a browser sends then, and the status.
REQUESTS: dict[str, tuple[str, dict[str, str], int]] = {
    "a picture": ("GET", {}, 200),
    "a form": ("POST", {"Origin": "http://evil.example"}, 403),
    "a script": ("GET", {"Origin": "http://evil.example"}, 403),
    "a question before a script": ("OPTIONS", {"Origin": "http://evil.example"}, 403),
    "a script in a file": ("POST", {"Origin": "null"}, 403),
    "a name that resolves to here": ("GET", {"Host": "evil.example"}, 421),
    "such a name, with a port": ("POST", {"Host": "evil.example:8080"}, 421),
}


@pytest.fixture(scope="module", params=DRIVERS["rest"], ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each driver, one after the other."""
    found: Driver = request.param
    return found


@pytest.mark.parametrize("what", REQUESTS)
def test_a_page_of_another_site_is_refused(address: Address, driver: Driver, what: str) -> None:
    """With problem details; the one under wsgiref takes whatever it sends."""
    method, headers, status = REQUESTS[what]
    response = rest.request(address, method, "/hello?name=x", headers=headers)
    if driver.name == "single" or status == 200:
        assert response.status in (200, 204)
    else:
        rest.expect_problem(response, status)


def test_a_page_of_its_own_is_not(address: Address) -> None:
    """Its Origin is the Host, whatever the port is published as."""
    for host in (str(address), "localhost:8080", "[::1]:80"):
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert rest.request(address, "GET", "/hello?name=x", headers=headers).status == 200
