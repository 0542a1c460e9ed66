"""rest, httpbin and kv over HTTP."""

import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from clients.addresses import Address
from tests.helpers import resident, rest_of, until
from tests.hostile.crowd import MUTE, Crowd, Form
from tests.hostile.good import good_clients
from tests.hostile.reliability import Row
from tests.processes import Server, running

MIB = 1024 * 1024
MANY = 2000
FEW = 64
SECONDS = 3  # that a request may take here, to have the tests shorter; by default it is 10
IDLE_SECONDS = 5  # that a connection may be idle, as gunicorn_settings.py has it
SWEEP_SECONDS = 1.0  # by which a server may be late to notice
KERNEL = 5  # connections that there is room for beside the one that wsgiref serves

APPLICATION = {"rest": "services.rest.app:application", "httpbin": "httpbin:app"}
UPLOAD = {"rest": b"/files", "httpbin": b"/post", "kv": b"/RPC2"}
# Requests with answers of more than the kernel holds.
LARGE = {
    "rest": b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 12005\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nname=" + 12_000 * b'"',
    "httpbin": b"POST /anything HTTP/1.1\r\nHost: x\r\nContent-Length: 24000\r\n\r\n"
    + 24_000 * b"\1",
}

each_wsgi_service = pytest.mark.parametrize("service", ["rest", "httpbin"])
each_service = pytest.mark.parametrize("service", ["rest", "httpbin", "kv"])


@contextmanager
def default(service: str, folder: Path, **environment: str) -> Iterator[Server]:
    """Run the default server of a service."""
    command = ["gunicorn", "-c", f"services/{service}/gunicorn.conf.py"]
    file = str(folder / "kv.sqlite3")
    with running(command, WIRELAB_KV_FILE=file, **environment) as server:
        until(lambda: psutil.Process(server.process.pid).children())
        yield server
        assert "Traceback" not in "".join(server.log)


@contextmanager
def bare_gunicorn(service: str) -> Iterator[Server]:
    """Run the application of a service under gunicorn as it comes, with eight threads."""
    options = ["--bind=127.0.0.1:0", "--worker-class=gthread", "--threads=8"]
    with running(["gunicorn", *options, "--no-control-socket", APPLICATION[service]]) as server:
        yield server


@contextmanager
def single(service: str) -> Iterator[Server]:
    """Run the variant of a service that serves one connection after the other."""
    with running(["python", "-m", f"services.{service}.single"]) as server:
        yield server


def worker(server: Server) -> int:
    """Return the process that serves, of gunicorn's two."""
    (found,) = psutil.Process(server.process.pid).children()
    return found.pid


def slow_forms(service: str) -> tuple[Form, ...]:
    """Return the ways of being slow: mute, half a head, half a body, most of a body at once."""
    head = b"POST " + UPLOAD[service] + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    return (
        MUTE,
        Form(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"x"),
        Form(head % 1000, b"x"),
        Form(head % 100_000 + bytes(20 * 1024), b"x"),
    )


@each_wsgi_service
def test_slow_clients(measured: Row, service: str, tmp_path: Path) -> None:
    """2,000 clients that are mute, or drip a head or a body, keep nobody waiting."""
    forms = slow_forms(service)
    with default(service, tmp_path, WIRELAB_SILENCE_TIMEOUT=str(SECONDS)) as server:
        process = worker(server)
        before = resident(process)
        with (
            good_clients(service, server.address) as good,
            Crowd(server.address, MANY, *forms) as crowd,
        ):
            until(lambda: crowd.opened >= MANY, 20)
            with Crowd(server.address, FEW, *forms, again=False) as once:
                until(lambda: len(once.cut) == FEW, 20)
            growth = resident(process) - before
            refused = crowd.refused + once.refused
        with Crowd(server.address, MANY, *forms) as crowd:
            until(lambda: crowd.opened >= MANY, 20)
            began = time.monotonic()
            assert server.stop(2.0) == 0
            stopped = time.monotonic() - began
    last = max(once.cut)
    measured.limit(
        f"100 %, p99 at most 500 ms; cut {SECONDS} s after the first byte of a request, or"
        f" {IDLE_SECONDS} s without any; stops within 2 s"
    )
    measured.default(
        f"{good.outcome}; the last was cut after {last:.1f} s; {growth / MIB:.0f} MiB;"
        f" stopped within {stopped:.1f} s"
    )
    assert refused == 0
    assert good.outcome.all_well, good.outcome.failures
    assert good.outcome.p99 <= 0.5
    assert SECONDS < last <= IDLE_SECONDS + SWEEP_SECONDS

    naive = [bare_gunicorn, single] if service == "rest" else [bare_gunicorn]
    for serving in naive:
        with serving(service) as server, Crowd(server.address, FEW, *forms[1:]) as crowd:
            until(lambda crowd=crowd: crowd.here >= KERNEL)  # type: ignore[misc]
            with good_clients(service, server.address, late=2) as good:
                time.sleep(2.5)
        measured.naive(f"{serving.__name__} and {FEW} of them", good.outcome)
        assert not good.outcome.all_well


@each_wsgi_service
def test_slow_readers(measured: Row, service: str, tmp_path: Path) -> None:
    """2,000 clients that ask for much and take nothing of it keep nobody waiting."""
    with (
        default(service, tmp_path, WIRELAB_SILENCE_TIMEOUT=str(SECONDS)) as server,
        ExitStack() as stack,
    ):
        process = worker(server)
        before = most = resident(process)
        with good_clients(service, server.address) as good:
            for number in range(MANY):
                narrow(server.address, stack).sendall(LARGE[service])
                if number % 30 == 0:
                    most = max(most, resident(process))
                    time.sleep(0.1)  # else this would be a test of 2,000 requests at once
            until(lambda: connections(process) < 100, 20)
        growth = most - before
    measured.limit("100 %, p99 at most 500 ms, at most 40 MiB")
    measured.default(f"{good.outcome}; {growth / MIB:.0f} MiB")
    assert good.outcome.all_well, good.outcome.failures
    assert good.outcome.p99 <= 0.5
    assert growth <= 40 * MIB

    if service == "rest":
        with bare_gunicorn(service) as server, ExitStack() as stack:
            for _ in range(FEW):
                narrow(server.address, stack).sendall(30 * LARGE[service])
            with good_clients(service, server.address, late=2) as good:
                time.sleep(2.5)
        measured.naive(f"bare_gunicorn and {FEW} of them", good.outcome)
        assert not good.outcome.all_well


def narrow(address: Address, stack: ExitStack) -> socket.socket:
    """Connect with as little room for what is received as there can be."""
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.settimeout(10)
    client.connect(address)
    return client


def connections(process: int) -> int:
    """Return about how many connections a process has, by its descriptors."""
    return psutil.Process(process).num_fds()


def upload(address: Address, head: bytes, parts: Iterator[bytes]) -> tuple[bytes, float]:
    """Send a head and `parts`, all of them if that is possible; return the answer.

    And after how many seconds it was there.
    """
    with socket.create_connection(address, 20) as client:
        began = time.monotonic()
        client.sendall(head)
        poll = select.poll()
        poll.register(client, select.POLLIN)
        early = 0.0
        with suppress(ConnectionError):
            for part in parts:
                client.sendall(part)
                if not early and poll.poll(0):
                    early = time.monotonic() - began
        return rest_of(client), early or time.monotonic() - began


@each_service
def test_huge_bodies(measured: Row, service: str, tmp_path: Path) -> None:
    """Bodies of 200 MiB, by length and in chunks, three of each at once, are refused early."""
    size = 200 * MIB
    start = b"POST " + UPLOAD[service] + b" HTTP/1.1\r\nHost: x\r\n"
    part = bytes(MIB // 16)
    chunk = b"%x\r\n%b\r\n" % (len(part), part)
    by_length = start + b"Content-Length: %d\r\n\r\n" % size, part
    in_chunks = start + b"Transfer-Encoding: chunked\r\n\r\n", chunk

    def send(form: tuple[bytes, bytes]) -> tuple[bytes, float]:
        return upload(server.address, form[0], (form[1] for _ in range(size // len(part))))

    with default(service, tmp_path) as server:
        process = worker(server)
        before = most = resident(process)
        with (
            good_clients(service, server.address) as good,
            ThreadPoolExecutor(6) as threads,
        ):
            senders = [threads.submit(send, form) for form in 3 * [by_length, in_chunks]]
            while not all(sender.done() for sender in senders):
                most = max(most, resident(process))
                time.sleep(0.01)
        answers = [sender.result()[0] for sender in senders]
        slowest = max(sender.result()[1] for sender in senders)
    growth = most - before
    statuses = [answer[9:12].decode() for answer in answers]
    wanted = 3 * (["413", "411"] if service == "kv" else ["413", "413"])
    measured.limit("413 (411 for chunks to kv), which the sender gets; growth at most 20 MiB")
    measured.default(
        f"{sum(map(str.__eq__, statuses, wanted))} of 6 refused, the last after {slowest:.1f} s;"
        f" {growth / MIB:.0f} MiB; {good.outcome}"
    )
    assert statuses == wanted
    assert growth <= 20 * MIB
    assert good.outcome.all_well, good.outcome.failures

    if service == "httpbin":  # it has no limit of its own
        with bare_gunicorn(service) as server:
            process = worker(server)
            before = most = resident(process)
            little = 5 * MIB
            with ThreadPoolExecutor(1) as threads:
                head = start + b"Content-Length: %d\r\n\r\n" % little
                parts = (part for _ in range(little // len(part)))
                sender = threads.submit(upload, server.address, head, parts)
                while not sender.done():
                    most = max(most, resident(process))
                    time.sleep(0.01)
        measured.naive("bare_gunicorn and one of 5 MiB", f"{(most - before) / MIB:.0f} MiB")
        assert most - before > 20 * MIB


def unfold(service: str, server: Server) -> int:
    """Send 16 bodies of a MiB that are many times that in memory; return the most that was used."""
    head, body = LARGE[service].split(b"\r\n\r\n")
    head = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % MIB, head)
    whole = head + b"\r\n\r\n" + body.ljust(MIB, body[-1:])
    most = 0
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(server.address)) for _ in range(16)]
        waiting = select.poll()
        for client in clients:
            client.sendall(whole)
            waiting.register(client, select.POLLIN)
        deadline = time.monotonic() + 4
        while len(waiting.poll(0)) < len(clients) and time.monotonic() < deadline:
            most = max(most, resident(worker(server)))
            time.sleep(0.01)
    return most


def test_unfolding_bodies(measured: Row, tmp_path: Path) -> None:
    """16 bodies of 1 MiB at once, which httpbin makes many times that of, fit into memory."""
    service = "httpbin"
    with default(service, tmp_path) as server, good_clients(service, server.address) as good:
        most = unfold(service, server)
    measured.limit("at most 110 MiB; 100 %")
    measured.default(f"{most / MIB:.0f} MiB; {good.outcome}")
    assert good.outcome.all_well, good.outcome.failures
    assert most <= 110 * MIB

    with bare_gunicorn(service) as server:
        most = unfold(service, server)
    measured.naive("bare_gunicorn", f"{most / MIB:.0f} MiB")
    assert most > 110 * MIB


BEHIND = b"GET /behind HTTP/1.1\r\nHost: x\r\n\r\n"
HOST = b"Host: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BEHIND)


def smuggled(fields: bytes, body: bytes = BEHIND, start: bytes = b"") -> bytes:
    """Return a request with these fields, and what follows it."""
    return (start or b"POST %b HTTP/1.1\r\n") + fields + b"\r\n" + body


# Each is read in two ways by programs that were or are in use: for the one, what is behind it is
# its body, or a part of it, and for the other the next request.
SMUGGLED = {
    "length and chunks": smuggled(HOST + LENGTH + CHUNKED, b"0\r\n\r\n" + BEHIND),
    "chunks and length": smuggled(HOST + CHUNKED + LENGTH, b"0\r\n\r\n" + BEHIND),
    "two lengths": smuggled(HOST + b"Content-Length: 0\r\n" + LENGTH),
    "two equal lengths": smuggled(HOST + b"Content-Length: 0\r\nContent-Length: 0\r\n"),
    "a list of lengths": smuggled(HOST + b"Content-Length: 0, 0\r\n"),
    "a signed length": smuggled(HOST + b"Content-Length: +0\r\n"),
    "a negative length": smuggled(HOST + b"Content-Length: -1\r\n"),
    "a length in hexadecimal": smuggled(HOST + b"Content-Length: 0x0\r\n"),
    "a length with an underscore": smuggled(HOST + b"Content-Length: 0_0\r\n"),
    "an empty length": smuggled(HOST + b"Content-Length:\r\n"),
    "another coding": smuggled(HOST + b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + BEHIND),
    "two codings": smuggled(HOST + b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n" + BEHIND),
    "identity": smuggled(HOST + b"Transfer-Encoding: identity\r\n" + LENGTH),
    "chunked twice": smuggled(HOST + CHUNKED + CHUNKED, b"0\r\n\r\n" + BEHIND),
    "chunks in HTTP/1.0": smuggled(
        HOST + CHUNKED + b"Connection: keep-alive\r\n",
        b"0\r\n\r\n" + BEHIND,
        b"POST %b HTTP/1.0\r\n",
    ),
    "a blank before a colon": smuggled(HOST + b"Content-Length : 0\r\n"),
    "a tab before a colon": smuggled(
        HOST + b"Transfer-Encoding\t: chunked\r\n", b"0\r\n\r\n" + BEHIND
    ),
    "a folded line": smuggled(HOST + b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n" + BEHIND),
    "a blank before the first field": smuggled(b" " + LENGTH + HOST),
    "bare line feeds": smuggled(HOST + b"X: y\n" + LENGTH),
    "a head of bare line feeds": b"POST %b HTTP/1.1\nHost: x\nContent-Length: 0\n\n" + BEHIND,
    "a bare carriage return": smuggled(HOST + b"X: y\r" + CHUNKED, b"0\r\n\r\n" + BEHIND),
    "a NUL in a name": smuggled(HOST + b"Content-Length\0: 0\r\n"),
    "a NUL in a value": smuggled(HOST + b"Content-Length: 0\0\r\n"),
    "a vertical tab": smuggled(HOST + b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n" + BEHIND),
    "no host": smuggled(b"Content-Length: 0\r\n"),
    "two hosts": smuggled(HOST + b"Host: y\r\nContent-Length: 0\r\n"),
    "a host with a path": smuggled(b"Host: x/y\r\nContent-Length: 0\r\n"),
    "another host in the target": smuggled(
        HOST + b"Content-Length: 0\r\n", start=b"POST http://y%b HTTP/1.1\r\n"
    ),
    "a third word in the first line": smuggled(
        HOST + b"Content-Length: 0\r\n", start=b"POST %b HTTP/1.1 HTTP/1.1\r\n"
    ),
}
# These are of the chunks, which kv refuses altogether.
SMUGGLED_IN_CHUNKS = {
    what: smuggled(HOST + CHUNKED, body + BEHIND)
    for what, body in {
        "a signed size": b"+0\r\n\r\n",
        "a negative size": b"-1\r\n\r\n",
        "a size with 0x": b"0x0\r\n\r\n",
        "a size with an underscore": b"0_0\r\n\r\n",
        "a blank before a size": b" 0\r\n\r\n",
        "a blank after a size": b"0 \r\n\r\n",
        "a size of many digits": b"0000000000000000000000\r\n\r\n",
        "a size that wraps around": b"10000000000000000\r\n\r\n",
        "a line feed after a size": b"1\nx\r\n0\r\n\r\n",
        "a line feed in an extension": b"1;a\nb\r\nx\r\n0\r\n\r\n",
        "a chunk without its line end": b"1\r\nx0\r\n\r\n",
        "a chunk longer than its size": b"1\r\nxy\r\n0\r\n\r\n",
        "a line feed after a chunk": b"1\r\nx\n0\r\n\r\n",
        "a trailer that is no field": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    }.items()
}


def responses(address: Address, data: bytes) -> list[str]:
    """Send `data`; return the status of each response, up to the end of the connection.

    The last is "open" where the server does not close it.
    """
    with socket.create_connection(address, 5) as client:
        client.sendall(data)
        client.settimeout(1)
        received = b""
        found = []
        try:
            while more := client.recv(64 * 1024):
                received += more
        except TimeoutError:
            found = ["open"]
        except ConnectionError:
            pass
        return [status.decode() for status in re.findall(rb"HTTP/1\.1 (\d+) ", received)] + found


def refused(address: Address, service: str) -> dict[str, list[str]]:
    """Send each form of a smuggled request; return what does not get one refusal, and no more."""
    forms = SMUGGLED | (SMUGGLED_IN_CHUNKS if service != "kv" else {})
    forms = {what: data.replace(b"%b", UPLOAD[service]) for what, data in forms.items()}
    found = {what: responses(address, data) for what, data in forms.items()}
    return {
        what: statuses
        for what, statuses in found.items()
        if len(statuses) != 1 or statuses[0] not in ("400", "411", "501")
    }


@each_service
def test_smuggling(measured: Row, service: str, tmp_path: Path) -> None:
    """Requests that two programs could read differently are refused, and the connection ends."""
    number = len(SMUGGLED) + (len(SMUGGLED_IN_CHUNKS) if service != "kv" else 0)
    with default(service, tmp_path) as server:
        taken = refused(server.address, service)
        plain = smuggled(HOST + LENGTH, b"x" * len(BEHIND) + BEHIND + BEHIND)
        followed = responses(server.address, plain.replace(b"%b", UPLOAD[service]))
    measured.limit("one refusal for all of it, in each form")
    measured.default(f"{number - len(taken)} of {number} forms refused")
    assert taken == {}
    # What is behind a request that can be read in one way only is the next one.
    assert followed[1:] == ["404"] if service == "kv" else followed[1:] == ["404", "404", "open"]

    if service == "rest":
        with bare_gunicorn(service) as server:
            taken = refused(server.address, service)
        measured.naive("bare_gunicorn", f"{number - len(taken)} of {number} forms refused")
        assert taken


@each_service
def test_reload(measured: Row, service: str, tmp_path: Path) -> None:
    """A server that is told to reload 20 times under load, by HUP, fails no request."""
    with default(service, tmp_path) as server:
        began = time.monotonic()
        with good_clients(service, server.address) as good:
            for _ in range(20):
                old = worker(server)
                os.kill(server.process.pid, signal.SIGHUP)
                until(lambda old=old: not psutil.pid_exists(old), 10)  # type: ignore[misc]
        took = time.monotonic() - began
    measured.limit("100 %")
    measured.default(f"{good.outcome}; 20 reloads in {took:.0f} s")
    assert good.outcome.all_well, good.outcome.failures
