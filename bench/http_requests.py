"""The requests that the load sends over HTTP, as files: it sends one after the other.

No two of a file have the same head: a server that keeps the heads it has parsed, and the answers to
them, would be measured by its cache.
"""

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
    pairs: dict[str, list[str]] = {
        kind: [] for kind in ("set", "get", "hello", "get_large", "hello_large")
    }
    for number in range(ROUNDS * len(NAMES)):
        name = NAMES[number % len(NAMES)]
        # Another value each time: a store need not write what does not change.
        pairs["set"] += [post(number, dumps((name, f"{VALUE} {number}"), "set")), "<nil/>"]
        pairs["get"] += [post(number, dumps((name,), "get")), f"{VALUE} of {name}"]
        who = f"Guido-{number}"
        path = f"/hello?name={who}" if number % 2 else f"/hello/{who}"
        pairs["hello"] += [f"GET {path} HTTP/1.1\r\n{headers(number)}\r\n", f"Hello {who}!"]
        pairs["get_large"] += [post(number, dumps(("large",), "get")), LARGE[-20:]]
    for number in range(ROUNDS):
        pairs["hello_large"] += [form(number, f"name={LONG_NAME}"), "&quot;!</h1>"]
    for kind, texts in pairs.items():
        (BUILD / kind).write_text("".join(f"{text}\0" for text in texts), newline="")


def post(number: int, body: str) -> str:
    """Return an XML-RPC call as an HTTP request."""
    return (
        f"POST /RPC2 HTTP/1.1\r\n{headers(number)}"
        f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


def form(number: int, body: str) -> str:
    """Return a form as an HTTP request to rest."""
    return (
        f"POST /hello HTTP/1.1\r\n{headers(number)}Content-Type: application/x-www-form-urlencoded"
        f"\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


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


def fill_large(address: Address) -> None:
    """Set the large value."""
    with ServerProxy(f"http://{address}", allow_none=True) as store:
        store.set("large", LARGE)


def forget(address: Address, count: int) -> None:
    """Delete the first `count` names."""
    with ServerProxy(f"http://{address}", allow_none=True) as store:
        for name in NAMES[:count]:
            store.delete(name)
