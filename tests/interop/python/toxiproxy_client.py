"""toxiproxy-python 0.1.1 against the relay: `toxiproxy_client.py HOST PORT UPSTREAM`."""

import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from toxiproxy import Toxiproxy  # type: ignore[import-not-found]  # it is in its image alone
from toxiproxy.exceptions import (  # type: ignore[import-not-found]
    InvalidToxic,
    NotFound,
    ProxyExists,
)

host, port, upstream = sys.argv[1:]
NAME = "python"


def connect(proxy: Any) -> socket.socket:
    """Connect through a proxy."""
    return socket.create_connection((host, int(proxy.listen.rpartition(":")[2])), 10)


def echo(proxy: Any) -> tuple[bytes, float]:
    """Return what comes back through a proxy, and the seconds that it took."""
    began = time.monotonic()
    with connect(proxy) as client:
        client.sendall(b"hello")
        return client.recv(100), time.monotonic() - began


def raises(error: type[Exception], action: Callable[[], object]) -> None:
    """Fail unless an action raises an error."""
    try:
        action()
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


server = Toxiproxy()
server.update_api_consumer(host, int(port))
assert server.running()
assert b"2.12.0" in server.version()
assert "tcp-echo" in server.proxies()
proxy = server.create(upstream=upstream, name=NAME, listen="0.0.0.0:0")
try:
    assert not proxy.listen.endswith(":0")
    assert echo(proxy)[0] == b"hello"
    raises(ProxyExists, lambda: server.create(upstream=upstream, name=NAME))

    proxy.add_toxic(type="latency", attributes={"latency": 300})
    assert list(proxy.toxics()) == ["latency_downstream"]
    assert proxy.get_toxic("latency_downstream").attributes["latency"] == 300
    assert echo(proxy)[1] >= 0.3
    raises(InvalidToxic, lambda: proxy.add_toxic(type="nonsense"))
    proxy.destroy_toxic("latency_downstream")
    assert proxy.toxics() == {}
    raises(NotFound, lambda: proxy.destroy_toxic("latency_downstream"))

    with proxy.down():
        assert not server.get_proxy(NAME).enabled
        raises(ConnectionRefusedError, lambda: connect(proxy))
    assert echo(proxy)[0] == b"hello"

    proxy.add_toxic(type="limit_data", attributes={"bytes": 2})
    assert echo(proxy)[0] == b"he"
    server.reset()
    assert proxy.toxics() == {}
    assert server.populate([{"name": NAME, "upstream": upstream, "listen": proxy.listen}]) == []
finally:
    proxy.destroy()
assert server.get_proxy(NAME) is None
print("ok")
