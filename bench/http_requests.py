"""The requests that the load sends over HTTP, as files: it sends one after the other."""

from xmlrpc.client import ServerProxy, dumps

from bench import BUILD
from clients.addresses import Address

NAMES = [f"name-{number:03}" for number in range(100)]
VALUE = "a value of about forty characters"


def write() -> None:
    """Write a file for each kind of request."""
    bodies = {
        # Another value each time: a store need not write what does not change.
        "set": [
            dumps((name, f"{VALUE} {round_}"), "set") for round_ in range(10) for name in NAMES
        ],
        "get": [dumps((name,), "get") for name in NAMES],
    }
    requests = {kind: [post(body) for body in some] for kind, some in bodies.items()}
    requests["hello"] = ["GET /hello?name=Guido HTTP/1.1\r\nHost: localhost\r\n\r\n"]
    for kind, some in requests.items():
        (BUILD / kind).write_text("\0".join(some), newline="")


def post(body: str) -> str:
    """Return an XML-RPC call as an HTTP request."""
    return (
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def fill(address: Address) -> None:
    """Set all names, so that `get` finds them."""
    with ServerProxy(f"http://{address}", allow_none=True) as store:
        for name in NAMES:
            store.set(name, VALUE)


def forget(address: Address, count: int) -> None:
    """Delete the first `count` names."""
    with ServerProxy(f"http://{address}", allow_none=True) as store:
        for name in NAMES[:count]:
            store.delete(name)
