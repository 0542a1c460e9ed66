"""Every server starts as its settings say, or says in one line what is wrong with them."""

import socket
import stat
from pathlib import Path

import pytest

from clients.addresses import Address
from lab.description import services
from tests.support.clients import connected
from tests.support.drivers import DRIVERS, Driver, drivers, in_processes, safe, serving
from tests.support.pace import until
from tests.support.processes import refuses_to_start
from tests.support.sockets import LOOPBACK

SEVERAL = in_processes("object-echo", "rpc")
WITH_KEY = [*drivers("object-echo", "rpc"), *SEVERAL]

each_driver = pytest.mark.parametrize(
    "driver", list(dict.fromkeys([*drivers(), *in_processes()])), ids=str
)
each_with_a_key = pytest.mark.parametrize("driver", WITH_KEY, ids=str)
each_with_a_unix_socket = pytest.mark.parametrize(
    "driver", [*safe("object-echo", "rpc"), *SEVERAL], ids=str
)


def test_every_driver_of_the_stack_is_tested() -> None:
    """The table of drivers has what compose.yaml has, with the same default for each service."""
    tested = {(driver.service, driver.command) for driver in drivers()}
    servers = [
        server for server in services({}, "variants") if server.name != "relay"
    ]  # it has no models
    assert {(server.speaks, tuple(server.command)) for server in servers} == tested
    defaults = {each.name: tuple(each.command) for each in servers if not each.profiles}
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


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
@each_driver
def test_a_port_in_use_is_one_line(driver: Driver, host: str, key_file: Path) -> None:
    """It names the address, also where the one that has it would share it."""
    kind = socket.SOCK_DGRAM if driver.service == "udp-time" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        where = Address(*holder.getsockname()[:2])
        line = refuses_to_start(
            driver.command,
            WIRELAB_HOST=host,
            WIRELAB_PORT=str(where.port),
            WIRELAB_AUTHKEY_FILE=str(key_file),
            **driver.settings,
        )
    assert line == f"cannot listen on {where}: Address already in use (WIRELAB_PORT)"


@each_driver
def test_an_address_of_another_machine_is_one_line(driver: Driver, key_file: Path) -> None:
    """It names the address and the setting (192.0.2.0/24 is for documentation: RFC 5737)."""
    settings = {"WIRELAB_PORT": "0", "WIRELAB_AUTHKEY_FILE": str(key_file), **driver.settings}
    line = refuses_to_start(driver.command, WIRELAB_HOST="192.0.2.77", **settings)
    assert line == ("cannot listen on 192.0.2.77:0: Cannot assign requested address (WIRELAB_HOST)")


@each_driver
@pytest.mark.parametrize("host", ["nowhere.invalid", "300.1.1.1", "[::1]", "a..b"])
def test_a_host_that_is_no_address_and_has_none_is_one_line(
    driver: Driver, host: str, key_file: Path
) -> None:
    """It names the variable and the value (.invalid has no addresses: RFC 6761, 6.4)."""
    settings = {"WIRELAB_PORT": "0", "WIRELAB_AUTHKEY_FILE": str(key_file), **driver.settings}
    line = refuses_to_start(driver.command, WIRELAB_HOST=host, **settings)
    assert line.startswith(
        f"WIRELAB_HOST has value {host!r}. Not an address, nor a name that has one: "
    )


@pytest.mark.parametrize(
    ("host", "places"),
    [
        ("::1", ["::1"]),
        ("::", ["::1", LOOPBACK]),
        ("localhost", [LOOPBACK]),
    ],
)
@each_driver
def test_it_listens_on_ipv6_on_both_and_by_name(
    driver: Driver, host: str, places: list[str]
) -> None:
    """`::` is both families, and a name that has addresses of both is the IPv4 one."""
    with serving(driver, WIRELAB_HOST=host) as server:
        numeric = LOOPBACK if host == "localhost" else host
        assert server.address == Address(numeric, server.address.port)
        assert str(server.address) in server.log
        for place in places:
            with connected(driver.service, Address(place, server.address.port)) as ask:
                ask("hello")
        # A peer is logged as its own family has it.
        assert "::ffff:" not in server.log


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
