"""The key-value client, against a server that breaks off."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import kv
from clients.addresses import Address


def break_off(listener: socket.socket) -> int:
    """Read one request and hang up, until nobody connects any more; return how many came."""
    requests = 0
    listener.settimeout(0.5)
    while True:
        try:
            client, _ = listener.accept()
        except TimeoutError:
            return requests
        with client:
            client.settimeout(5)
            received = b""
            while b"</methodCall>" not in received:
                received += client.recv(65536)
            requests += 1


def test_a_call_whose_answer_is_lost_is_not_sent_again() -> None:
    """It may have been carried out, and a compare-and-set that is repeated says that it failed."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        requests = threads.submit(break_off, listener)
        address = Address(*listener.getsockname())
        with kv.proxy(address) as store, pytest.raises(OSError, match="closed connection"):
            store.compare_and_set("lock", None, "me")
        assert requests.result() == 1
