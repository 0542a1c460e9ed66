"""Every server starts as its settings say, or says in one line what is wrong with them."""

import socket
import stat
from pathlib import Path

import pytest

from scripts.stack import services
from tests.support.clients import connected
from tests.support.drivers import DRIVERS, Driver, drivers, in_processes, safe, serving
from tests.support.pace import until
from tests.support.processes import refuses_to_start
from tests.support.sockets import LOOPBACK

SEVERAL = in_processes("object-echo", "rpc")
WITH_KEY = [*drivers("object-echo", "rpc"), *SEVERAL]

each_driver = pytest.mark.parametrize("driver", drivers(), ids=str)
each_with_a_key = pytest.mark.parametrize("driver", WITH_KEY, ids=str)
each_with_a_unix_socket = pytest.mark.parametrize(
    "driver", [*safe("object-echo", "rpc"), *SEVERAL], ids=str
)


def test_every_driver_of_the_stack_is_tested() -> None:
    """The table of drivers has what compose.yaml has, with the same default for each service."""
    tested = {(driver.service, driver.command) for driver in drivers()}
    assert {(server.speaks, tuple(server.command)) for server in services({}, "*")} == tested
    defaults = {server.name: tuple(server.command) for server in services({})}
    assert {service: some[0].command for service, some in DRIVERS.items()} == defaults


@each_driver
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WIRELAB_PORT", "65536", "Not a port number (0 to 65535)"),
        ("WIRELAB_PORT", "http", "Not a port number (0 to 65535)"),
        ("WIRELAB_LOG", "loud", "Not one of 'info', 'debug'"),
    ],
)
def test_a_bad_setting_is_one_line(
    driver: Driver, name: str, value: str, message: str, key_file: Path
) -> None:
    """It names the variable and the value, and the server does not start."""
    settings = {"WIRELAB_AUTHKEY_FILE": str(key_file), name: value}
    assert refuses_to_start(driver.command, **settings) == f"{name} has value {value!r}. {message}"


@pytest.mark.parametrize(
    "driver", [*(driver for driver in drivers() if driver.name != "gunicorn"), *SEVERAL], ids=str
)
def test_a_port_in_use_is_one_line(driver: Driver, key_file: Path) -> None:
    """It names the address, also where the one that has it would share it."""
    datagrams = driver.service == "udp-time"
    with socket.socket(type=socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((LOOPBACK, 0))
        if not datagrams:
            holder.listen()
        port = str(holder.getsockname()[1])
        line = refuses_to_start(
            driver.command,
            WIRELAB_PORT=port,
            WIRELAB_AUTHKEY_FILE=str(key_file),
            **driver.settings,
        )
    assert line.startswith(f"cannot listen on {LOOPBACK}:{port}: Address already in use")


@each_with_a_key
def test_without_a_good_key_it_does_not_start(driver: Driver, tmp_path: Path) -> None:
    """One line names the variable, and the file."""
    assert refuses_to_start(driver.command, WIRELAB_PORT="0", **driver.settings) == (
        "WIRELAB_AUTHKEY_FILE is not set: it names the file that holds the key"
    )
    file = tmp_path / "key"
    settings = {"WIRELAB_PORT": "0", "WIRELAB_AUTHKEY_FILE": str(file), **driver.settings}
    assert refuses_to_start(driver.command, **settings) == (
        f"WIRELAB_AUTHKEY_FILE: {file}: No such file or directory"
    )
    file.write_text("peekaboo\n")
    assert refuses_to_start(driver.command, **settings) == (
        f"WIRELAB_AUTHKEY_FILE: the key in {file} has 8 characters; it takes at least 32"
    )


@each_with_a_unix_socket
def test_the_socket_file_is_there_while_the_server_is(driver: Driver, tmp_path: Path) -> None:
    """It replaces one that a crash has left, serves as TCP does, and is removed at the stop."""
    file = tmp_path / "server.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(file))
    with serving(driver, WIRELAB_UNIX_SOCKET=str(file)) as server:
        until(lambda: file.name in server.log, "it listens there")
        assert stat.S_ISSOCK(file.stat().st_mode)
        for where in (str(file), server.address):
            with connected(driver.service, where) as ask:
                ask("hello")
        assert server.stop() == 0
    assert not file.exists()


@each_with_a_unix_socket
def test_a_file_that_is_no_socket_is_not_replaced(
    driver: Driver, key_file: Path, tmp_path: Path
) -> None:
    """One line names it, and it stays as it is."""
    file = tmp_path / "notes"
    file.write_text("mine")
    line = refuses_to_start(
        driver.command,
        WIRELAB_PORT="0",
        WIRELAB_AUTHKEY_FILE=str(key_file),
        WIRELAB_UNIX_SOCKET=str(file),
        **driver.settings,
    )
    assert line.startswith(f"WIRELAB_UNIX_SOCKET has value {str(file)!r}. Not a path for a socket")
    assert file.read_text() == "mine"
