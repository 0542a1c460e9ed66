"""Tests of the project in this folder: `pytest`, with the plugin installed, and no more."""

import socket
from urllib.request import urlopen

import pytest


def ask(address, line):
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(line + b"\n")
        return connection.recv(100)


def test_web_serves_a_page(service):
    web = service("web")
    assert web.exec("sh", "-c", "echo hello > page").status == 0
    assert urlopen(f"http://{web.address()}/page", timeout=5).read() == b"hello\n"
    web.wait_for_log("GET /page")


def test_cache_speaks_tcp_and_udp(service):
    cache = service("cache")
    assert ask(cache.address(8000, "tcp"), b"set spam") == b"spam"
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(5)
        datagrams.sendto(b"get\n", cache.address(8000, "udp"))
        assert datagrams.recv(100) == b"spam"


def test_cache_forgets_when_it_is_killed(service):
    cache = service("cache")
    ask(cache.address(8000, "tcp"), b"set spam")
    with cache.killed():
        assert cache.container.status == "exited"
    assert ask(cache.address(8000, "tcp"), b"get") == b"nothing"


READ = """
import socket
with socket.create_connection(("cache", 8000), timeout=2) as connection:
    connection.sendall(b"get\\n")
    print(connection.recv(100))
"""


@pytest.mark.parametrize(("fault", "error"), [("paused", "TimeoutError"), ("cut_off", "gaierror")])
def test_web_does_without_a_cache_that_is_away(service, fault, error):
    web, cache = service("web"), service("cache")
    with getattr(cache, fault)():
        assert error in web.exec("python3", "-c", READ).output
    assert web.exec("python3", "-c", READ).status == 0
