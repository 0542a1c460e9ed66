"""Tests with the relay: `pytest --stack-file compose.yaml --stack-file relay.yaml relayed.py`."""

import socket

import pytest


def ask(address, line, timeout=5):
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(line + b"\n")
        return connection.recv(100)


def test_an_answer_that_is_late(relay, wire):
    with relay.toxic("cache", "latency", latency=5000), pytest.raises(TimeoutError):
        ask(relay.address("cache"), b"set spam", timeout=1)
    (request,) = wire.requests("cache")
    assert request.summary == "'set spam␊' (9 bytes)"
    assert ask(relay.address("cache"), b"get") == b"spam"  # it was done all the same


def test_a_connection_that_is_cut(relay, wire):
    with relay.toxic("cache", "fail_first", connections=1):
        with pytest.raises(ConnectionError):
            ask(relay.address("cache"), b"get")
        ask(relay.address("cache"), b"get")
    first, second = wire.conversations("cache")
    assert first.ending == "The relay reset the connection (RST)."
    assert [each.summary for each in second.events][:2] == ["connects", "'get␊' (4 bytes)"]


def test_a_datagram_that_is_lost(relay, wire):
    relay.add("cache-udp", "packet_loss", "upstream", loss_rate=1)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.sendto(b"get\n", relay.address("cache-udp"))
        with pytest.raises(TimeoutError):
            client.recv(100)
    (request,) = wire.requests("cache-udp")
    assert request.arrived is None
