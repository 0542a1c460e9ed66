# fails 8.2: it backs off, and each call may repeat as often as it has time
"""Calls a server by HTTP, several times at once, and repeats what has failed."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from socket import SHUT_RDWR
from threading import Timer

HOST, PORT = os.environ.get("WIRELAB_REST_ADDRESS", "127.0.0.1:8080").rsplit(":", 1)
METHOD = os.environ.get("WIRELAB_METHOD", "GET")
CALLS = int(os.environ.get("WIRELAB_CALLS", "8"))
DEADLINE = float(os.environ.get("WIRELAB_DEADLINE", "1"))  # seconds, for a call

IDEMPOTENT = METHOD in ("GET", "HEAD", "PUT", "DELETE")
WAIT = DEADLINE / 5 if IDEMPOTENT else DEADLINE  # seconds, for one request


def call(number):
    """Return the status of the answer, or "failed", or "unknown"."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return request(number, min(deadline, time.monotonic() + WAIT))
        except (OSError, HTTPException):
            if not IDEMPOTENT:
                return "unknown"
        pause = random.uniform(0.1, 0.3)  # noqa: S311 - nobody gains by guessing it
        if time.monotonic() + pause >= deadline:
            return "failed"
        time.sleep(pause)


def request(number, deadline):
    """Send one request, and return the status of its answer; at the deadline, give up."""
    connection = HTTPConnection(HOST, int(PORT), timeout=max(0.01, deadline - time.monotonic()))
    connection.connect()
    # The timeout is for each recv(); this one is for all of them.
    timer = Timer(max(0, deadline - time.monotonic()), connection.sock.shutdown, [SHUT_RDWR])
    timer.start()
    try:
        connection.request(METHOD, f"/hello?name={number}")
        response = connection.getresponse()
        response.read()
    finally:
        timer.cancel()
        connection.close()
    if time.monotonic() > deadline:
        raise TimeoutError
    return response.status


with ThreadPoolExecutor(CALLS) as pool:
    for number, answer in enumerate(pool.map(call, range(CALLS))):
        print(f"call {number}: {answer}")
