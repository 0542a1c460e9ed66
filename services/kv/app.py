"""The key-value store as a WSGI application: XML-RPC by POST to `/` or `/RPC2`.

Methods: get(name), set(name, value), delete(name), exists(name), keys(), and
compare_and_set(name, expected, value).
"""

import inspect
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services import runtime
from services.kv import xml_rpc
from services.kv.faults import Fault, Kind
from services.kv.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LONGEST = 1024 * 1024  # bytes of a request's body
ABSENT = xml_rpc.marshal(None)

log = logging.getLogger("kv")


class KeyValueServer:
    """A WSGI application that keeps any XML-RPC value under a text key.

    The methods that clients call return their result as XML, as the store keeps it; `ABSENT` is
    the nil of those that have none.
    """

    methods = ("get", "set", "delete", "exists", "keys", "compare_and_set")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls = {name: getattr(self, name) for name in self.methods}
        self._signatures = {name: inspect.signature(call) for name, call in self._calls.items()}

    def get(self, name: str) -> str:
        """Return the value of `name`."""
        return self._store.get(name)

    def set(self, name: str, value: object) -> str:
        """Keep `value` under `name`; on disk once this is answered."""
        self._store.set(name, xml_rpc.marshal(value))
        return ABSENT

    def delete(self, name: str) -> str:
        """Forget `name`."""
        self._store.delete(name)
        return ABSENT

    def exists(self, name: str) -> str:
        """Whether `name` has a value."""
        return xml_rpc.marshal(self._store.exists(name))

    def keys(self) -> str:
        """Return all names, oldest first."""
        return xml_rpc.marshal(self._store.names())

    def compare_and_set(self, name: str, expected: object, value: object) -> str:
        """Set `name` to `value` if its value is `expected`; return whether it was.

        Values are equal when their XML-RPC forms are: 1 is neither 1.0 nor True. A missing name
        counts as None, so a lock is `compare_and_set("lock", None, me)` to take and
        `compare_and_set("lock", me, None)` to release.
        """
        done = self._store.compare_and_set(
            name, xml_rpc.marshal(expected), xml_rpc.marshal(value), absent=ABSENT
        )
        return xml_rpc.marshal(done)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one HTTP request."""
        headers = [("Content-Type", "text/xml")]
        try:
            status, body = "200 OK", self._answer(read_body(environ))
        except RefusedRequest as refused:
            status, body = str(refused), f"{refused}\n".encode()
            headers = [("Content-Type", "text/plain")]
            if status.startswith("405"):
                headers.append(("Allow", "POST"))
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, body: bytes) -> bytes:
        """Carry out the call in `body` and return the response, or a fault."""
        try:
            name, arguments = xml_rpc.parse_call(body)
            if name not in self.methods:
                raise Fault(Kind.NO_SUCH_METHOD, repr(name))
            self._check_arguments(name, arguments)
            return xml_rpc.response(self._calls[name](*arguments))
        except Fault as fault:
            return xml_rpc.fault_response(fault)
        except Exception:
            log.exception("internal error")
            return xml_rpc.fault_response(Fault(Kind.INTERNAL_ERROR))

    def _check_arguments(self, method: str, arguments: tuple[Any, ...]) -> None:
        """Raise Fault unless `method` takes these arguments; a name has to be a string."""
        try:
            bound = self._signatures[method].bind(*arguments)
        except TypeError as error:
            raise Fault(Kind.BAD_ARGUMENT, f"{method}: {error}") from None
        name = bound.arguments.get("name", "")
        if not isinstance(name, str):
            raise Fault(Kind.BAD_ARGUMENT, f"{method}: the name {name!r:.100} is not a string")


class RefusedRequest(Exception):
    """A request that holds no call; its text is the HTTP status."""


def read_body(environ: "WSGIEnvironment") -> bytes:
    """Return the body of a request; raises RefusedRequest where it cannot be a call."""
    length = environ.get("CONTENT_LENGTH") or ""
    if environ["PATH_INFO"] not in ("/", "/RPC2"):
        raise RefusedRequest("404 Not Found")
    if environ["REQUEST_METHOD"] != "POST":
        raise RefusedRequest("405 Method Not Allowed")
    if environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise RefusedRequest("415 Unsupported Media Type")
    if not length:
        raise RefusedRequest("411 Length Required")
    if not (length.isascii() and length.isdigit()):
        raise RefusedRequest("400 Bad Request")
    if len(length) > len(str(LONGEST)) or int(length) > LONGEST:
        raise RefusedRequest("413 Content Too Large")
    try:
        body: bytes = environ["wsgi.input"].read(int(length))
    except (BlockingIOError, TimeoutError):
        raise RefusedRequest("408 Request Timeout") from None
    if len(body) < int(length):
        raise RefusedRequest("400 Bad Request")
    return body


def database_file() -> Path:
    """Return the file that `WIRELAB_KV_FILE` names (default: kv.sqlite3 where it is started)."""
    return runtime.setting("WIRELAB_KV_FILE", "kv.sqlite3", Path)


def application() -> KeyValueServer:
    """Make the application on the store in `database_file()`."""
    return KeyValueServer(Store(database_file()))
