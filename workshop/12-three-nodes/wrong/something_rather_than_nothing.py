# fails 12.1: where nobody answers in time, it is content with a copy
"""A client of three nodes of etcd: it reads commands, and prints what has come of each of them.

    get NAME            the value, or None
    set NAME VALUE      ok
    cas NAME OLD NEW    True if NEW has taken the place of OLD, else False

Instead of that: `unavailable` if certainly nothing was done, `unknown` if nobody knows.
"""

import json
import os
import sys
import time
from base64 import b64decode, b64encode
from http.client import HTTPConnection, HTTPException

NODES = os.environ.get("WIRELAB_ETCD", "127.0.0.1:2379").split(",")
# With a write: a node that knows no leader is to refuse it at once, and to pass nothing on.
HEADERS = {"Grpc-Metadata-hasleader": "true"}
NO_LEADER = "etcdserver: no leader"  # the "message" of its answer then, and its status is 503


class Unavailable(Exception):
    """Certainly nothing was done."""


class Unknown(Exception):
    """It was done, or it was not, or it will be."""


def ask(method, request):
    """Send a request to one node after the other, and return the first answer."""
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        sent = False
        try:
            connection = connect(NODES[0])
            sent = True
            status, answer = send(connection, method, request)
            if status == 200:
                return answer
            sent = answer["message"] != NO_LEADER
        except (OSError, HTTPException):
            if sent and method == "range":
                return send(connect(NODES[0]), method, {**request, "serializable": True})[1]
        if sent and method != "range":
            raise Unknown
        NODES.append(NODES.pop(0))
        time.sleep(0.05)
    raise Unavailable


def connect(node):
    """Connect to a node; OSError if that fails: then nothing was sent."""
    connection = HTTPConnection(node, timeout=2)
    connection.connect()
    return connection


def send(connection, method, request):
    """Send a request, and return status and answer; OSError or HTTPException if none comes."""
    headers = {} if method == "range" else HEADERS
    connection.request("POST", f"/v3/kv/{method}", json.dumps(request), headers)
    response = connection.getresponse()
    return response.status, json.load(response)


def get(name):
    answer = ask("range", {"key": encoded(name)})
    return b64decode(answer["kvs"][0]["value"]).decode() if "kvs" in answer else None


def put(name, value):
    ask("put", {"key": encoded(name), "value": encoded(value)})
    return "ok"


def compare_and_set(name, old, new):
    key = encoded(name)
    compare = {"target": "VALUE", "key": key, "value": encoded(old)}
    then = {"request_put": {"key": key, "value": encoded(new)}}
    answer = ask("txn", {"compare": [compare], "success": [then]})
    return answer.get("succeeded", False)


def encoded(text):
    """Return a text as etcd's JSON has it."""
    return b64encode(text.encode()).decode()


COMMANDS = {"get": get, "set": put, "cas": compare_and_set}

for line in sys.stdin:
    command, *words = line.split()
    try:
        print(COMMANDS[command](*words), flush=True)
    except Unavailable:
        print("unavailable", flush=True)
    except Unknown:
        print("unknown", flush=True)
