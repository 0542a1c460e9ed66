"""The running stack: healthy, and every client served, from inside and from the host."""

import importlib
import json
import re
import socket
import xmlrpc.client
from collections.abc import Callable
from urllib.request import urlopen

import psutil
import pytest

from clients import udp_time
from clients.addresses import PORTS, Address
from clients.checks import Check
from clients.cli import exercise
from lab.stack import Stack
from lab.testing.service import FindService
from tests.stack.conftest import SPEAKS, Find
from tests.support.clients import stock
from tests.support.engine import SERVICES, lab, run_in
from tests.support.pace import FAR

ON_HOST = [
    pytest.param(service, check, id=f"{service}: {check.what}")
    for service, check in exercise.checks()
    if service in PORTS and "UNIX" not in check.what  # that socket is on a volume
]


@pytest.mark.parametrize("service", SERVICES)
def test_is_healthy(find: Find, service: str) -> None:
    """Each container's health check holds."""
    assert find(service).health == "healthy"


@pytest.mark.parametrize("service", SERVICES)
def test_health_check_fails_where_the_service_is_not(find: Find, service: str) -> None:
    """The health check of each service, run in another one's container, fails and says why."""
    elsewhere = "rpc" if service != "rpc" else "object-echo"
    status, output = run_in(find(elsewhere), "python", "-m", "clients.health", service)
    assert status == 1
    assert output.startswith(f"{service}: ")
    assert "Traceback" not in output


@pytest.mark.parametrize("service", SERVICES)
def test_a_server_that_hangs_is_not_healthy(find: Find, service: str) -> None:
    """The kernel completes the connections of a stopped process; the check wants an answer."""
    script = f"rm -f /tmp/healthy; kill -STOP -1; sh clients/health.sh {service}; status=$?"
    status, output = run_in(find(service), "sh", "-c", f"{script}; kill -CONT -1; exit $status")
    assert status == 1
    assert output.startswith(f"{service}: ")


def test_clients_container_exercises_everything(stack: Stack) -> None:
    """The clients hold every service to every promise over the compose network."""
    done = stack.run("run", "--rm", "--no-TTY", "clients", "--json", capture=True)
    report = json.loads(done.stdout)
    assert [row for row in report["checks"] if not row["held"]] == []
    assert {row["service"] for row in report["checks"]} == set(exercise.SUBJECTS)
    assert report["held"]
    assert done.returncode == 0


def test_table_shows_every_service(stack: Stack) -> None:
    """Without a terminal the clients print a line a check, then the table and the summary."""
    done = stack.run("run", "--rm", "--no-TTY", "clients", capture=True)
    lines = done.stdout.splitlines()
    total = len(exercise.every())
    assert [line.split()[0] for line in lines[:total]] == ["ok"] * total
    for service in exercise.SUBJECTS:
        assert any(line.startswith(f"│ {service} ") for line in lines)
    assert lines[-1].startswith(f"{total} of {total} checks held")


@pytest.mark.parametrize(("service", "check"), ON_HOST)
def test_check_holds_over_published_port(
    published: Callable[[str], Address], find: Find, service: str, check: Check
) -> None:
    """Each promise is also kept to a client on the host."""
    where = published(service)
    check.run(for_empty_datagrams(where, find) if check.run is udp_time.check_empty else where)


def test_the_network_is_shown_on_the_published_ports(stack: Stack) -> None:
    """Not on those of the relay's container, which nobody outside of it can use."""
    shown = lab(stack, "network").stdout
    found = dict(re.findall(r"^(\S+) +(?:TCP|UDP) (\S+) → ", shown, re.MULTILINE))
    assert found == {name: str(where) for name, where in stack.relayed().items()}


def test_sweep_finds_all_services_on_published_ports(
    published: Callable[[str], Address],
) -> None:
    """A sweep on the host walks the one address that the ports are published on."""
    for service in SERVICES:
        published(service)
    cidr = importlib.import_module("clients.cidr")
    found = {found.service for found in cidr.sweep(cidr.lab_network())}
    assert found == set(SERVICES)


def test_sweep_in_the_container_names_addresses_of_the_compose_network(
    stack: Stack, find: Find
) -> None:
    """Each server is found at the address that the engine gave its container."""
    done = stack.run("run", "--rm", "--no-TTY", "clients", "cidr", "--sweep", capture=True)
    found = [line.split() for line in done.stdout.splitlines()[:-1]]
    given = []
    for server in stack.addresses():
        (network,) = find(server).attrs["NetworkSettings"]["Networks"].values()
        service = SPEAKS[server]
        given.append((f"{network['IPAddress']}:{PORTS[service]}", service))
    assert sorted((where, service) for where, service, *_ in found) == sorted(given)


def test_sweep_of_a_foreign_network_is_refused(stack: Stack) -> None:
    """A network that is not the lab's own is named and not walked."""
    done = stack.run(
        "run", "--rm", "--no-TTY", "clients", "cidr", "--sweep", "198.51.100.0/24", capture=True
    )
    assert done.returncode == 2
    assert "clients: 198.51.100.0/24 is not in the lab's own network, " in done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_is_published_on_loopback_only(find: Find, service: str) -> None:
    """No port can be reached from other machines."""
    bindings = find(service).attrs["HostConfig"]["PortBindings"].values()
    hosts = {binding["HostIp"] for each in bindings for binding in each}
    assert hosts == {"127.0.0.1"}


def test_tcp_echo_transcript(published: Callable[[str], Address]) -> None:
    """A bare socket gets its bytes back."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.connect(published("tcp-echo"))
        assert s.send(b"Hello") == 5
        assert s.recv(8192) == b"Hello"


def for_empty_datagrams(where: Address, find: Find) -> Address:
    """Return where an empty datagram reaches udp-time: its published port, if it can.

    Docker's userland proxy, which stands in for the kernel on 127.0.0.1, reads an empty datagram
    and forwards nothing (moby, udp_proxy_linux.go). Where it runs, the container is asked itself.
    """
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "docker-proxy" and str(where.port) in process.info["cmdline"]:
            (network,) = find("udp-time").attrs["NetworkSettings"]["Networks"].values()
            return Address(network["IPAddress"], PORTS["udp-time"])
    return where


def test_udp_time_transcript(published: Callable[[str], Address], find: Find) -> None:
    """An empty datagram gets a ctime, from the address it was sent to."""
    where = for_empty_datagrams(published("udp-time"), find)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(FAR)
        assert s.sendto(b"", where) == 0
        answer, peer = s.recvfrom(8192)
    assert len(answer) == 24
    assert peer == where


def test_rest_transcript(published: Callable[[str], Address]) -> None:
    """Urlopen gets the greeting."""
    with urlopen(f"http://{published('rest')}/hello?name=Guido") as u:
        assert u.read().decode() == (
            "<html>\n  <head>\n     <title>Hello Guido</title>\n   </head>\n"
            "   <body>\n     <h1>Hello Guido!</h1>\n   </body>\n</html>"
        )


def test_kv_transcript(published: Callable[[str], Address]) -> None:
    """ServerProxy sets, lists, gets and deletes."""
    with xmlrpc.client.ServerProxy(f"http://{published('kv')}", allow_none=True) as s:
        s.set("foo", "bar")
        s.set("spam", [1, 2, 3])
        assert {"spam", "foo"} <= set(s.keys())  # type: ignore[arg-type]
        assert s.get("foo") == "bar"
        assert s.get("spam") == [1, 2, 3]
        s.delete("spam")
        assert s.exists("spam") is False


def test_object_echo_transcript(published: Callable[[str], Address], key: bytes) -> None:
    """The standard library's Client gets each object back."""
    with stock(published("object-echo"), key) as c:
        for value in ("hello", 42, [1, 2, 3, 4, 5], {"a": {"b": (None, 1.5)}}):
            c.send(value)
            assert c.recv() == value


STANDARD_LIBRARY_ONLY = """
import pickle, sys
from multiprocessing.connection import Client

authkey = open('/run/secrets/authkey', 'rb').read().strip()
for address in (('object-echo', 25000), '/run/wirelab/object-echo.sock'):
    with Client(address, authkey=authkey) as c:
        c.send([1, 2, 3, 4, 5])
        print(c.recv())
with Client(('rpc', 17000), authkey=authkey) as c:
    for request in (('add', (2, 3), {}), ('sub', ([1, 2], 4), {})):
        c.send(pickle.dumps(request))
        print(repr(pickle.loads(c.recv())))
"""


def test_transcripts_from_the_clients_container(stack: Stack) -> None:
    """Clients of the standard library are served over the network and the UNIX socket."""
    done = stack.run(
        "run", "--rm", "--no-TTY", "--entrypoint", "python", "clients",
        "-c", STANDARD_LIBRARY_ONLY, capture=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "[1, 2, 3, 4, 5]",
        "[1, 2, 3, 4, 5]",
        "5",
        "TypeError(\"unsupported operand type(s) for -: 'list' and 'int'\")",
    ]


def test_clients_name_a_server_that_is_down(stack: Stack, service: FindService) -> None:
    """A stopped server is named with its address; the other services are still checked."""
    with service("kv").stopped():
        done = stack.run("run", "--rm", "--no-TTY", "clients", "--json", capture=True)
    rows = json.loads(done.stdout)["checks"]
    kv = [row for row in rows if row["service"] == "kv"]
    assert done.returncode == 1
    assert "no answer from kv:15000" in kv[0]["error"]
    assert all(row["error"].startswith("not tried: no answer from kv:15000") for row in kv[1:])
    assert all(row["held"] for row in rows if row["service"] not in ("kv", "cidr"))
