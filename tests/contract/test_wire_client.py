"""The clients through the relay, and what they then show of it."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clients.addresses import Address, variable, variables
from clients.cli import exercise
from clients.relay import Relay
from lab import ROOT
from services.wire import pcapng
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR, until
from tests.support.processes import beside, running
from tests.support.relay import ANY_PORTS, relaying
from tests.support.relay import COMMAND as RELAY

COMMAND = [sys.executable, "-m", "clients"]
Clients = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, str]]:
    """Run the default server of each service, and a relay that leads to them; say where."""
    with ExitStack() as stack:
        direct = {
            service: stack.enter_context(serving(default)).address
            for service, (default, *_) in DRIVERS.items()
        }
        leads = " ".join(f"{service}={where}" for service, where in direct.items())
        relay, server = stack.enter_context(relaying(WIRELAB_RELAY_UPSTREAMS=leads))
        relayed = {service: relay.listening(service) for service in direct}
        yield {**os.environ, **variables({**direct, "relay": server.address}, relayed)}


@pytest.fixture
def relay(told: dict[str, str]) -> Iterator[Relay]:
    """Return the relay's control; what a test has set is removed after it."""
    host, _, port = told[variable("relay")].rpartition(":")
    control = Relay(Address(host, int(port)), FAR)
    yield control
    control.set_profile("clean", seed=1)


@pytest.fixture
def clients(told: dict[str, str]) -> Clients:
    """Return a function that runs the clients."""

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*COMMAND, *arguments], cwd=ROOT, env={**told, **more}, capture_output=True, text=True,
            check=False, timeout=FAR,
        )  # fmt: skip

    return run


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        (["tcp-echo", "over the relay"], "'over the relay␊'"),
        (["udp-time", "--count", "1"], "asks for the time"),
        (["rest", "hello", "Relay"], "GET /hello?name=Relay"),
        (["kv", "set", "passed", "7"], "set('passed', 7)"),
        (["object-echo", "{'over': 'relay'}"], "{'over': 'relay'}"),
        (["rpc", "sub", "17", "4"], "sub(17, 4)"),
        (["http", "GET", "/get"], "GET /get"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_each_subcommand_goes_through_the_relay(
    clients: Clients, arguments: list[str], passed: str
) -> None:
    """With the same outcome; and `wire` shows what it was, in 80 columns."""
    service = {"http": "httpbin"}.get(arguments[0], arguments[0])
    for command in ([arguments[0], "--via", "relay", *arguments[1:]],
                    ["--via", "relay", *arguments]):  # fmt: skip
        done = clients(*command)
        assert done.returncode == 0, done.stderr
        until(lambda: passed in clients("wire", "--service", service, "--last", "1").stdout, passed)
    shown = clients("wire", "--service", service)
    assert max(map(len, shown.stdout.splitlines())) == 80
    assert f"{service}, connection " in shown.stdout


def test_the_exercise_goes_through_it_and_says_what_does_not(clients: Clients) -> None:
    """UNIX sockets, the relay's control and the network's addresses."""
    through = clients("--via", "relay")
    assert through.returncode == 0, through.stdout + through.stderr
    count = len(exercise.checks(via_relay=True))
    assert f"{count} of {count} checks held" in through.stdout
    for what in ("rpc: the same over the UNIX socket", "cidr: a /8 and a /64 at once"):
        assert f"  {what}" in through.stdout
    found = json.loads(clients("--via", "relay", "--json").stdout)
    assert len(found["checks"]) == count
    assert len(found["left_out"]) == len(exercise.every()) - count


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["rpc", "--unix", "--via", "relay"], "--via and --unix: the relay leads to no UNIX"),
        (["rpc", "--all", "--via", "relay"], "--via and --all: the relay leads to no variants"),
        (["cidr", "--sweep", "--via", "relay"], "--via: cidr has no way through the relay"),
        (["--via", "proxy"], "argument --via: invalid choice: 'proxy' (choose from"),
        (["wire", "--service", "nope"], "no service 'nope'; there are httpbin, kv, "),
        (["wire", "--last", "0"], "argument --last: '0' is not a whole number from 1 to 1,000"),
        (["wire", "--follow", "--svg", "x"], "--follow shows on the terminal, and writes no file"),
        (["wire", "--svg", "/nowhere/x", "--service", "tcp-echo"],
         "--svg has value '/nowhere/x'. Not a file that can be written: No such file or directory"),
        (["relay", "fast"], "no profile 'fast'; there are clean, 3g, satellite, lossy, cut"),
        (["relay", "3g", "--service", "no"], "no service 'no'; there are tcp-echo, udp-time, "),
        (["relay", "--seed", "3"], "the seed 3 is for a profile: clean, 3g, "),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(clients: Clients, arguments: list[str], error: str) -> None:
    """With its value, and what there is."""
    clients("tcp-echo", "--via", "relay", "so that there is something")
    done = clients(*arguments)
    assert done.returncode == 2, done.stdout
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def test_a_profile_for_one_service_leaves_the_others(clients: Clients, relay: Relay) -> None:
    """Its seed too, until the whole network gets another one."""
    relay.set_profile("lossy", seed=7)
    shown = clients("relay", "satellite", "--seed", "8", "--service", "rest")
    assert shown.returncode == 0, shown.stderr
    assert "latency (latency 750, jitter 0)" in shown.stdout
    found = relay.proxies()
    assert {each["type"] for each in found["rest"]["toxics"]} == {"packet_loss", "latency"}
    assert {each["type"] for each in found["kv"]["toxics"]} == {"packet_loss"}
    assert (found["rest"]["seed"], found["kv"]["seed"]) == (8, None)
    relay.set_profile("lossy", seed=9)
    assert relay.proxy("rest")["seed"] is None


def test_what_is_shown_of_a_network_has_the_seeds_that_are_in_force(
    clients: Clients, relay: Relay
) -> None:
    """Of one service its own, without that of the others above it."""
    relay.set_profile("lossy", seed=7)
    one = clients("relay", "lossy", "--seed", "8", "--service", "rest").stdout
    toxics = "               both ways: packet_loss (loss_rate 0.1)\n"
    assert re.fullmatch(rf"rest         TCP \S+ → \S+, seed 8\n{re.escape(toxics)}", one)
    assert re.match(r"kv +TCP \S+ → \S+, seed 7\n", clients("relay", "--service", "kv").stdout)
    first, *lines = clients("relay").stdout.splitlines(keepends=True)
    assert first == "profile custom, seed 7, where a service has none of its own\n"
    assert one in "".join(lines)
    assert sum(", seed " in line for line in lines) == 1
    relay.add_toxic("kv", "latency", seed=9, latency=5)
    shown = clients("relay", "--service", "kv").stdout
    assert "to the client: latency (latency 5, jitter 0), seed 9\n" in shown
    elsewhere = clients("relay", "--service", "kv", WIRELAB_RELAY_KV_ADDRESS="192.0.2.1:15020")
    assert elsewhere.stdout.startswith("kv           TCP 192.0.2.1:15020 → ")
    assert clients("relay", "clean", "--seed", "1").stdout.startswith("profile clean, seed 1\n")


def test_a_name_of_a_proxy_does_nothing_to_the_terminal(clients: Clients, relay: Relay) -> None:
    """Whoever reaches the control can give it any: here one that would clear the screen."""
    relay.create("\x1b[2J\r\u202e", "127.0.0.1:9")
    shown = clients("relay").stdout + clients("relay", "3g", "--service", "no").stderr
    relay.delete("\x1b[2J\r\u202e")
    assert shown.count("␛[2J␍\\u202e") == 2
    assert not set(shown) & set("\x1b\r\u202e")


@pytest.mark.parametrize(
    ("subcommand", "elsewhere", "said"),
    [
        ("wire", "tcp-echo", "not an HTTP answer: BadStatusLine("),
        ("relay", "tcp-echo", "not an HTTP answer: BadStatusLine("),
        ("wire", "httpbin", "<!doctype html>␊"),
    ],
)
def test_another_server_than_a_relay_is_said(
    clients: Clients, told: dict[str, str], subcommand: str, elsewhere: str, said: str
) -> None:
    """In one line, whatever it answers."""
    done = clients(subcommand, WIRELAB_RELAY_ADDRESS=told[variable(elsewhere)])
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_nothing_on_the_wire_is_said(clients: Clients) -> None:
    """And how that changes."""
    with relaying() as (_, server):
        done = clients("wire", WIRELAB_RELAY_ADDRESS=str(server.address))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("nothing has passed through the relay yet: `make demo ARGS=")


def test_what_is_written_to_files_can_be_read(clients: Clients, tmp_path: Path) -> None:
    """A picture of the last conversation, and a file for Wireshark of all that were asked for."""
    for word in ("one", "two"):
        clients("tcp-echo", "--via", "relay", word)
    picture, packets = tmp_path / "wire.svg", tmp_path / "wire.pcapng"
    assert clients("wire", "--service", "tcp-echo", "--svg", str(picture)).returncode == 0
    assert "two␊" in picture.read_text()
    assert "one␊" not in picture.read_text()
    done = clients("wire", "--service", "tcp-echo", "--last", "2", "--pcapng", str(packets))
    assert done.returncode == 0, done.stderr
    records = pcapng.decode(packets.read_bytes())
    assert {each.data for each in records if each.kind == "data"} == {b"one\n", b"two\n"}


def test_following_shows_what_comes_until_ctrl_c(told: dict[str, str], clients: Clients) -> None:
    """On a terminal, as wide as that, without anything in it that a terminal would obey."""
    ours, theirs = pty.openpty()
    command = [*COMMAND, "wire", "--follow", "--last", "1", "--service", "tcp-echo"]
    environment = {**told, "COLUMNS": "100"}
    with beside(
        command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        read = bytearray()

        def has(what: bytes) -> None:
            while what not in read:
                read.extend(os.read(ours, 65536))

        has(b"following, until Ctrl-C\r\n")
        del read[:]
        clients("tcp-echo", "--via", "relay", "here is \x1b]0;\x07 and \x1b[31mred text")
        has(b"then the server.")
        process.send_signal(signal.SIGINT)
        assert process.wait(FAR) == 0
        os.close(ours)
    text = read.decode().replace("\r\n", "\n")
    assert "here is ␛]0;␇ and ␛[31mred text␊" in text
    assert all(character == "\n" or character.isprintable() for character in text)
    assert len(re.findall(r"^ +ms  client.*$", text, re.MULTILINE)[0]) == 100


def test_following_ends_with_the_relay(told: dict[str, str]) -> None:
    """And says so."""
    with running(RELAY, **ANY_PORTS) as server:
        environment = {**told, "WIRELAB_RELAY_ADDRESS": str(server.address)}
        with beside(
            [*COMMAND, "wire", "--follow"], cwd=ROOT, env=environment, stderr=subprocess.PIPE,
            text=True,
        ) as process:  # fmt: skip
            assert process.stderr
            assert process.stderr.readline() == "following, until Ctrl-C\n"
            server.process.terminate()
            said = process.stderr.read()
            assert process.wait(FAR) == 1
    assert said.startswith(f"clients: relay at {server.address}: the journal ends: ")
