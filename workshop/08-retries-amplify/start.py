"""Calls a server by HTTP, several times at once, and repeats what has failed."""

import os
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException

HOST, PORT = os.environ.get("WIRELAB_REST_ADDRESS", "127.0.0.1:8080").rsplit(":", 1)
METHOD = os.environ.get("WIRELAB_METHOD", "GET")
CALLS = int(os.environ.get("WIRELAB_CALLS", "8"))
DEADLINE = float(os.environ.get("WIRELAB_DEADLINE", "1"))  # seconds, for a call


def call(number):
    """Return the status of the answer, or "failed"."""
    for _ in range(4):
        try:
            return request(number)
        except (OSError, HTTPException):
            pass
    return "failed"


def request(number):
    """Send one request, and return the status of its answer."""
    connection = HTTPConnection(HOST, int(PORT), timeout=DEADLINE)
    try:
        connection.request(METHOD, f"/hello?name={number}")
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    return response.status


with ThreadPoolExecutor(CALLS) as pool:
    for number, answer in enumerate(pool.map(call, range(CALLS))):
        print(f"call {number}: {answer}")
