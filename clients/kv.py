"""The key-value store: XML-RPC through the standard library's ServerProxy."""

import http.client
import os
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clients.addresses import Address
from clients.checks import Check, expect

if TYPE_CHECKING:
    import argparse

    from clients.client import Ask

SERVICE = "kv"
NO_SUCH_KEY = 1


class CarefulTransport(xmlrpc.client.Transport):
    """The transport of ServerProxy, which by itself waits for ever, and sends a call again.

    It does the latter when the connection breaks before the answer: but then the first one may
    have been carried out, and only its answer was lost. A compare-and-set that is carried out
    twice says that it failed.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout

    def request(
        self, host: Any, handler: str, request_body: Any, verbose: bool = False
    ) -> tuple[Any, ...]:
        """Send a call once and return its answer."""
        return self.single_request(host, handler, request_body, verbose)

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Return the connection to `host`, with the timeout set."""
        connection = super().make_connection(host)
        connection.timeout = self._timeout
        return connection


def proxy(address: Address, timeout: float = 5.0) -> xmlrpc.client.ServerProxy:
    """Return a ServerProxy, to be used in a `with`; its methods are the store's.

    get(name), set(name, value), delete(name), exists(name), keys(), and
    compare_and_set(name, expected, value). They raise xmlrpc.client.Fault where the store
    refuses, and OSError where it cannot be reached or the connection breaks: a write may then
    have been carried out, or not. A connection that was idle for a minute has been closed.
    """
    return xmlrpc.client.ServerProxy(
        f"http://{address}", CarefulTransport(timeout), allow_none=True
    )


def increment(store: xmlrpc.client.ServerProxy, name: str, attempts: int = 100) -> int:
    """Add one to the number under `name` (none counts as 0) and return it.

    Get and set alone would lose updates: what another client writes in between is overwritten.
    """
    for _ in range(attempts):
        try:
            old: Any = store.get(name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != NO_SUCH_KEY:
                raise
            old = None
        if not isinstance(old, int | None):
            raise ValueError(f"{name!r} has the value {old!r:.100}. Not an integer")  # noqa: TRY004
        new = (old or 0) + 1
        if store.compare_and_set(name, old, new):
            return int(new)
    raise RuntimeError(f"{name!r} changed under each of {attempts} attempts")


@contextmanager
def conversation(address: Address, timeout: float) -> "Iterator[Ask]":
    """Connect; lend a function that sets and gets a word, on that connection while it stays open.

    A server of HTTP/1.0 closes it after each answer, and the next question opens another.
    """
    transport = CarefulTransport(timeout)
    with xmlrpc.client.ServerProxy(f"http://{address}", transport, allow_none=True) as store:
        transport.make_connection(str(address)).connect()
        name = f"check-{os.urandom(8).hex()}"
        used = False

        def ask(word: str) -> None:
            nonlocal used
            used = True
            store.set(name, word)
            expect("the value", store.get(name), word)

        yield ask
        if used:
            with suppress(OSError):  # it has been stopped meanwhile
                store.delete(name)


def health(address: Address, timeout: float) -> None:
    """Hold the store to an answer, whichever it is: any name may have a value."""
    with proxy(address, timeout) as store:
        expect("the type of exists('')", type(store.exists("")), bool)


@contextmanager
def scratch(address: Address) -> Iterator[tuple[Any, str]]:
    """Lend a store and a name that nobody else uses, and forget the name at the end."""
    name = f"check-{os.urandom(8).hex()}"
    with proxy(address) as store:
        try:
            yield store, name
        finally:
            if store.exists(name):
                store.delete(name)


def check_session(address: Address) -> None:
    """Hold the store to set, get, keys, exists and delete."""
    with scratch(address) as (store, name):
        expect("set", store.set(name, [1, 2, 3]), None)
        expect("get", store.get(name), [1, 2, 3])
        expect("the name is among keys", name in store.keys(), True)  # noqa: SIM118 - a call
        expect("exists", store.exists(name), True)
        expect("delete", store.delete(name), None)
        expect("exists after delete", store.exists(name), False)


def check_types(address: Address) -> None:
    """Hold the store to giving back every type of XML-RPC as it was."""
    value = {
        "int": -(2**31),
        "boolean": True,
        "double": 0.1,
        "string": "Zoë & <b>\r\n\t",
        "dateTime": xmlrpc.client.DateTime(datetime(2012, 8, 15, 20, 35, 8, tzinfo=UTC)),
        "base64": xmlrpc.client.Binary(bytes(range(256))),
        "array": [[], [None], "", 0],
        "struct": {},
    }
    with scratch(address) as (store, name):
        store.set(name, value)
        found = store.get(name)
        for kind, wanted in value.items():
            expect(kind, found[kind], wanted)


def check_fault(address: Address) -> None:
    """Hold the store to its fault for a name without a value."""
    with scratch(address) as (store, name):
        try:
            value = store.get(name)
        except xmlrpc.client.Fault as fault:
            expect("the fault code", fault.faultCode, NO_SUCH_KEY)
            expect("the fault", fault.faultString, f"no such key: {name!r}")
        else:
            expect("get of a name without a value", value, "a fault")


def check_compare_and_set(address: Address) -> None:
    """Hold the store to a counter, and to a lock that only one can take."""
    with scratch(address) as (store, name):
        expect("three increments", [increment(store, name) for _ in range(3)], [1, 2, 3])
        expect("setting 2 to 9 where 3 is", store.compare_and_set(name, 2, 9), False)
        expect("the value", store.get(name), 3)


CHECKS = (
    Check("set, get, keys, exists, delete", check_session),
    Check("every XML-RPC type comes back", check_types),
    Check("a missing key is a fault", check_fault),
    Check("compare-and-set makes a counter", check_compare_and_set),
)


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    parser.epilog = (
        "A VALUE is a Python literal (42, [1, 2], {'a': None}), or else text.\n\n"
        "try:\n"
        "  clients kv set spam [1,2,3]\n"
        "  clients kv get spam\n"
        "  clients kv increment visits            safe against others doing the same\n"
        "  clients kv compare-and-set lock None me       take a lock, if nobody has it ...\n"
        "  clients kv compare-and-set lock me None       ... and release it"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("keys", help="list all names")
    for action, what, values in (
        ("get", "print the value of a name", ()),
        ("set", "give a name a value", ("value",)),
        ("delete", "forget a name", ()),
        ("exists", "say whether a name has a value", ()),
        ("increment", "add one to a number", ()),
        ("compare-and-set", "give a name a value if it has the one expected (None: or none)",
         ("expected", "value")),
    ):  # fmt: skip
        subparser = actions.add_parser(action, help=what)
        for argument in ("name", *values):
            subparser.add_argument(argument, metavar=argument.upper())


def command(options: "argparse.Namespace", address: Address) -> None:
    """Carry out one action on the store and print what it returns."""
    with proxy(address, options.timeout) as store:
        try:
            print_result(store, options)
        except (OverflowError, TypeError) as error:
            raise ValueError(f"a value has no form in XML-RPC: {error}") from None


def print_result(store: xmlrpc.client.ServerProxy, options: "argparse.Namespace") -> None:
    """Carry out the action and print what it returns."""
    from clients.cli.options import literal

    match options.action:
        case "keys":
            print(*store.keys(), sep="\n")  # type: ignore[misc]
        case "set":
            store.set(options.name, literal(options.value))
        case "increment":
            print(increment(store, options.name))
        case "compare-and-set":
            values = literal(options.expected), literal(options.value)
            print(store.compare_and_set(options.name, *values))
        case "get":
            value = store.get(options.name)
            print(repr(value.data if isinstance(value, xmlrpc.client.Binary) else value))
        case action:
            print(getattr(store, action)(options.name))
