"""What the console's page shows by itself: a stream of what changes, and who is away."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clients.addresses import PORTS, Address, variables
from clients.tcp_echo import echo
from services.console.stack import EVERY, PATIENCE
from tests.support.console import (
    Console,
    Lab,
    attribute,
    changed,
    consoling,
    element_id,
    elements,
    lab,
    until_shown,
)
from tests.support.pace import FAR
from tests.support.processes import running as running_process
from tests.support.relay import COMMAND as RELAY
from tests.support.sockets import LOOPBACK

SHOWN = [name for name in PORTS if name != "console"]
NOWHERE = Address(LOOPBACK, 1)
DEAD_SECONDS = 10.0  # within which a server that has died shows


# The stream.


def test_a_stream_begins_with_what_there_is(console: Console) -> None:
    """Which process serves, and then each element that changes by itself, once."""
    boot = attribute_of_body(console, "data-boot")
    with console.events("?language=zh") as events:
        assert next(events) == ("begin", boot)
        wanted = ["announcement", "conversations", "active", "profiles", "proxies", "services"]
        found = [next(events) for _ in wanted]
        assert [kind for kind, _ in found] == ["element"] * len(wanted)
        assert sorted(element_id(html) for _, html in found) == sorted(wanted)


def attribute_of_body(console: Console, name: str) -> str:
    """Return an attribute of the page's body."""
    return str(re.findall(rf'<body[^>]*{name}="([^"]*)"', console.ask("/").html)[0])


def test_a_stream_has_what_changes(running: Lab, console: Console) -> None:
    """A conversation, the network as somebody else has set it, the time of each exchange."""
    with console.events() as events, console.events("?language=zh&service=rpc") as others:
        echo(running.relay.listening("tcp-echo"), b"streamed", FAR)
        changed(events, "conversations", "streamed")
        running.relay.add_toxic("kv", "latency", latency=120)
        assert "latency 120" in elements(changed(events, "active", "latency"))["active"].replace(
            "\xa0", " "
        )
        assert "latency" in changed(others, "active", "latency")
        changed(events, "service-kv", "● answers")


def test_a_view_is_rendered_for_itself(running: Lab, console: Console) -> None:
    """Each stream has its language and its service."""
    with console.events("?language=zh&service=udp-time") as events:
        console.post("/try/udp-time")
        shown = changed(events, "conversations", "asks for the time")
        assert "个事件" in shown
        assert "tcp-echo" not in elements(shown)["conversations"]
    running.relay.reset()


# What is away.


@pytest.fixture
def own(key_file: Path) -> Iterator[Lab]:
    """Run a lab in which servers may be stopped."""
    with suppress(AssertionError), lab(str(key_file)) as found:
        yield found


def test_a_server_that_dies_shows_within_ten_seconds(own: Lab) -> None:
    """On the stream and on the page, and that it is back; the others go on."""
    with own.console.events() as events:
        changed(events, "announcement", "All 8 servers answer")
        os.kill(own.servers["tcp-echo"].process.pid, signal.SIGSTOP)  # it accepts, and says nothing
        began = datetime.now(UTC)
        changed(events, "announcement", "No answer from tcp-echo.")
        html = changed(events, "service-tcp-echo", 'data-state="failed"')
        assert (datetime.now(UTC) - began).total_seconds() < DEAD_SECONDS
        assert "timed out" in elements(html)["service-tcp-echo"]
        page = own.console.ask("/").html
        assert attribute(page, "service-tcp-echo", "data-state") == "failed"
        assert attribute(page, "service-rpc", "data-state") == "healthy"
        os.kill(own.servers["tcp-echo"].process.pid, signal.SIGCONT)
        changed(events, "announcement", "All 8 servers answer")
        changed(events, "service-tcp-echo", 'data-state="healthy"')


def test_without_the_relay_the_page_says_so(own: Lab) -> None:
    """The servers are asked directly; what needs the relay is said in words, and comes back."""
    own.servers["relay"].process.kill()
    own.servers["relay"].process.wait()
    page = until_shown(own.console, "conversations", "does not answer")
    assert "cannot be asked" in page.elements["active"]
    assert "cannot be asked" in page.elements["proxies"]
    assert attribute(page.html, "service-rpc", "data-state") == "healthy"
    assert attribute(page.html, "service-relay", "data-state") == "failed"
    assert "relay" in own.console.post("/try/rpc", function="add").elements["try-rpc-result"]
    assert own.console.post("/network/profile", profile="clean").status == 400
    assert own.console.ask("/wire.pcapng").status == 502


def test_nobody_watches_and_nothing_is_asked(key_file: Path) -> None:
    """Each server is asked again and again while a page is open, and not any more after that."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(2 * EVERY + PATIENCE)
        told = variables(
            {**dict.fromkeys(SHOWN, NOWHERE), "tcp-echo": Address(*listener.getsockname())}
        )

        def is_asked() -> None:
            answering, _ = listener.accept()
            with answering:
                answering.sendall(answering.recv(100))

        with consoling(WIRELAB_AUTHKEY_FILE=str(key_file), **told) as console:
            with console.events() as events:
                next(events)
                for _ in range(3):
                    is_asked()
            listener.settimeout(EVERY + 1)  # longer than from one exchange to the next
            with suppress(TimeoutError):
                is_asked()  # it was under way
            with pytest.raises(TimeoutError):
                is_asked()


def test_the_journal_of_a_relay_that_is_started_again_is_read(own: Lab, key_file: Path) -> None:
    """Its records count from 1 again, and the console has already read further."""
    port = own.relay.address.port
    with own.console.events() as events:
        for number in range(3):
            echo(own.relay.listening("tcp-echo"), b"before %d" % number, FAR)
        changed(events, "conversations", "before 2")
        own.servers["relay"].process.kill()
        own.servers["relay"].process.wait()
        settings = {"WIRELAB_RELAY_UPSTREAMS": f"p={own.servers['tcp-echo'].address}"}
        settings |= {"WIRELAB_PORT": str(port), "WIRELAB_AUTHKEY_FILE": str(key_file)}
        with running_process(RELAY, **settings):
            echo(own.relay.listening("p"), b"after", FAR)
            changed(events, "conversations", "after")
