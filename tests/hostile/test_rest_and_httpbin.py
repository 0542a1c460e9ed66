"""rest, httpbin and kv over HTTP."""

import os
import re
import select
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from clients.addresses import Address
from tests.hostile.attackers import SILENT, Attackers, Behavior
from tests.hostile.reliability import Row
from tests.hostile.well_behaved import ALL_SERVED, well_behaved
from tests.support.drivers import Driver, attacked, safe, serving
from tests.support.pace import FAR, until, within
from tests.support.processes import SILENCE_TIMEOUT, STOP_SECONDS, Server
from tests.support.sockets import connect, rest_of

MIB = 1024 * 1024
MANY = 2000
FEW = 64
EXPANDED = 110 * MIB  # that 16 bodies of 1 MiB may take
SECONDS = 3  # that a request may take here, to have the tests shorter; by default it is 10
IDLE_SECONDS = 5  # that a connection may be idle, as gunicorn_settings.py has it
LATE_SECONDS = 1.0  # by which a server may be late to notice
KERNEL = 5  # connections that there is room for beside the one that wsgiref serves

APPLICATION = {"rest": "services.rest.app:application", "httpbin": "httpbin:app"}
UPLOAD = {"rest": b"/files", "httpbin": b"/post", "kv": b"/RPC2"}
# Requests with answers of more than the kernel buffers.
LARGE = {
    "rest": b"POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12005\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nname=" + 12_000 * b'"',
    "httpbin": b"POST /anything HTTP/1.1\r\nHost: localhost\r\nContent-Length: 24000\r\n\r\n"
    + 24_000 * b"\1",
}


def bare_gunicorn(service: str) -> Driver:
    """Return gunicorn with the worker and the settings that it comes with, and eight threads."""
    options = ("--bind=127.0.0.1:0", "--worker-class=gthread", "--threads=8")
    command = ("gunicorn", *options, "--no-control-socket", APPLICATION[service])
    return Driver(service, "bare gunicorn", command, naive=True)


WSGI = attacked("rest", "httpbin")
BARE = [bare_gunicorn("rest"), bare_gunicorn("httpbin")]


def slow_behaviors(service: str) -> tuple[Behavior, ...]:
    """Return how to be slow: silent, half a head, half a body, most of a body at once."""
    head = b"POST " + UPLOAD[service] + b" HTTP/1.1\r\nHost: [::1]\r\nContent-Length: %d\r\n\r\n"
    return (
        SILENT,
        Behavior(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"x"),
        Behavior(head % 1000, b"x"),
        Behavior(head % 100_000 + bytes(20 * 1024), b"x"),
    )


@pytest.mark.parametrize("driver", [*WSGI, *BARE], ids=str)
def test_slow_clients(measured: Row, driver: Driver) -> None:
    """2,000 clients that are silent, or send a head or a body slowly, keep nobody waiting."""
    behaviors = slow_behaviors(driver.service)
    count, late = (round(MANY * driver.scale), 10) if driver.safe else (FEW, 2)
    with serving(driver, **{SILENCE_TIMEOUT: str(SECONDS)}) as server:
        before = server.memory
        with (
            well_behaved(driver.service, server.address, late=late) as clients,
            Attackers(server.address, count, *behaviors) as attackers,
        ):
            if driver.safe:
                until(lambda: attackers.opened >= count, f"{count} connections")
                with Attackers(server.address, FEW, *behaviors, reconnect=False) as once:
                    until(lambda: len(once.closed) == FEW, "they are closed")
                growth = server.memory - before
            else:
                # More than the kernel queues, or one that the server has closed: it was accepted.
                until(lambda: attackers.closed or attackers.connected > KERNEL, "one is accepted")
                time.sleep(late + 0.5)
    if driver.safe:
        last = max(once.closed)
        measured.limit(
            f"{ALL_SERVED}; closed {SECONDS} s after the first byte of a request,"
            f" or {IDLE_SECONDS} s without any"
        )
        measured.safe(
            f"{clients.outcome}; the last was closed after {last:.1f} s; {growth / MIB:.0f} MiB"
        )
        assert not clients.outcome.harmed
        assert attackers.refused + once.refused == 0
        assert last > SECONDS
        assert within(last - IDLE_SECONDS, LATE_SECONDS)
    else:
        measured.naive(f"{driver.name} and {FEW} of them", clients.outcome)
        assert clients.outcome.failed


@pytest.mark.parametrize("driver", safe("rest", "httpbin"), ids=str)
def test_stop(measured: Row, driver: Driver) -> None:
    """A server with 2,000 clients that are silent or slow stops when it is told to."""
    count = round(MANY * driver.scale)
    with (
        serving(driver) as server,
        Attackers(server.address, count, *slow_behaviors(driver.service)) as attackers,
    ):
        until(lambda: attackers.opened >= count, f"{count} connections")
        began = time.monotonic()
        assert server.stop() == 0
        stopped = time.monotonic() - began
    measured.limit(f"within {STOP_SECONDS:.0f} s")
    measured.safe(f"within {stopped:.1f} s")


@pytest.mark.parametrize("driver", [*safe("rest", "httpbin"), BARE[0]], ids=str)
def test_slow_readers(measured: Row, driver: Driver) -> None:
    """2,000 clients that ask for much and read nothing of it keep nobody waiting."""
    request = LARGE[driver.service]
    with serving(driver, **{SILENCE_TIMEOUT: str(SECONDS)}) as server, ExitStack() as stack:
        before = most = server.memory
        late = 10 if driver.safe else 2
        with well_behaved(driver.service, server.address, late=late) as clients:
            if driver.safe:
                for number in range(round(MANY * driver.scale)):
                    narrow(server.address, stack).sendall(request)
                    if number % 30 == 0:
                        most = max(most, server.memory)
                        time.sleep(0.1)  # else this would be a test of 2,000 requests at once
                until(lambda: server.descriptors < 100, "they are closed")
            else:
                for _ in range(FEW):
                    narrow(server.address, stack).sendall(30 * request)
                time.sleep(late + 0.5)
        growth = most - before
    if driver.safe:
        measured.limit(f"{ALL_SERVED}; at most 40 MiB")
        measured.safe(f"{clients.outcome}; {growth / MIB:.0f} MiB")
        assert not clients.outcome.harmed
        assert growth <= 40 * MIB
    else:
        measured.naive(f"{driver.name} and {FEW} of them", clients.outcome)
        assert clients.outcome.failed


def narrow(address: Address, stack: ExitStack) -> socket.socket:
    """Connect with as little room for what is received as there can be."""
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.settimeout(FAR)
    client.connect(address)
    return client


def upload(address: Address, head: bytes, part: bytes, count: int) -> tuple[bytes, float]:
    """Send a head and `count` times `part`, all of them if that is possible; return the answer.

    And after how many seconds it was there.
    """
    with connect(address) as client:
        began = time.monotonic()
        client.sendall(head)
        poll = select.poll()
        poll.register(client, select.POLLIN)
        early = 0.0
        with suppress(ConnectionError):
            for _ in range(count):
                client.sendall(part)
                if not early and poll.poll(0):
                    early = time.monotonic() - began
        return rest_of(client), early or time.monotonic() - began


Body = tuple[bytes, bytes, int]  # a head, and a part of the body, and how many of these


def uploaded(server: Server, *bodies: Body) -> tuple[list[tuple[bytes, float]], int]:
    """Send bodies at once; return what `upload` does, and the growth of the server's memory."""
    worker = server.worker
    before = most = worker.memory_info().rss
    with ThreadPoolExecutor(len(bodies)) as threads:
        senders = [threads.submit(upload, server.address, *body) for body in bodies]
        while not all(sender.done() for sender in senders):
            most = max(most, worker.memory_info().rss)
            time.sleep(0.01)
    return [sender.result() for sender in senders], most - before


# httpbin has no limit of its own.
@pytest.mark.parametrize("driver", [*safe("rest", "httpbin", "kv"), BARE[1]], ids=str)
def test_huge_bodies(measured: Row, driver: Driver) -> None:
    """Bodies of 200 MiB, by length and in chunks, three of each at once, are refused early."""
    start = b"POST %b HTTP/1.1\r\n" % UPLOAD[driver.service] + HOST
    part = bytes(MIB // 16)

    def by_length(size: int) -> Body:
        return start + b"Content-Length: %d\r\n\r\n" % size, part, size // len(part)

    chunk = b"%x\r\n%b\r\n" % (len(part), part)
    in_chunks = start + b"Transfer-Encoding: chunked\r\n\r\n", chunk, 200 * MIB // len(part)
    if driver.naive:
        with serving(driver) as server:
            _, growth = uploaded(server, by_length(5 * MIB))
        measured.naive(f"{driver.name} and one of 5 MiB", f"{growth / MIB:.0f} MiB")
        assert growth > 20 * MIB
        return
    with serving(driver) as server, well_behaved(driver.service, server.address) as clients:
        answers, growth = uploaded(server, *3 * [by_length(200 * MIB), in_chunks])
    statuses = [answer[9:12].decode() for answer, _ in answers]
    wanted = 3 * (["413", "411"] if driver.service == "kv" else ["413", "413"])
    slowest = max(seconds for _, seconds in answers)
    measured.limit(
        f"413 (411 for chunks to kv), which the sender gets; growth at most 20 MiB; {ALL_SERVED}"
    )
    measured.safe(
        f"{sum(map(str.__eq__, statuses, wanted))} of 6 refused, the last after {slowest:.1f} s;"
        f" {growth / MIB:.0f} MiB; {clients.outcome}"
    )
    assert statuses == wanted
    assert growth <= 20 * MIB
    assert not clients.outcome.harmed


def expand(service: str, server: Server) -> int:
    """Send 16 bodies of a MiB that are many times that in memory; return the most that was used.

    It is enough once that is more than EXPANDED.
    """
    head, body = LARGE[service].split(b"\r\n\r\n")
    head = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % MIB, head)
    whole = head + b"\r\n\r\n" + body.ljust(MIB, body[-1:])
    worker, most = server.worker, 0
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.address)) for _ in range(16)]
        waiting = select.poll()
        for client in clients:
            client.sendall(whole)
            waiting.register(client, select.POLLIN)
        deadline = time.monotonic() + FAR
        while (
            len(waiting.poll(0)) < len(clients) and most <= EXPANDED and time.monotonic() < deadline
        ):
            most = max(most, worker.memory_info().rss)
            time.sleep(0.01)
    return most


@pytest.mark.parametrize("driver", [*safe("httpbin"), BARE[1]], ids=str)
def test_expanding_bodies(measured: Row, driver: Driver) -> None:
    """16 bodies of 1 MiB at once, which httpbin makes many times that of, fit into memory."""
    with serving(driver) as server, well_behaved(driver.service, server.address) as clients:
        most = expand(driver.service, server)
    if driver.safe:
        measured.limit(f"at most {EXPANDED // MIB} MiB; {ALL_SERVED}")
        measured.safe(f"{most / MIB:.0f} MiB; {clients.outcome}")
        assert not clients.outcome.harmed
        assert most <= EXPANDED
    else:
        measured.naive(driver.name, f"{most / MIB:.0f} MiB and more")
        assert most > EXPANDED


BEHIND = b"GET /behind HTTP/1.1\r\nHost: localhost\r\n\r\n"
HOST = b"Host: localhost\r\nContent-Type: text/xml\r\n"  # kv accepts no other type
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BEHIND)


def smuggled(fields: bytes, body: bytes = BEHIND, start: bytes = b"") -> bytes:
    """Return a request with these fields, and what follows it."""
    return (start or b"POST %b HTTP/1.1\r\n") + fields + b"\r\n" + body


# Each is read in two ways by programs that were or are in use: what is behind it is its body, or a
# part of it, to the one, and the next request to the other.
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
    "a head of bare line feeds": b"POST %b HTTP/1.1\nHost: [::1]\nContent-Length: 0\n\n" + BEHIND,
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
    with connect(address) as client:
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


@pytest.mark.parametrize("driver", [*safe("rest", "httpbin", "kv"), BARE[0]], ids=str)
def test_smuggling(measured: Row, driver: Driver) -> None:
    """Requests that two programs could read differently are refused, and the connection ends."""
    service = driver.service
    number = len(SMUGGLED) + (len(SMUGGLED_IN_CHUNKS) if service != "kv" else 0)
    with serving(driver) as server:
        taken = refused(server.address, service)
        plain = smuggled(HOST + LENGTH, b"x" * len(BEHIND) + BEHIND + BEHIND)
        followed = responses(server.address, plain.replace(b"%b", UPLOAD[service]))
    figures = f"{number - len(taken)} of {number} forms refused"
    if driver.safe:
        measured.limit("one refusal for all of it, in each form")
        measured.safe(figures)
        assert taken == {}
        # What is behind a request that can be read in one way only is the next one.
        assert followed[1:] == (["404"] if service == "kv" else ["404", "404", "open"])
    else:
        measured.naive(driver.name, figures)
        assert taken


@pytest.mark.parametrize("driver", safe("rest", "httpbin", "kv"), ids=str)
def test_reload(measured: Row, driver: Driver) -> None:
    """A server that is told to reload 20 times under load, by HUP, fails no request."""
    with serving(driver) as server:
        began = time.monotonic()
        with well_behaved(driver.service, server.address) as clients:
            for _ in range(20):
                old = server.worker
                os.kill(server.process.pid, signal.SIGHUP)
                until(lambda old=old: not old.is_running(), "the old worker ends")  # type: ignore[misc]
        took = time.monotonic() - began
    measured.limit("every request answered")
    measured.safe(f"{clients.outcome}; 20 reloads in {took:.0f} s")
    assert not clients.outcome.failed
