"""The client modules offer what `clients.client` says: mypy compares these tables with it."""

from clients import (
    cidr,
    console,
    httpbin,
    kv,
    object_echo,
    relay,
    rest,
    rpc,
    tcp_echo,
    udp_time,
    wire,
)
from clients.addresses import PORTS
from clients.cli.exercise import SUBJECTS
from clients.cli.main import MODULES, SUBCOMMANDS
from clients.client import Checked, Client, Subcommand, checked, client, subcommand
from clients.http import command

CLIENTS: dict[str, Client] = {
    "tcp-echo": tcp_echo,
    "udp-time": udp_time,
    "rest": rest,
    "kv": kv,
    "object-echo": object_echo,
    "rpc": rpc,
    "httpbin": httpbin,
    "relay": relay,
    "console": console,
}
CHECKED: dict[str, Checked] = {**CLIENTS, "cidr": cidr}
COMMANDS: dict[str, Subcommand] = {
    "tcp-echo": tcp_echo,
    "udp-time": udp_time,
    "http": command,
    "rest": rest,
    "kv": kv,
    "object-echo": object_echo,
    "rpc": rpc,
    "relay": relay,
    "wire": wire,
    "console": console,
    "cidr": cidr,
}


def test_every_service_has_a_client() -> None:
    """It is found by the name of the service."""
    assert {service: client(service) for service in PORTS} == CLIENTS


def test_every_subject_of_the_exercise_has_checks() -> None:
    """The services, and what needs none of them."""
    assert {subject: checked(subject) for subject in SUBJECTS} == CHECKED
    assert all(each.CHECKS for each in CHECKED.values())


def test_every_subcommand_is_there() -> None:
    """It is found by its name; `http` by that of its module."""
    assert {name: subcommand(MODULES.get(name, name)) for name in SUBCOMMANDS} == COMMANDS
