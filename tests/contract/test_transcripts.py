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
from tests.processes import running

VERSIONS = ("3.11", "3.13")  # the last one with an MD5 handshake, and one with SHA-256

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
UDP_TIME_PRINTS = re.compile(
    r"0\n\(b'\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}', \('127\.0\.0\.1', \d+\)\)\n"
)

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

KV = {
    "gunicorn": ["gunicorn", "-c", "services/kv/gunicorn.conf.py"],
    "single": ["python", "-m", "services.kv.single"],
}
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

WRONG_KEY = """
import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

try:
    Client(("localhost", int(sys.argv[1])), authkey=b"peekaboo")
except AuthenticationError as error:
    print(error)
"""
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


@pytest.fixture(
    scope="module",
    params=["raw_loop", "single", "stream_handler", "threaded", "forked", "prethreaded", "evented"],
)
def tcp_echo(request: pytest.FixtureRequest) -> Iterator[Address]:
    """Run the TCP echo."""
    with running(["python", "-m", f"services.tcp_echo.{request.param}"]) as server:
        yield server.address


@pytest.fixture(scope="module", params=["raw_loop", "single", "threaded", "forked", "evented"])
def udp_time(request: pytest.FixtureRequest) -> Iterator[Address]:
    """Run the UDP time server."""
    with running(["python", "-m", f"services.udp_time.{request.param}"]) as server:
        yield server.address


@pytest.fixture(scope="module", params=["evented", "threaded"])
def object_echo(request: pytest.FixtureRequest, key_file: Path) -> Iterator[Address]:
    """Run the object echo."""
    assert key_file.exists()
    with running(["python", "-m", f"services.object_echo.{request.param}"]) as server:
        yield server.address


@pytest.fixture(scope="module", params=["evented", "threaded"])
def rpc(request: pytest.FixtureRequest, key_file: Path) -> Iterator[Address]:
    """Run the RPC server."""
    assert key_file.exists()
    with running(["python", "-m", f"services.rpc.{request.param}"]) as server:
        yield server.address


@pytest.fixture(scope="module", params=KV)
def kv(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Address]:
    """Run the key-value store."""
    file = tmp_path_factory.mktemp("kv") / "kv.sqlite3"
    with running(KV[request.param], WIRELAB_KV_FILE=str(file)) as server:
        yield server.address


def output(python: str, program: str, address: Address) -> str:
    """Run a program that connects to `address` and return its output; it sees no other package."""
    result = subprocess.run(
        [python, "-I", "-c", program, str(address.port)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@each_python
def test_the_tcp_echo_session(python: str, tcp_echo: Address) -> None:
    """Five bytes, and the same five."""
    assert output(python, TCP_ECHO, tcp_echo) == TCP_ECHO_PRINTS


@each_python
def test_the_udp_time_session(python: str, udp_time: Address) -> None:
    """An empty datagram, the time, and where it came from."""
    assert UDP_TIME_PRINTS.fullmatch(output(python, UDP_TIME, udp_time))


@each_python
def test_the_object_echo_session(python: str, object_echo: Address) -> None:
    """Each object that is sent is printed as it comes back."""
    assert output(python, OBJECT_ECHO, object_echo) == OBJECT_ECHO_PRINTS


@each_python
def test_the_rpc_session(python: str, rpc: Address) -> None:
    """With the proxy that pickles by itself; the exception is raised at the client."""
    assert output(python, RPC, rpc) == RPC_PRINTS


@each_python
def test_the_kv_session(python: str, kv: Address) -> None:
    """From an empty store to one name."""
    assert output(python, KV_SESSION, kv) == KV_PRINTS


@each_python
def test_the_key_of_the_recipe_does_not_open_the_object_echo(
    python: str, object_echo: Address
) -> None:
    """It is printed for everyone to read."""
    assert output(python, WRONG_KEY, object_echo) == WRONG_KEY_PRINTS


@each_python
def test_the_key_of_the_recipe_does_not_open_rpc(python: str, rpc: Address) -> None:
    """It is printed for everyone to read."""
    assert output(python, WRONG_KEY, rpc) == WRONG_KEY_PRINTS


def test_this_python_is_among_those_tried() -> None:
    """Whatever else is installed."""
    assert "Python {}.{}".format(*sys.version_info) in INTERPRETERS
