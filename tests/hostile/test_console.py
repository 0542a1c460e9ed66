"""The console: other sites, hostile bytes on the wire, and many pages.

No page of another site makes it do or tell anything; what passes on the wire is text on the page,
whoever has sent it; its memory is bounded, and no page waits for another one.
"""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from clients import kv, object_echo, rpc
from clients.addresses import Address
from clients.relay import Relay
from clients.rest import request
from clients.tcp_echo import echo
from services.connection.authkey import authkey
from services.console.events import MAX_STREAMS
from services.relay.documents import MAX_TEXT
from tests.hostile.reliability import Row
from tests.support.console import Console, Lab, changed, lab
from tests.support.pace import FAR, until
from tests.support.sockets import connect

MIB = 1024 * 1024
MAX_MEMORY = 128 * MIB
VANISHED_SECONDS = 4  # after which a page that does not read is dropped, in these tests
SCRIPT = "<script>alert(1)</script>"
ESCAPES = "\x1b]0;title\x07\x1b[31mred\u202e\u0085"
HOSTILE = f"{SCRIPT}{ESCAPES}<img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def running(key_file: Path) -> Iterator[Lab]:
    """Run a lab whose console drops pages soon that do not read."""
    with lab(str(key_file), WIRELAB_VANISHED_TIMEOUT=str(VANISHED_SECONDS)) as found:
        yield found


@pytest.fixture
def console(running: Lab) -> Iterator[Console]:
    """Lend its console; afterwards the network is clean."""
    yield running.console
    running.relay.reset()


# Other sites.

PATHS = ("/", "/events", "/stack", "/wire.pcapng", "/static/console.js", "/health")
FORMS = ("/try/kv", "/network/profile", "/network/toxic")


@pytest.mark.parametrize(
    "host",
    ["lab.example.net", "lab.example.net:8090", "127.0.0.1.example.net", "", "relay", "[::1"],
)
def test_no_foreign_name_is_answered(console: Console, measured: Row, host: str) -> None:
    """Whoever has a name resolve to 127.0.0.1 gets nothing to read, and changes nothing."""
    token = console.token
    for path in PATHS:
        assert console.ask(path, Host=host).status in (400, 421), path
    for path in FORMS:
        form = {"token": token, "profile": "cut"}
        answer = console.ask(path, form, Host=host, Origin=f"http://{host}")
        assert answer.status in (400, 421), path
    assert "clean, seed" in console.ask("/").elements["active"]
    measured.safe(f"refused: {len(PATHS) + len(FORMS)} of {len(PATHS) + len(FORMS)} requests")


FOREIGN = [
    {"Origin": "http://lab.example.net"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "none"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_no_form_of_another_site_is_taken(
    running: Lab, console: Console, headers: dict[str, str], measured: Row
) -> None:
    """Even with the token: nothing is sent to a service, and the network stays as it is."""
    token, before = console.token, recorded(running.relay)
    for path in FORMS:
        form = {"token": token, "profile": "cut", "proxy": "kv", "toxic": "timeout", "on": "1",
                "value": "0", "action": "set", "name": "stolen"}  # fmt: skip
        assert console.ask(path, form, **headers).status == 403, path
    assert recorded(running.relay) == before
    assert running.relay.profile()["name"] == "clean"
    measured.safe("status 403")


@pytest.mark.parametrize(
    "token", ["", "x", "\x00", "ü" * 100], ids=["empty", "another", "a zero byte", "not ASCII"]
)
def test_no_form_without_the_token_is_taken(
    running: Lab, console: Console, token: str, measured: Row
) -> None:
    """Though the browser says that it is from a page of ours."""
    ours = {"Origin": console.site, "Sec_Fetch_Site": "same-origin"}
    for path in FORMS:
        answer = console.ask(path, {"token": token, "profile": "cut"}, **ours)
        assert answer.status == 403, path
        assert "load the page anew" in answer.elements["problem"]
    assert running.relay.profile()["name"] == "clean"
    measured.safe("status 403")


@pytest.mark.parametrize("destination", ["image", "script", "iframe", "empty", "object"])
def test_nothing_is_embedded_in_another_site(
    console: Console, destination: str, measured: Row
) -> None:
    """No stream is opened from there either; a link may lead to the page."""
    there = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": destination}
    assert [console.ask(path, None, "", **there).status for path in PATHS] == [403] * len(PATHS)
    linked = {**there, "Sec_Fetch_Dest": "document", "Sec_Fetch_Mode": "navigate"}
    assert console.ask("/", None, "", **linked).status == 200
    measured.safe("status 403")


@pytest.mark.parametrize(
    "body",
    [b"x" * 100_000, b"token=" + b"%ff" * 1000, b"&" * 1000, b"a=1&" * 1000, b"\x00\xff\xfe", b"="],
    ids=["large", "no UTF-8", "empty fields", "many fields", "binary", "nothing"],
)
def test_no_body_makes_an_error(console: Console, body: bytes, measured: Row) -> None:
    """It is refused with a status of its own."""
    headers = {"Origin": console.site, "Content-Type": "application/x-www-form-urlencoded"}
    with closing(HTTPConnection(*console.address, timeout=FAR)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/try/rpc", body, headers)
        status = connection.getresponse().status
    assert status in (400, 403, 413)
    measured.safe(f"status {status}")


# Hostile bytes.


def send_hostile(relay: Relay) -> None:
    """Send a script and escape sequences through every service, in whatever can carry them."""
    data, key = HOSTILE.encode(), authkey()
    echo(relay.listening("tcp-echo"), data, FAR)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(relay.listening("udp-time"))
        udp.send(data[:60])
        udp.send(SCRIPT.encode())
    for service in ("rest", "httpbin"):
        where = relay.listening(service)
        request(where, "GET", f"/get?name={quote(SCRIPT)}", headers={"X-Hostile": SCRIPT})
        with connect(where) as raw:
            raw.sendall(b"GET /" + SCRIPT.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n" + data)
            raw.settimeout(0.2)
            with suppress(OSError):
                raw.recv(1000)
    with kv.proxy(relay.listening("kv")) as store:
        store.set(SCRIPT, SCRIPT)
        store.get(SCRIPT)
        store.delete(SCRIPT)
    object_echo.echo(relay.listening("object-echo"), {HOSTILE: [HOSTILE]})
    with suppress(NameError), rpc.RPCProxy(relay.listening("rpc"), key) as proxy:
        proxy.call(HOSTILE, HOSTILE)


def test_what_passes_is_text_on_the_page(running: Lab, console: Console, measured: Row) -> None:
    """List, stream, diagram, ladder and bytes have it escaped, and without control characters."""
    send_hostile(running.relay)
    seen = 0
    with console.events() as events:
        pages = [changed(events, "conversations", "alert(1)")]
    for service in ("tcp-echo", "udp-time", "rest", "httpbin", "kv", "object-echo", "rpc"):
        page = console.ask(f"/?service={service}").html
        links = {each.split('"')[0].replace("&amp;", "&") for each in page.split('href="')
                 if each.startswith("/wire?") and "proxy=" in each.split('"')[0]}  # fmt: skip
        assert links, service
        found = []
        for link in links:
            path = link.partition("#")[0]
            found += [console.ask(path).html, console.ask(path.replace("?", "/bytes?", 1)).html]
        assert any("alert(1)" in each for each in found), service
        pages += [page, *found]
        seen += len(links)
    for page in pages:
        assert "<script>" not in page
        assert "<img" not in page
        assert not set(page) & set("\x1b\x07\x00\u202e\u0085")
    measured.safe(f"{seen} conversations of 7 services, in {len(pages)} answers")


@pytest.mark.parametrize("service", ["tcp-echo", "object-echo", "rpc", "kv", "rest", "httpbin"])
def test_what_is_tried_is_text_too(console: Console, service: str, measured: Row) -> None:
    """In the answer, in the problem, and in the form."""
    form = {
        "tcp-echo": {"text": HOSTILE},
        "object-echo": {"value": HOSTILE},
        "rpc": {"function": HOSTILE, "arguments": "'<script>'"},
        "kv": {"action": "get", "name": SCRIPT},
        "rest": {"method": "GET", "path": f"/{SCRIPT}"},
        "httpbin": {"method": "GET", "path": f"/get?x={SCRIPT}"},
    }[service]
    answer = console.post(f"/try/{service}", form)
    assert answer.status == 200
    assert "<script>" not in answer.html
    assert "<img" not in answer.html
    shown = answer.elements[f"try-{service}-result"]
    assert not set(shown) & set("\x1b\x07\x00\u202e\u0085")
    measured.safe("escaped")


def test_a_proxy_of_any_name_is_shown(running: Lab, console: Console, measured: Row) -> None:
    """And what passes through it; its toxics can be set."""
    name = f"a/b ü {SCRIPT}".ljust(MAX_TEXT, "n")
    where = str(running.servers["tcp-echo"].address)
    running.relay.create(name, where)
    try:
        echo(running.relay.listening(name), b"by another name", FAR)
        page = console.ask("/")
        assert "<script>" not in page.html
        assert name[:40] in page.elements["proxies"]
        fields = {"proxy": name, "toxic": "latency", "on": "1", "value": "5"}
        assert console.post("/network/toxic", fields, update=True).status == 200
        assert [each["type"] for each in running.relay.proxy(name)["toxics"]] == ["latency"]
        opened = console.ask(f"/wire?proxy={quote(name, safe='')}&connection=1")
        assert "by another name" in opened.elements["conversation"]
    finally:
        running.relay.delete(name)
    measured.safe("shown and set")


# Many.


def test_memory_is_bounded(running: Lab, console: Console, measured: Row) -> None:
    """10,000 conversations, and files for Wireshark of them, with a page open."""
    where = running.relay.listening("tcp-echo")
    data = b"0123456789" * 20

    def send(count: int) -> None:
        for _ in range(count):
            echo(where, data, FAR)

    with console.events() as events, ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            list(threads.map(send, [125] * 8))
            changed(events, "conversations", "0123456789")  # a page that does not read is dropped
        until(lambda: caught_up(console, running.relay), "it has read all", 60)
        for _ in range(3):
            assert console.ask("/wire.pcapng").status == 200
        page = console.ask("/")
        assert page.status == 200
        assert len(page.body) < 200_000
    assert console.server.peak < MAX_MEMORY, f"{console.server.peak / MIB:.0f} MiB"
    measured.limit("128 MiB")
    measured.safe(f"at most {console.server.peak / MIB:.0f} MiB, the page {len(page.body):,} bytes")


def caught_up(console: Console, relay: Relay) -> bool:
    """Whether the console has the latest conversation."""
    latest = max(record.connection for record in relay.journal(recorded(relay) - 20))
    return f"connection={latest}#" in console.ask("/?service=tcp-echo").html


def test_many_pages_are_served_and_more_are_told(
    running: Lab, console: Console, measured: Row
) -> None:
    """Each of 200 gets what changes; the next one is told why not, and takes the place of one."""
    with ExitStack() as opened:
        streams = [opened.enter_context(console.events()) for _ in range(MAX_STREAMS)]
        refused = console.ask("/events")
        assert refused.status == 503
        assert refused.headers["Retry-After"]
        for events in streams:
            assert next(events)[0] == "begin"
        began = time.monotonic()
        running.relay.add_toxic("kv", "latency", latency=50)
        for events in streams:
            changed(events, "active", "latency")
        took = time.monotonic() - began
        assert console.ask("/").status == 200
    until(lambda: can_open(console), "the streams are closed")
    assert console.server.peak < MAX_MEMORY, f"{console.server.peak / MIB:.0f} MiB"
    measured.safe(f"all {MAX_STREAMS} after {took:.1f} s, {console.server.peak / MIB:.0f} MiB")


def can_open(console: Console) -> bool:
    """Whether there is a stream for one more page."""
    with suppress(AssertionError), console.events() as events:
        return next(events)[0] == "begin"
    return False


def test_who_never_reads_is_dropped_and_keeps_nobody_waiting(
    running: Lab, console: Console, measured: Row
) -> None:
    """Others get what changes at once; some time later the connection is gone."""
    server = psutil.Process(console.server.process.pid)

    def connections(silent: list[socket.socket]) -> int:
        ports = {each.getsockname()[1] for each in silent}
        return sum(each.raddr.port in ports for each in server.net_connections() if each.raddr)

    with ExitStack() as opened:
        silent = [opened.enter_context(never_reads(console.address)) for _ in range(20)]
        events = opened.enter_context(console.events())
        next(events)
        where = running.relay.listening("tcp-echo")
        number = 0

        def dropped() -> bool:
            nonlocal number
            number += 1
            echo(where, b"news %d." % number + b"x" * 200, FAR)
            began = time.monotonic()
            changed(events, "conversations", f"news {number}.")  # or FAR has passed
            delays.append(time.monotonic() - began)
            return connections(silent) == 0

        delays: list[float] = []
        began = time.monotonic()
        until(dropped, "those that do not read are dropped", 90)
        took = time.monotonic() - began
    measured.limit(f"dropped some time after {VANISHED_SECONDS} s; the others wait for nothing")
    measured.safe(f"dropped after {took:.0f} s of news; others wait {max(delays):.1f} s at most")


def never_reads(address: Address) -> socket.socket:
    """Return a connection that has asked for the stream, and has little room for it."""
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    silent.connect(address)
    silent.sendall(f"GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    return silent


def recorded(relay: Relay) -> int:
    """Return how many records the journal has had."""
    return int(relay.metrics()["wirelab_relay_journal_records_total"])
