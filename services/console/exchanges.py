"""Try it: one exchange with a service, through the relay, and the picture of what passed.

The exchange is the clients' own. What comes back is shown as visible text, whatever it is.
"""

import ast
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import islice
from typing import Any

from clients import kv, object_echo, rest, rpc, tcp_echo
from clients.addresses import RELAY, Address, address, through_relay
from clients.cli.literals import NOT_ONE, evaluated, literal
from clients.relay import Relay
from clients.udp_time import TimeClient
from services import addresses
from services.connection.authkey import authkey
from services.console.wire import RECORDED, NoRelay, Picture, answering, drawn
from services.runtime import SettingError
from services.wire.conversation import Conversations
from services.wire.visible import brief, line, lines

PATIENCE = 5.0  # seconds for each wait on the network
ENDED_SECONDS = 1.0  # after which a connection is shown that has not ended
POLL_SECONDS = 0.05
MAX_RECORDS = 5000  # of all connections, among which ours is looked for
MAX_FIELD = 1000  # characters, also of a line of an answer
MAX_LINES, MAX_COLUMNS = 40, 120  # of a text in an answer

Form = Mapping[str, str]
METHODS = rest.METHODS
ACTIONS = ("get", "set", "delete", "exists", "keys")


class BadField(ValueError):
    """A field of a form says what cannot be; the message names it."""


@dataclass(frozen=True)
class Outcome:
    """What came of an exchange: the answer as lines of text, or a problem; and what passed."""

    seconds: float
    answer: tuple[str, ...] = ()
    problem: str = ""
    picture: Picture | None = None


def field(form: Form, name: str, known: tuple[str, ...] = ()) -> str:
    """Return a field of a form; BadField for one that is too long, or not one of those known."""
    value = form.get(name, "")
    if len(value) > MAX_FIELD:
        raise BadField(f"{name} has {len(value):,} characters. Not {MAX_FIELD:,} at most")
    if known and value not in known:
        raise BadField(f"{name} has value {value[:40]!r}. Not {', '.join(known)}")
    return value


def echo_text(where: Address, form: Form) -> Iterator[str]:
    """Send a text to tcp-echo."""
    returned = tcp_echo.echo(where, field(form, "text").encode(), PATIENCE)
    yield from shown(returned.decode(errors="backslashreplace"))


def ask_time(where: Address, _form: Form) -> Iterator[str]:
    """Ask udp-time."""
    with TimeClient(where) as client:
        try:
            yield client.ask().text
        finally:
            yield from str(client.statistics).splitlines()


def request(where: Address, form: Form) -> Iterator[str]:
    """Make a request of HTTP."""
    method, path = field(form, "method", METHODS), field(form, "path")
    if not path.startswith(("/", "*")):
        raise BadField(f"path has value {path[:40]!r}. Not a path such as /hello?name=Guido")
    response = rest.request(where, method, path, timeout=PATIENCE)
    yield f"{response.status} {response.reason}"
    for name, value in response.headers.items():
        yield f"{name}: {value}"
    yield ""
    yield from shown(response.text)


def store(where: Address, form: Form) -> Iterator[str]:
    """Call a method of kv."""
    action, name = field(form, "action", ACTIONS), field(form, "name")
    arguments: list[Any] = [] if action == "keys" else [name]
    if action == "set":
        try:
            arguments.append(kv.sendable(literal(field(form, "value"))))
        except ValueError as error:
            raise BadField(str(error)) from None
    with kv.proxy(where, PATIENCE) as proxy:
        try:
            yield brief(kv.plain(getattr(proxy, action)(*arguments)), MAX_FIELD)
        except xmlrpc.client.Fault as fault:
            yield f"Fault {fault.faultCode}: {fault.faultString}"


def echo_object(where: Address, form: Form) -> Iterator[str]:
    """Send an object to object-echo."""
    yield brief(object_echo.echo(where, literal(field(form, "value")), PATIENCE), MAX_FIELD)


def call(where: Address, form: Form) -> Iterator[str]:
    """Call a function of rpc."""
    args, kwargs = arguments_in(field(form, "arguments"))
    with rpc.RPCProxy(where, authkey(), PATIENCE) as proxy:
        try:
            yield brief(proxy.call(field(form, "function"), *args, **kwargs), MAX_FIELD)
        except Exception as error:
            notes = getattr(error, "__notes__", ())
            if not notes:  # nothing that the server has raised
                raise
            yield f"{type(error).__name__}: {error}"
            for note in notes:
                yield from str(note).splitlines()


def arguments_in(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a call, written as in Python; BadField for what are none."""
    try:
        match ast.parse(f"f({text}\n)", mode="eval").body:
            # One call, with nothing after it.
            case ast.Call(ast.Name(), args, keywords) if all(each.arg for each in keywords):
                named = {str(each.arg): evaluated(each.value) for each in keywords}
                return [evaluated(each) for each in args], named
    except NOT_ONE:
        pass
    raise BadField(
        f"arguments has value {text[:60]!r}. Not Python literals, such as 2, 3 or y=2, x='a'"
    )


EXCHANGES: dict[str, Callable[[Address, Form], Iterator[str]]] = {
    "tcp-echo": echo_text,
    "udp-time": ask_time,
    "rest": request,
    "kv": store,
    "object-echo": echo_object,
    "rpc": call,
    "httpbin": request,
}


def attempt(service: str, form: Form) -> Outcome:
    """Make an exchange; whatever goes wrong is part of what comes of it."""
    relay = Relay(address(RELAY), PATIENCE)
    try:
        with answering():
            first = int(relay.metrics()[RECORDED]) + 1
    except NoRelay as error:
        return Outcome(0.0, problem=f"relay: {error}")
    answer: list[str] = []
    problem = ""
    started = time.perf_counter()
    try:
        answer.extend(EXCHANGES[service](through_relay(service), form))
    except BadField as error:
        return Outcome(0.0, problem=line(str(error), MAX_FIELD))
    except (Exception, SettingError) as error:  # noqa: BLE001 - that is what is shown
        problem = line(f"{type(error).__name__}: {error}", MAX_FIELD)
    seconds = time.perf_counter() - started
    visible = tuple(line(each, MAX_FIELD) for each in answer)
    return Outcome(seconds, visible, problem, picture(relay, service, first))


def picture(relay: Relay, service: str, first: int) -> Picture | None:
    """Return the picture of our connection to a proxy, the first one from a record on.

    One exchange with a service is made at a time, so it is the one that comes from our address.
    """
    deadline = time.monotonic() + ENDED_SECONDS
    found = None
    with suppress(NoRelay), answering():
        ours = our_address(relay)
        while time.monotonic() < deadline:
            conversations = Conversations()
            for record in islice(relay.journal(first), MAX_RECORDS):
                if record.proxy == service and record.client.rpartition(":")[0] == ours:
                    conversations.add(record)
            found = next(iter(conversations), None)
            if found and (found.closed or found.protocol == "udp"):  # which has no end
                break
            time.sleep(POLL_SECONDS)
    return drawn(found, "try-") if found else None


def our_address(relay: Relay) -> str:
    """Return the address that the relay sees us by, as it stands in a record."""
    with closing(HTTPConnection(*relay.address, timeout=PATIENCE)) as connection:
        connection.connect()
        return addresses.bracketed(addresses.unmapped(connection.sock.getsockname()[0]))


def shown(text: str) -> list[str]:
    """Return a text as visible lines."""
    return lines(text, MAX_LINES, MAX_COLUMNS)
