"""kv: hostile bodies."""

import gzip
import http.client
import re
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any
from xml.parsers.expat import ExpatError

import pytest

from clients import kv
from clients.addresses import Address
from services.kv.faults import Kind
from tests.hostile.reliability import Row
from tests.hostile.well_behaved import well_behaved
from tests.support.clients import http_answer
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR, within
from tests.support.processes import Server, running
from tests.support.sockets import connect

MIB = 1024 * 1024
SECONDS = 1.0  # within which each body is answered
GROWTH = 20 * MIB  # of the server's memory, by all of them together
PATIENCE = 2.0  # seconds for the naive variant
MUTATIONS = 5000
NAIVE = 200  # of them for the naive variant

GUNICORN, SINGLE = DRIVERS["kv"]

STRIPPED = re.compile(rb"<(methodName|boolean)>\s*([^<]*?)\s*</\1>")
INTERNALS = re.compile(r"Traceback|<class|Error|xmlrpc|services\.|sqlite|\.py|root:")


def request(body: bytes, length: int | None = -1, **headers: str) -> bytes:
    """Return a request, with the length of its body, another one, or none."""
    if length is not None:
        headers["Content-Length"] = str(len(body) if length == -1 else length)
    headers.setdefault("Content-Type", "text/xml")
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"POST / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode() + body


def setting(value: str | bytes, name: str = "harm", head: str = "") -> bytes:
    """Return a call that is to set a name to a value given as XML."""
    value = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return (
        f"{head}<methodCall><methodName>set</methodName><params><param><value>{name}</value>"
        "</param><param>"
    ).encode() + b"%b</param></params></methodCall>" % value


def array(value: str, count: int) -> str:
    """Return an array of so many equal values, as XML."""
    return f"<value><array><data>{value * count}</data></array></value>"


def typed(kind: str, text: str) -> bytes:
    """Return a request that is to set a name to a value of a type."""
    return request(setting(f"<value><{kind}>{text}</{kind}></value>"))


def nested(start: str, end: str, count: int) -> bytes:
    """Return a request whose value is so many elements within one another."""
    return request(setting(start * count + end * count))


BOMB = '<!DOCTYPE x [<!ENTITY a "harm, harm">' + "".join(
    f'<!ENTITY {name} "{10 * f"&{of};"}">' for of, name in pairwise("abcdefghij")
)
QUADRATIC = f'<!DOCTYPE x [<!ENTITY a "{"harm" * 25_000}">]>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
CALL = "<value><struct><member><name>methodName</name><value>keys</value></member></struct></value>"
MULTICALL = (
    "<methodCall><methodName>system.multicall</methodName><params><param>{}</param></params>"
    "</methodCall>"
)
TWICE = "<member><name>a</name><value>1</value></member>" * 2
VALID = setting("<value>x</value>")
RETURNS = "\r" * 1_000_000
ATTRIBUTES = " ".join(f"a{number:x}=''" for number in range(100_000))

# What is sent, and how it is to be refused: with a fault code, or a status of HTTP.
BODIES: dict[str, tuple[bytes, int]] = {
    "entity bomb": (request(setting("<value>&j;</value>", head=f"{BOMB}]>")), -32600),
    "quadratic bomb": (request(setting(f"<value>{'&a;' * 1000}</value>", head=QUADRATIC)), -32600),
    "external entity": (request(setting("<value>&a;</value>", head=FILE)), -32600),
    "gzip": (request(gzip.compress(VALID), Content_Encoding="gzip"), 415),
    "gzip bomb": (request(gzip.compress(bytes(100 * MIB)), Content_Encoding="gzip"), 415),
    "gzip unsaid": (request(gzip.compress(VALID)), -32700),
    "length of -1": (request(VALID, Content_Length="-1", length=None), 400),
    "no length": (request(VALID, length=None), 411),
    "length too small": (request(VALID, len(VALID) - 20), -32700),
    "length of 1 GB": (request(VALID, 10**9), 413),
    "100,000 elements nested": (nested("<a>", "</a>", 100_000), -32600),
    "100,000 arrays nested": (nested("<value><array><data>", "</data></array></value>", 100_000),
        413),
    "22,000 arrays nested": (nested("<value><array><data>", "</data></array></value>", 22_000),
        -32602),
    "multicall of 10,000": (request(MULTICALL.format(array(CALL, 10_000)).encode()), -32602),
    "multicall of 501": (request(MULTICALL.format(array(CALL, 501)).encode()), -32602),
    "130,000 values": (request(setting(array("<value/>", 130_000))), -32602),
    "100,000 attributes": (request(setting(f"<value {ATTRIBUTES}/>")), -32602),
    "text in 4,000 elements": (
        request(
            b"<methodCall>%b%b%b</methodCall>"
            % (b"<params>" * 4000, b"x\n" * 400_000, b"</params>" * 4000)
        ),
        -32600,
    ),
    "1,000,000 line ends": (request(setting(f"<value>{RETURNS}</value>")), -32602),
    "900,000 digits and an x": (typed("double", "1" * 900_000 + "x"), -32600),
    "900,000 blanks in base64": (typed("base64", "A" + " " * 900_000 + "!"), -32600),
    "int of 2**31": (typed("int", str(2**31)), -32602),
    "int of 5,000 digits": (typed("int", "9" * 5000), -32602),
    "float of nan": (typed("float", "nan"), -32600),
    "NUL": (request(setting("<value>\0</value>")), -32700),
    "reference to NUL": (request(setting("<value>&#0;</value>")), -32700),
    "lone surrogate": (request(setting("<value>\ud800</value>")), -32700),
    "reference to one": (request(setting("<value>&#xD800;</value>")), -32700),
    "member twice": (request(setting(f"<value><struct>{TWICE}</struct></value>")), -32602),
    "name of 1,000,000": (request(setting("<value>x</value>", "n" * 1_000_000)), -32602),
    "method of 1,000,000": (request(VALID.replace(b"set", b"s" * 1_000_000)), -32601),
    "element of 1,000,000": (request(setting(f"<{'e' * 1_000_000}/>")), -32602),
}  # fmt: skip


@dataclass
class Outcome:
    """What became of a hostile request, and of the client that came next; times are in seconds."""

    code: int | None  # the fault or the status; None for a value
    text: str
    took: float
    next_took: float

    def __str__(self) -> str:
        return f"{self.code or 'taken'} in {1000 * self.took:.0f} ms"


def attack(address: Address, hostile: bytes, patience: float) -> Outcome:
    """Make a hostile request, and have another client ask for something while it is there."""
    began = time.monotonic()
    with connect(address, patience) as connection:
        connection.sendall(hostile)
        sent = time.monotonic()
        kv.health(address, patience)
        next_took = time.monotonic() - sent
        response, body = http_answer(connection)
    took = time.monotonic() - began
    if response.status != 200:
        return Outcome(response.status, body.decode(), took, next_took)
    try:
        xmlrpc.client.loads(body)
    except xmlrpc.client.Fault as fault:
        return Outcome(fault.faultCode, fault.faultString, took, next_took)
    return Outcome(None, "", took, next_took)


@pytest.fixture(scope="module")
def before(server: Server) -> int:
    """Return how much memory the store had before the first body, in bytes."""
    for check in kv.CHECKS:
        check.run(server.address)
    return server.memory


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run one store for all bodies."""
    with serving(GUNICORN) as server:
        kv.health(server.address, FAR)
        yield server


def against_naive(hostile: bytes) -> str:
    """Return what the stock server makes of a request, in a few words."""
    with running(SINGLE.command) as server:
        before = server.memory
        try:
            found = attack(server.address, hostile, PATIENCE)
        except (OSError, http.client.HTTPException):
            return f"nobody served for {PATIENCE:.0f} s"
        grown = server.memory - before
    names = re.search(r"<class '([\w.]+)'>", found.text)
    return (
        (f"{names[1]} named" if names else str(found))
        + (f", next client after {1000 * found.next_took:.0f} ms" if found.next_took > 0.05 else "")
        + (f", {grown / MIB:.0f} MiB more" if grown > MIB else "")
    )


@pytest.mark.parametrize(("hostile", "code"), BODIES.values(), ids=BODIES)
def test_hostile_body(
    measured: Row, server: Server, before: int, hostile: bytes, code: int
) -> None:
    """A hostile body is refused, writes nothing, and keeps nobody waiting."""
    found = attack(server.address, hostile, FAR)
    measured.limit("refused within 1 s, 20 MiB for all, nothing written")
    measured.safe(f"{found}, next client after {1000 * found.next_took:.0f} ms")
    measured.naive("single", against_naive(hostile))
    assert found.code == code
    assert not INTERNALS.search(found.text)
    assert within(max(found.took, found.next_took), SECONDS)
    assert server.memory - before <= GROWTH
    with kv.proxy(server.address) as store:
        assert store.keys() == []


VALUES: list[Any] = [
    None,
    2**31 - 1,
    -1.5e300,
    True,
    "Zoë & <b> 😀",
    xmlrpc.client.Binary(bytes(range(60))),
    xmlrpc.client.DateTime("20121221T12:00:00"),
    [1, [2, ["three", []]], {}],
    {"a": {"b": [None]}, "": 0},
]
TOKENS = [
    b"<", b">", b"&", b"&#0;", b"&#xD800;", b"&#13;", b"&x;", b"]]>", b"<![CDATA[", b"<!--", b"\0",
    b"\xff", b"\xed\xa0\x80", b"<nil/>", b"<value>", b"</value>", b"<array><data>", b"<struct>",
    b"<member>", b"<i8>9</i8>", b"<params>", b"</params>", b"<fault>", b"99999999999", b"1_0",
    b"<!DOCTYPE x>", b"<?xml version='1.0' encoding='utf-16'?>", b"<methodCall>", b" ",
]  # fmt: skip


def valid_bodies() -> list[bytes]:
    """Return calls that are as they should be."""
    calls: list[tuple[str, tuple[Any, ...]]] = [
        call
        for number, value in enumerate(VALUES)
        for call in (
            ("set", (f"name {number}", value)),
            ("compare_and_set", (f"name {number}", None, value)),
        )
    ]
    calls += [("get", ("name 1",)), ("delete", ("name 2",)), ("exists", ("x",)), ("keys", ())]
    return [xmlrpc.client.dumps(args, name, allow_none=True).encode() for name, args in calls]


def mutated(random: Random, bodies: list[bytes]) -> bytes:
    """Return one of the bodies with up to three things wrong with it."""
    body = bytearray(random.choice(bodies))
    for _ in range(random.choice([1, 1, 2, 3])):
        place, other = random.randrange(len(body) + 1), random.randrange(len(body) + 1)
        piece = body[place : place + random.randint(1, 40)]
        match random.randrange(6):
            case 0 if place < len(body):
                body[place] = random.choice([body[place] ^ 1 << random.randrange(8), 0, 0xFF])
            case 1:
                del body[place : place + len(piece)]
            case 2:
                body[other:other] = piece
            case 3:
                body[place:place] = random.choice(TOKENS)
            case 4:
                body[place : place + len(piece)] = random.choice(TOKENS)
            case 5 if random.random() < 0.1:
                del body[place:]
    return bytes(body)


class Exchange:
    """A connection for one body after the other."""

    def __init__(self, address: Address, stack: ExitStack) -> None:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=FAR)
        self._connection = stack.enter_context(closing(connection))
        self.slowest = 0.0

    def __call__(self, body: bytes) -> Any:
        """Return the value that a body is answered with; raises xmlrpc.client.Fault for a fault."""
        began = time.monotonic()
        self._connection.request("POST", "/", body, {"Content-Type": "text/xml"})
        response = self._connection.getresponse()
        answer = response.read()
        self.slowest = max(self.slowest, time.monotonic() - began)
        assert response.status == 200
        (value,), _ = xmlrpc.client.loads(answer)
        return value


def carried_out(kept: dict[str, Any], body: bytes, answer: Any) -> None:
    """Do to `kept` what a store did that has carried out a call: CR apart, as the library reads.

    It does not read a boolean with blanks around it, and takes those around a method for its name.
    """
    arguments, method = xmlrpc.client.loads(STRIPPED.sub(rb"<\1>\2</\1>", body))
    if method == "set" or (method == "compare_and_set" and answer):
        kept[str(arguments[0])] = arguments[-1]
    elif method == "delete":
        del kept[str(arguments[0])]


@pytest.mark.soak
def test_mutated_bodies(measured: Row, server: Server, before: int, seed: int, soak: float) -> None:
    """Of 5,000 calls with mistakes in them each has its fault, or is carried out as it stands."""
    random = Random(seed)  # noqa: S311 - to be repeated
    bodies = [mutated(random, valid_bodies()) for _ in range(MUTATIONS + int(3_000 * soak))]
    kept: dict[str, Any] = {}
    faults: Counter[int] = Counter()
    texts: list[str] = []
    with ExitStack() as stack, well_behaved("kv", server.address) as clients:
        send = Exchange(server.address, stack)
        for body in bodies:
            try:
                answer = send(body)
            except xmlrpc.client.Fault as fault:
                faults[fault.faultCode] += 1
                texts.append(fault.faultString)
            else:
                carried_out(kept, body, answer)
    growth = server.memory - before
    with kv.proxy(server.address) as store:
        names: Any = store.keys()
        found = {name: store.get(name) for name in names if not name.startswith("client-")}
        for name in names:
            store.delete(name)
    named = sum(bool(re.search("<class", text)) for text in naive_texts(bodies[:NAIVE]))
    taken = len(bodies) - faults.total()
    measured.limit("a documented fault within 1 s, 20 MiB, exactly what is valid is written")
    measured.safe(
        f"{faults.total()} faults, {taken} valid, at most {1000 * send.slowest:.0f} ms,"
        f" {growth / MIB:.1f} MiB; {clients.outcome}"
    )
    measured.naive("single", f"a Python class named in {named} of {NAIVE} answers")
    assert faults.keys() <= set(Kind) - {Kind.STORAGE_FAILED, Kind.INTERNAL_ERROR}
    assert [text for text in texts if INTERNALS.search(text)] == []
    assert within(send.slowest, SECONDS)
    assert growth <= GROWTH
    assert found == kept
    assert not clients.outcome.harmed
    assert named


def naive_texts(bodies: list[bytes]) -> Iterator[str]:
    """Yield the texts of the stock server's faults."""
    with running(SINGLE.command) as server:
        for body in bodies:
            with ExitStack() as stack:
                try:
                    Exchange(server.address, stack)(body)
                except xmlrpc.client.Fault as fault:
                    yield fault.faultString
                except (ExpatError, http.client.HTTPException):
                    yield ""  # an answer that is no XML
