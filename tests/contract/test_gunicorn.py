"""What the servers under gunicorn have in common: its settings, and our worker."""

import json
import socket
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from clients.addresses import Address
from tests.support.drivers import DRIVERS, Driver, drivers, in_processes, serving
from tests.support.pace import until
from tests.support.processes import SILENCE_TIMEOUT, refuses_to_start, run, running
from tests.support.sockets import LOOPBACK, connect, receive

GUNICORN = [driver for driver in drivers() if driver.name == "gunicorn"]
each_driver = pytest.mark.parametrize("driver", GUNICORN, ids=str)


@each_driver
def test_its_settings_are_those_meant(driver: Driver, tmp_path: Path) -> None:
    """Gunicorn itself prints what it makes of the configuration."""
    done = run([*driver.command, "--print-config"], WIRELAB_KV_FILE=str(tmp_path / "kv.sqlite3"))
    lines = (line.partition("=") for line in done.stdout.splitlines())
    found = {name.strip(): value.strip() for name, _, value in lines}
    assert found["control_socket_disable"] == "True"
    assert found["worker_tmp_dir"] == "/dev/shm"  # noqa: S108
    assert found["forwarded_allow_ips"] in ("[]", "")
    assert (found["workers"], found["graceful_timeout"]) == ("1", "1")
    assert found["worker_connections"] == "10000"
    assert (found["threads"], found["keepalive"]) == (
        ("1", "60") if driver.service == "kv" else ("8", "5")
    )


@each_driver
def test_nobody_serves_without_gunicorn(driver: Driver) -> None:
    """Its worker would keep the port from the next one if it went on after gunicorn was killed."""
    with running(driver.command) as server:
        worker = server.worker
        server.process.kill()
        until(lambda: not worker.is_running(), "the worker ends")


@each_driver
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (SILENCE_TIMEOUT, "0", "has value '0'. Not a whole number from 1 up"),
        (
            "WIRELAB_SILENCE_SECONDS",
            "1",
            "is not a setting any more. Set WIRELAB_SILENCE_TIMEOUT instead",
        ),
    ],
)
def test_a_bad_timeout_is_one_line(
    driver: Driver, name: str, value: str, message: str, tmp_path: Path
) -> None:
    """It names the variable, and no worker is started."""
    settings = {"WIRELAB_PORT": "0", "WIRELAB_KV_FILE": str(tmp_path / "kv.sqlite3"), name: value}
    assert refuses_to_start(driver.command, **settings) == f"{name} {message}"


def body_of(address: Address) -> str:
    """Return the body of the 503 that a server answers with."""
    with pytest.raises(HTTPError, match="503") as caught:
        urlopen(f"http://{address}/RPC2", b"")
    with caught.value as response:
        return str(response.read().decode())


def test_another_worker_says_that_kv_needs_its_own() -> None:
    """The key-value store is no WSGI application, although gunicorn insists on one."""
    with running([*DRIVERS["kv"][0].command, "--worker-class=gthread"]) as server:
        text = body_of(server.address)
    assert text == "kv needs its own worker: gunicorn -c services/kv/gunicorn.conf.py\n"


@pytest.mark.parametrize("driver", [*GUNICORN, *in_processes("rest", "httpbin")], ids=str)
def test_a_request_with_urgent_data_is_complete(driver: Driver) -> None:
    """A byte that is sent with MSG_OOB is a byte like any other (RFC 6093, 4)."""
    with serving(driver) as server:
        for _ in range(20):  # some to either worker, if there are two
            with connect(server.address) as client:
                client.sendall(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n")
                client.send(b"\r", socket.MSG_OOB)
                client.sendall(b"\n")
                assert receive(client, 12) == b"HTTP/1.1 404"


@pytest.mark.parametrize("place", ["::1", LOOPBACK])
def test_an_application_is_told_its_clients_address_in_the_clients_own_family(place: str) -> None:
    """Where both are served: httpbin answers with REMOTE_ADDR."""
    with running(DRIVERS["httpbin"][0].command, WIRELAB_HOST="::") as server:
        where = Address(place, server.address.port)
        with urlopen(f"http://{where}/ip") as response:
            assert json.load(response) == {"origin": place}
