"""The key-value store: XML-RPC through the standard library's ServerProxy."""

import http.client
import os
import xmlrpc.client
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from clients.addresses import Address, replicas
from clients.checks import Check, WrongAnswer, expect
from clients.http.errors import Incomplete, os_errors

if TYPE_CHECKING:
    import argparse

    from clients.client import Ask

SERVICE = "kv"
NO_SUCH_KEY = 1
UNAVAILABLE = 5  # nothing was written
UNKNOWN = 6  # nobody knows whether it was
READS = ("get", "exists", "keys")
CUT_SHORT = (  # what Expat says at the end of a document that has not ended
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION],
    expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
)


class CarefulTransport(xmlrpc.client.Transport):
    """The transport of ServerProxy, which by itself waits for ever, and sends a call again.

    It does the latter when the connection breaks before the answer: but then the first one may
    have been carried out, and only its answer was lost. A compare-and-set that is carried out
    twice says that it failed.
    """

    accept_gzip_encoding = False

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout

    def request(
        self, host: Any, handler: str, request_body: Any, verbose: bool = False
    ) -> tuple[Any, ...]:
        """Send a call once and return its answer."""
        with os_errors():
            return self.single_request(host, handler, request_body, verbose)

    def parse_response(self, response: Any) -> tuple[Any, ...]:
        """Return what an answer says, once all of it is there.

        Transport reads it in pieces, and only `read` without a size notices that it is shorter
        than its Content-Length. Where it has none, it is the XML that is incomplete.
        """
        body = response.read()
        try:
            return super().parse_response(BytesIO(body))  # type: ignore[arg-type]
        except xmlrpc.client.Fault:
            raise
        except Exception as error:
            if isinstance(error, expat.ExpatError) and error.code in CUT_SHORT:
                message = f"the answer is incomplete: its XML ends after {len(body)} bytes"
                raise Incomplete(message) from None
            raise WrongAnswer(f"not an answer of XML-RPC: {error}") from error

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Return the connection to `host`, with the timeout set."""
        connection = super().make_connection(host)
        connection.timeout = self._timeout
        return connection


def proxy(address: Address, timeout: float = 5.0) -> xmlrpc.client.ServerProxy:
    """Return a ServerProxy, to be used in a `with`; its methods are the store's.

    get(name), set(name, value), delete(name), exists(name), keys(), and
    compare_and_set(name, expected, value). They raise xmlrpc.client.Fault where the store
    refuses, WrongAnswer where what comes is no answer of XML-RPC, and OSError where the store
    cannot be reached or the connection breaks: a write may then have been carried out, or not. A
    connection that was idle for a minute has been closed.
    """
    return xmlrpc.client.ServerProxy(
        f"http://{address}", CarefulTransport(timeout), allow_none=True
    )


class Replicas:
    """Replicas of one store: calls go to one of them, and to the next one when that is safe.

    It is if a call has certainly not been carried out, or if it only reads. What one replica has
    not answered in time, another one may still have written.
    """

    def __init__(
        self, stores: Sequence[tuple[CarefulTransport, str, xmlrpc.client.ServerProxy]]
    ) -> None:
        self._stores = deque(stores)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """Return a method of the store; it raises what those of `proxy` raise."""
        return partial(self._call, method)

    def _call(self, method: str, *arguments: Any) -> Any:
        xmlrpc.client.dumps(arguments, method, allow_none=True)  # which says what has no form
        problem: Exception | None = None
        for _ in range(len(self._stores)):
            transport, host, store = self._stores[0]
            try:
                connection = transport.make_connection(host)
                if not connection.sock:
                    connection.connect()
            except OSError as error:
                problem = error
            else:
                try:
                    return getattr(store, method)(*arguments)
                except xmlrpc.client.Fault as fault:
                    if fault.faultCode != UNAVAILABLE:
                        raise
                    problem = fault
                except OSError as error:
                    if method not in READS:
                        raise
                    problem = error
            self._stores.rotate(-1)
        raise problem or ValueError("there are no replicas")


@contextmanager
def replicated(addresses: Sequence[Address], timeout: float = 5.0) -> Iterator[Any]:
    """Lend the replicas of a store as if they were one, with the methods of `proxy`."""
    with ExitStack() as opened:
        stores = []
        for address in addresses:
            transport = CarefulTransport(timeout)
            store = xmlrpc.client.ServerProxy(f"http://{address}", transport, allow_none=True)
            stores.append((transport, str(address), opened.enter_context(store)))
        yield Replicas(stores)


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
    from clients.cli.literals import VALUES, literal

    parser.epilog = (
        f"{VALUES}\n\n"
        "try:\n"
        "  clients kv set spam '[1, 2, 3]'      quoted: [ ] are file names to a shell\n"
        "  clients kv get spam\n"
        "  clients kv increment visits          safe against others doing the same\n"
        "  clients kv compare-and-set lock None me   take a lock, if nobody has it ...\n"
        "  clients kv compare-and-set lock me None   ... and release it"
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
        subparser.add_argument("name", metavar="NAME", help="any text")
        for argument in values:
            subparser.add_argument(
                argument, metavar=argument.upper(), type=literal, help="a Python literal, or text"
            )


def command(options: "argparse.Namespace", address: Address) -> None:
    """Carry out one action on the store, or on its replicas, and print what it returns."""
    places = [address] if options.via else replicas(SERVICE)
    with replicated(places, options.timeout) as store:
        try:
            print_result(store, options)
        except (OverflowError, TypeError) as error:
            raise ValueError(f"a value has no form in XML-RPC: {error}") from None


def print_result(store: xmlrpc.client.ServerProxy, options: "argparse.Namespace") -> None:
    """Carry out the action and print what it returns."""
    match options.action:
        case "keys":
            names: Any = store.keys()
            for name in names:
                print(unmistakable(name))
        case "set":
            store.set(options.name, sendable(options.value))
        case "increment":
            print(increment(store, options.name))
        case "compare-and-set":
            values = sendable(options.expected), sendable(options.value)
            print(store.compare_and_set(options.name, *values))
        case "get":
            print(repr(plain(store.get(options.name))))
        case "exists":
            print(store.exists(options.name))
        case "delete":
            store.delete(options.name)


def plain(value: Any) -> Any:
    """Return a value as Python has it, with bytes and datetimes in the place of xmlrpc's classes.

    A dateTime of a form that Python cannot read is left as its text.
    """
    match value:
        case xmlrpc.client.Binary():
            return value.data
        case xmlrpc.client.DateTime():
            try:
                return datetime.fromisoformat(value.value)
            except ValueError:
                return value.value
        case list():
            return [plain(each) for each in value]
        case dict():
            return {name: plain(each) for name, each in value.items()}
    return value


def sendable(value: Any) -> Any:
    """Return a value as it is; ValueError where xmlrpc would send less than all of it."""
    match value:
        case datetime() if value.tzinfo or value.microsecond:
            raise ValueError(f"{value!r} has no form in XML-RPC: no zone, no fractions of a second")
        case list() | tuple():
            for each in value:
                sendable(each)
        case dict():
            for each in value.values():
                sendable(each)
    return value


def unmistakable(name: str) -> str:
    """Return a name as it is, or as Python writes it where a line would not show what it is."""
    return name if name.isprintable() and name and name[0] not in "'\"" else repr(name)
