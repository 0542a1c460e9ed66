"""The recipes' clients, with nothing but the standard library of each Python that is found here."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from clients.addresses import Address
from tests.support.drivers import Driver, drivers, safe
from tests.support.pace import FAR, until
from tests.support.processes import running

VERSIONS = ("3.11", "3.12", "3.13")  # the last with an MD5 handshake, the first with SHA-256

TCP_ECHO = """
import sys
from socket import socket, AF_INET, SOCK_STREAM

s = socket(AF_INET, SOCK_STREAM)
s.connect(("localhost", int(sys.argv[1])))
print(s.send(b"Hello"))
print(s.recv(8192))
"""
TCP_ECHO_PRINTS = """\
5
b'Hello'
"""

UDP_TIME = """
import sys
from socket import socket, AF_INET, SOCK_DGRAM

s = socket(AF_INET, SOCK_DGRAM)
print(s.sendto(b"", ("localhost", int(sys.argv[1]))))
print(s.recvfrom(8192))
"""
UDP_TIME_PRINTS = r"0\n\(b'\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}', \('127\.0\.0\.1', \d+\)\)\n"

OBJECT_ECHO = """
import os, sys
from multiprocessing.connection import Client

key = open(os.environ["WIRELAB_AUTHKEY_FILE"], "rb").read().strip()
c = Client(("localhost", int(sys.argv[1])), authkey=key)
c.send("hello")
print(repr(c.recv()))
c.send(42)
print(repr(c.recv()))
c.send([1, 2, 3, 4, 5])
print(repr(c.recv()))
c.send({"nested": [(1, {2}), None, b"x"]})
print(repr(c.recv()))
"""
OBJECT_ECHO_PRINTS = """\
'hello'
42
[1, 2, 3, 4, 5]
{'nested': [(1, {2}), None, b'x']}
"""

RPC = """
import os, pickle, sys
from multiprocessing.connection import Client

class RPCProxy:
    def __init__(self, connection):
        self.connection = connection

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.connection.send(pickle.dumps((name, args, kwargs)))
            result = pickle.loads(self.connection.recv())
            if isinstance(result, Exception):
                raise result
            return result
        return call

key = open(os.environ["WIRELAB_AUTHKEY_FILE"], "rb").read().strip()
proxy = RPCProxy(Client(("localhost", int(sys.argv[1])), authkey=key))
print(proxy.add(2, 3))
print(proxy.sub(2, 3))
try:
    proxy.sub([1, 2], 4)
except TypeError as error:
    print("TypeError:", error)
print(proxy.add(x=[1], y=[2]))
"""
RPC_PRINTS = """\
5
-1
TypeError: unsupported operand type(s) for -: 'list' and 'int'
[1, 2]
"""

KV_SESSION = """
import sys
from xmlrpc.client import ServerProxy

s = ServerProxy(f"http://localhost:{sys.argv[1]}", allow_none=True)
print(s.set("foo", "bar"))
print(s.set("spam", [1, 2, 3]))
print(s.keys())
print(repr(s.get("foo")))
print(s.get("spam"))
print(s.delete("spam"))
print(s.exists("spam"))
s.delete("foo")
"""
KV_PRINTS = """\
None
None
['foo', 'spam']
'bar'
[1, 2, 3]
None
False
"""

SESSIONS = {  # a program, and a pattern of what it prints
    "tcp-echo": (TCP_ECHO, re.escape(TCP_ECHO_PRINTS)),
    "udp-time": (UDP_TIME, UDP_TIME_PRINTS),
    "object-echo": (OBJECT_ECHO, re.escape(OBJECT_ECHO_PRINTS)),
    "rpc": (RPC, re.escape(RPC_PRINTS)),
    "kv": (KV_SESSION, re.escape(KV_PRINTS)),
}

OBJECTS = """
import enum, os, sys
from collections import OrderedDict
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from multiprocessing.connection import Client
from uuid import UUID

class Color(enum.Enum):
    RED = "red"

zone = timezone(timedelta(hours=5, minutes=30), "India")
values = [
    datetime(2020, 10, 25, 2, 30, fold=1), datetime.now(timezone.utc), datetime.now(zone),
    date.today(), time(1, 2, 3, 4, zone), timedelta(-1, 2, 3), timezone.utc, zone,
    Decimal("-1.20E+5"), UUID(int=5), 1 + 2j, bytearray(b"x"), OrderedDict(b=1, a=2), {1}, b"x",
    {number: None for number in range(30000)}, set(range(30000)),
]
key = open(os.environ["WIRELAB_AUTHKEY_FILE"], "rb").read().strip()
c = Client(("localhost", int(sys.argv[1])), authkey=key)
for value in values:
    c.send(value)
    found = c.recv()
    assert (type(found), found, repr(found)) == (type(value), value, repr(value)), (value, found)
for value in (Color.RED, range(3), ValueError("x"), b"x" * 2**24):
    c.send(value)
    print(c.recv())
c.send("still here")
print(c.recv())
"""
OBJECTS_PRINT = """\
{'error': '__main__.Color is not plain data'}
{'error': 'builtins.range is not plain data'}
{'error': 'builtins.ValueError is not plain data'}
{'error': 'a message of 16777225 bytes was sent; at most 16777216 are accepted'}
still here
"""

LARGE = (
    RPC.partition("print(proxy.add")[0]
    + """
try:
    proxy.echo(b"x" * 2**24)
except RuntimeError as error:
    print(error)
print(proxy.add(2, 3))
proxy.connection.send(("echo", (b"x" * 2**24,), {}))
print(proxy.connection.recv()[:3])
print(proxy.add(2, 3))
"""
)
LARGE_PRINTS = """\
MessageTooLarge: a message of {0} bytes was sent; at most 16777216 are accepted
5
(False, 'MessageTooLarge', ('a message of {1} bytes was sent; at most 16777216 are accepted',))
5
"""

WITHOUT_MD5 = """
import hmac, importlib, sys

def new(key, msg=None, digestmod="", *, real=hmac.new):
    if digestmod == "md5":
        raise ValueError("[digital envelope routines] unsupported")
    return real(key, msg, digestmod)

hmac.new = new
from services import runtime
runtime.main(importlib.import_module(sys.argv[1]).serve, default_port=0)
"""

WRONG_KEY = """
import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

try:
    Client(("localhost", int(sys.argv[1])), authkey=b"peekaboo")
except AuthenticationError as error:
    print(error)
"""
RIGHT_KEY = WRONG_KEY.replace(
    'b"peekaboo"', 'open(__import__("os").environ["WIRELAB_AUTHKEY_FILE"], "rb").read().strip()'
)
WRONG_KEY_PRINTS = "digest sent was rejected\n"


def candidates() -> Iterator[str]:
    """Yield where Pythons may be: this one, those on PATH, and those that pyenv has."""
    yield sys.executable
    for version in VERSIONS:
        if found := shutil.which(f"python{version}"):
            yield found
    if pyenv := shutil.which("pyenv"):
        asked = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False)
        for version in VERSIONS:
            pythons = Path(asked.stdout.strip(), "versions").glob(f"{version}*/bin/python3")
            yield from map(str, sorted(pythons))


def interpreters() -> dict[str, str]:
    """Return the Pythons that do run, by their version."""
    found: dict[str, str] = {}
    program = "import sys; print('Python {}.{}'.format(*sys.version_info))"
    for path in candidates():
        with suppress(OSError, subprocess.SubprocessError):
            asked = subprocess.run(
                [path, "-c", program], capture_output=True, text=True, check=True, timeout=10
            )
            found.setdefault(asked.stdout.strip(), path)
    return found


INTERPRETERS = interpreters()
each_python = pytest.mark.parametrize("python", INTERPRETERS.values(), ids=INTERPRETERS)


def each_driver(*services: str) -> pytest.MarkDecorator:
    """Have each driver of some services run, one after the other."""
    return pytest.mark.parametrize("driver", drivers(*services), ids=str, scope="module")


def output(python: str, program: str, address: Address) -> str:
    """Run a program that connects to `address` and return its output; it sees no other package."""
    result = subprocess.run(
        [python, "-I", "-c", program, str(address.port)],
        capture_output=True,
        text=True,
        timeout=FAR,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@each_python
@each_driver(*SESSIONS)
def test_the_session_prints_what_the_recipe_shows(
    python: str, driver: Driver, address: Address
) -> None:
    """The recipe's own client: the whole session, line by line."""
    program, prints = SESSIONS[driver.service]
    assert re.fullmatch(prints, output(python, program, address))


@each_python
@pytest.mark.parametrize("driver", safe("object-echo", "rpc"), ids=str, scope="module")
@pytest.mark.usefixtures("driver")
def test_the_key_of_the_recipe_does_not_open_the_server(python: str, address: Address) -> None:
    """It is printed for everyone to read."""
    assert output(python, WRONG_KEY, address) == WRONG_KEY_PRINTS


def test_this_python_is_among_those_tried() -> None:
    """Whatever else is installed."""
    assert "Python {}.{}".format(*sys.version_info) in INTERPRETERS


@each_python
@pytest.mark.parametrize("driver", safe("object-echo"), ids=str, scope="module")
@pytest.mark.usefixtures("driver")
def test_everyday_objects_come_back_and_others_are_named(python: str, address: Address) -> None:
    """On one connection: what is refused does not close it."""
    assert output(python, OBJECTS, address) == OBJECTS_PRINT


@each_python
@pytest.mark.parametrize("driver", safe("rpc"), ids=str, scope="module")
@pytest.mark.usefixtures("driver")
def test_a_call_that_is_too_large_raises_at_the_client(python: str, address: Address) -> None:
    """Whether it is pickled once, or twice as the recipe's; the connection goes on."""
    printed = output(python, LARGE, address)
    sizes = re.findall(r"a message of (\d+) bytes", printed)
    assert printed == LARGE_PRINTS.format(*sizes)
    assert all(2**24 < int(size) < 2**24 + 100 for size in sizes)


@each_python
@pytest.mark.parametrize("driver", safe("object-echo", "rpc"), ids=str, scope="module")
def test_without_md5_only_clients_that_know_nothing_else_are_refused(
    python: str, driver: Driver
) -> None:
    """Those of Python 3.11; the handshake of 3.12 and newer is one with SHA-256."""
    module = f"services.{driver.service.replace('-', '_')}.{driver.name}"
    program, prints = SESSIONS[driver.service]
    with running(["python", "-c", WITHOUT_MD5, module]) as server:
        if INTERPRETERS.get("Python 3.11") == python:
            assert output(python, RIGHT_KEY, server.address) == WRONG_KEY_PRINTS
            until(lambda: "no md5 here" in server.log, "the log says why")
        else:
            assert re.fullmatch(prints, output(python, program, server.address))
