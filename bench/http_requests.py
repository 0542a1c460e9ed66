"""The requests that the load sends over HTTP, as files: it sends one after the other.

No two of a file have the same head: a server that keeps the heads it has parsed, and the answers to
them, would be measured by its cache.
"""

import json
from base64 import b64encode
from collections import defaultdict
from contextlib import closing
from http.client import HTTPConnection
from xmlrpc.client import ServerProxy, dumps

from bench import BUILD
from clients.addresses import Address

NAMES = [f"name-{number:03}" for number in range(100)]
VALUE = "a value of about forty characters"
ROUNDS = 10  # with each name
LARGE = "x" * 1_040_000 + " and the end"  # almost as large as a value may be, and an answer
LONG_NAME = '"' * 65_536  # the longest that a form may have; each becomes `&quot;` twice


def write() -> None:
    """Write a file for each kind of request: requests and what their answers contain, in turn."""
    pairs: dict[str, list[str]] = defaultdict(list)
    for number in range(ROUNDS * len(NAMES)):
        name = NAMES[number % len(NAMES)]
        # Another value each time: a store need not write what does not change.
        new, held = f"{VALUE} {number}", f"{VALUE} of {name}"
        pairs["set"] += [post(number, dumps((name, new), "set")), "<nil/>"]
        pairs["get"] += [post(number, dumps((name,), "get")), held]
        pairs["gateway_set"] += [gateway(number, "put", key=name, value=new), "revision"]
        pairs["gateway_get"] += [gateway(number, "range", key=name), base64(held)]
        who = f"Guido-{number}"
        path = f"/hello?name={who}" if number % 2 else f"/hello/{who}"
        pairs["hello"] += [f"GET {path} HTTP/1.1\r\n{headers(number)}\r\n", f"Hello {who}!"]
        pairs["get_large"] += [post(number, dumps(("large",), "get")), LARGE[-20:]]
    for number in range(ROUNDS):
        pairs["hello_large"] += [form(number, f"name={LONG_NAME}"), "&quot;!</h1>"]
    for kind, texts in pairs.items():
        (BUILD / kind).write_text("".join(f"{text}\0" for text in texts), newline="")


def post(number: int, body: str, path: str = "/RPC2", kind: str = "text/xml") -> str:
    """Return a POST, by default of a call in XML-RPC."""
    return (
        f"POST {path} HTTP/1.1\r\n{headers(number)}"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


def form(number: int, body: str) -> str:
    """Return a form as an HTTP request to rest."""
    return post(number, body, "/hello", "application/x-www-form-urlencoded")


def gateway(number: int, method: str, **fields: str) -> str:
    """Return a request to the JSON gateway of etcd."""
    return post(number, in_json(**fields), f"/v3/kv/{method}", "application/json")


def in_json(**fields: str) -> str:
    """Return fields as the gateway takes them."""
    return json.dumps({name: base64(text) for name, text in fields.items()})


def base64(text: str) -> str:
    """Return a text as JSON has bytes."""
    return b64encode(text.encode()).decode()


def headers(number: int) -> str:
    """Return what python-requests sends, and an ID, as proxies add it."""
    return (
        "Host: localhost\r\nUser-Agent: python-requests/2.34.2\r\n"
        "Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n"
        f"X-Request-ID: {number:08x}\r\n"
    )


def fill(address: Address) -> None:
    """Set all names, so that `get` finds them."""
    with ServerProxy(f"http://{address}", allow_none=True) as store:
        for name in NAMES:
            store.set(name, f"{VALUE} of {name}")


def fill_gateway(address: Address) -> None:
    """Put all names into etcd, for the gateway to find them."""
    with closing(HTTPConnection(*address, timeout=10)) as connection:
        for name in NAMES:
            connection.request("POST", "/v3/kv/put", in_json(key=name, value=f"{VALUE} of {name}"))
            connection.getresponse().read()


def fill_large(address: Address) -> None:
    """Set the large value."""
    with ServerProxy(f"http://{address}", allow_none=True) as store:
        store.set("large", LARGE)


def forget(address: Address, count: int) -> None:
    """Delete the first `count` names."""
    with ServerProxy(f"http://{address}", allow_none=True) as store:
        for name in NAMES[:count]:
            store.delete(name)
