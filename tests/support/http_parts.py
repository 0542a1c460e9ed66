"""Requests that a client writes in one part, or in two: the head, and then the body."""

import time
from http.client import HTTPResponse
from statistics import median

from clients.addresses import Address
from tests.support.sockets import connect


def median_times(address: Address, head: str, body: bytes) -> tuple[float, float]:
    """Return how many seconds a POST takes that is written in one part, and one in two.

    `head` has its first line and the headers that are particular to it.
    """
    general = f"\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    start = (head + general).encode()
    times: dict[int, list[float]] = {1: [], 2: []}
    with connect(address) as client:
        for parts in [(start + body,), (start, body)] * 15:
            began = time.perf_counter()
            for part in parts:
                client.sendall(part)
            with HTTPResponse(client) as response:
                response.begin()
                assert response.read()
                assert response.status == 200
            times[len(parts)].append(time.perf_counter() - began)
    return median(times[1]), median(times[2])
