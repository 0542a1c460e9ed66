"""The command line of the clients, where nothing is up: what it says, and its exit status."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.addresses import DISCOVERY, PORTS, Address, variable
from clients.cli.main import SUBCOMMANDS, parsed
from clients.cli.variants import DRIVERS
from services.version import VERSION
from tests.support.processes import run
from tests.support.sockets import LOOPBACK, closed_port

CLIENTS = ["python", "-m", "clients"]


@pytest.fixture(scope="module")
def down() -> Iterator[Address]:
    """Lend a port on which nobody listens, neither for TCP nor for UDP."""
    with closed_port() as address, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((LOOPBACK, address.port))
        yield address


@pytest.fixture(scope="module")
def environment(down: Address, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which every service is at an address that is down."""
    key = tmp_path_factory.mktemp("secrets") / "authkey"
    key.write_text("k" * 32)
    return {variable(service): str(down) for service in PORTS} | {"WIRELAB_AUTHKEY_FILE": str(key)}


ASKING = {
    "tcp-echo": ["tcp-echo", "hello"],
    "udp-time": ["udp-time", "-c", "1", "-a", "1", "-w", "0.05"],
    "http": ["http", "GET", "/get"],
    "rest": ["rest", "hello", "Guido"],
    "kv": ["kv", "get", "foo"],
    "object-echo": ["object-echo", "hello"],
    "rpc": ["rpc", "add", "2", "3"],
}


@pytest.mark.parametrize("subcommand", ASKING)
def test_a_service_that_is_down_is_named_with_its_address(
    subcommand: str, down: Address, environment: dict[str, str]
) -> None:
    """The message is one line, the exit status 1."""
    result = run([*CLIENTS, *ASKING[subcommand]], **environment)
    service = {"http": "httpbin"}.get(subcommand, subcommand)
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"clients: {service} at {down}: ")
    assert result.returncode == 1


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_subcommand_explains_itself(subcommand: str) -> None:
    """With what it does, its options, and the address of nothing that has to be up."""
    result = run([*CLIENTS, subcommand, "--help"])
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"usage: clients {subcommand} ")
    what = SUBCOMMANDS[subcommand]
    assert f"{what[0].upper()}{what[1:]}."[:60] in result.stdout.replace("\n", " ")
    assert "try:\n  " in result.stdout or "examples:\n" in result.stdout
    assert f" clients {subcommand}" in result.stdout.partition("options:")[2]


@pytest.mark.parametrize("package", ["lab", "clients"])
def test_the_version_is_the_one_of_all(package: str) -> None:
    """The one in services/version.py, which the wheel, the kit and rest have too."""
    result = run(["python", "-m", package, "--version"])
    assert (result.returncode, result.stdout) == (0, f"wirelab {VERSION}\n")


def test_the_help_lists_all_subcommands() -> None:
    """Each with what it does."""
    result = run([*CLIENTS, "--help"])
    assert result.returncode == 0
    for subcommand in SUBCOMMANDS:
        assert f"\n    {subcommand}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["telnet"], "invalid choice: 'telnet'", id="no such subcommand"),
        pytest.param(["--verbose"], "unrecognized arguments: --verbose", id="no such option"),
        pytest.param(
            ["tcp-echo", "--cuont", "3"],
            "unrecognized arguments: --cuont: what comes after `--` is text",
            id="no option of that one",
        ),
        pytest.param(
            ["kv", "--timout=3", "keys"],
            "unrecognized arguments: --timout=3: perhaps --timeout; ",
            id="nearly one",
        ),
        pytest.param(["kv"], "required: ACTION", id="no action"),
        pytest.param(["kv", "drop"], "invalid choice: 'drop'", id="no such action"),
        pytest.param(
            ["tcp-echo", "--timeout", "0"], "'0' is not a number of seconds from", id="no time"
        ),
        pytest.param(
            ["tcp-echo", "--timeout", "nan"], "'nan' is not a number of seconds from", id="nan"
        ),
        pytest.param(
            ["udp-time", "--interval", "-1"], "'-1' is not a number of seconds from", id="past"
        ),
        pytest.param(
            ["udp-time", "--count", "0"], "'0' is not a whole number from 1 to", id="no requests"
        ),
        pytest.param(
            ["cidr", "10.0.0.0/8", "--list", "--limit", "0"],
            "'0' is not a whole number from 1 to",
            id="a limit of none",
        ),
        pytest.param(
            ["--json", "kv", "keys"], "--json and --svg are for the exercise", id="JSON of one"
        ),
        pytest.param(
            ["rest", "upload", "nowhere"], "'nowhere' is not a file that can be read", id="no file"
        ),
        pytest.param(["object-echo"], "required: value", id="nothing to send"),
        pytest.param(["--json", "--svg", "x"], "not allowed with argument", id="two outputs"),
        pytest.param(["cidr", "10.0.0.0/8", "--at", "x"], "invalid int value: 'x'", id="no index"),
        pytest.param(
            ["cidr", "--all"], "unrecognized arguments: --all", id="variants of what has none"
        ),
        pytest.param(
            ["kv", "--all", "keys"], "unrecognized arguments: keys", id="variants and an action"
        ),
        pytest.param(
            ["tcp-echo", "--json"], "unrecognized arguments: --json", id="JSON of no comparison"
        ),
    ],
)
def test_a_usage_error_has_status_2(arguments: list[str], message: str) -> None:
    """The usage, then what is wrong."""
    result = run([*CLIENTS, *arguments])
    assert result.returncode == 2
    assert result.stderr.startswith("usage: clients")
    assert message in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["cidr", "10.0.0.0/33"],
            "'10.0.0.0/33' is not a network in CIDR notation: '10.0.0.0/33' does not appear to be"
            " an IPv4 or IPv6 network",
            id="no network",
        ),
        pytest.param(
            ["cidr", "10.0.0.1/8"],
            "'10.0.0.1/8' has host bits set; its network is 10.0.0.0/8",
            id="host bits",
        ),
        pytest.param(
            ["cidr", "10.0.0.0/31", "--at", "2"],
            "10.0.0.0/31 has 2 addresses, and none at index 2",
            id="no such index",
        ),
        pytest.param(
            ["cidr"], "a network is needed, such as 10.1.0.0/16, or --sweep", id="no network given"
        ),
        pytest.param(
            ["cidr", "10.0.0.0/8", "--subnets", "4"],
            "--subnets has value 4. Not a prefix in 10.0.0.0/8 (8 to 32)",
            id="subnets larger than the network",
        ),
        pytest.param(
            ["cidr", "10.0.0.0/8", "--sweep"],
            "10.0.0.0/8 is not in the lab's own network, 127.0.0.1/32; no other one is swept",
            id="the network of others",
        ),
        pytest.param(
            ["kv", "set", "x", "3000000000"],
            "a value has no form in XML-RPC: int exceeds XML-RPC limits",
            id="an integer that XML-RPC has no form for",
        ),
        pytest.param(
            ["kv", "set", "x", "{1}"],
            "a value has no form in XML-RPC: cannot marshal <class 'set'> objects",
            id="a type that XML-RPC does not have",
        ),
    ],
)
def test_a_value_that_cannot_be_used_has_status_2(arguments: list[str], message: str) -> None:
    """One line says which, and why."""
    result = run([*CLIENTS, *arguments])
    assert (result.returncode, result.stderr) == (2, f"clients: {message}\n")


def test_a_bad_address_names_its_variable() -> None:
    """It is found before anything is connected to."""
    result = run([*CLIENTS, "kv", "keys"], WIRELAB_KV_ADDRESS="kv")
    message = "clients: WIRELAB_KV_ADDRESS has value 'kv'. Not a host:port\n"
    assert (result.returncode, result.stderr) == (2, message)


WITH_VARIANTS = ["tcp-echo", "udp-time", "rest", "kv", "object-echo", "rpc"]


@pytest.mark.parametrize("subcommand", WITH_VARIANTS)
def test_a_comparison_of_what_does_not_run_says_how_to_start_it(
    subcommand: str, down: Address, environment: dict[str, str]
) -> None:
    """Whether nothing is known of variants, or none answers: one line, and status 1."""
    silent = variable(f"{subcommand}-{DRIVERS[subcommand][1].replace('_', '-')}")
    how = "`make up PROFILE=variants` starts them"
    message = f"of the variants of {subcommand} none answers: {how}"
    for more in ({}, {silent: str(down)}, {DISCOVERY: "dns"}):
        result = run([*CLIENTS, subcommand, "--all", "--json"], **environment, **more)
        assert (result.returncode, result.stdout, result.stderr) == (1, "", f"clients: {message}\n")


@pytest.mark.parametrize("subcommand", WITH_VARIANTS)
def test_a_comparison_explains_itself(subcommand: str) -> None:
    """It is in the help of the service, and has its own, without what it has no use for."""
    assert "\n  --all " in run([*CLIENTS, subcommand, "--help"]).stdout
    result = run([*CLIENTS, subcommand, "--all", "--help"])
    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: clients {subcommand} [-h] [--all] [--json]\n")
    assert f"Compare the variants of {subcommand} in one table.\n" in result.stdout


def test_what_follows_two_hyphens_is_text(environment: dict[str, str]) -> None:
    """Also where it looks like the option: here it is sent, and nobody is there."""
    result = run([*CLIENTS, "tcp-echo", "--", "--all"], **environment)
    assert result.returncode == 1
    assert result.stderr.startswith("clients: tcp-echo at ")


def test_a_bad_address_of_a_variant_names_its_variable() -> None:
    """As that of a service does."""
    result = run([*CLIENTS, "kv", "--all"], WIRELAB_KV_SINGLE_ADDRESS="kv")
    message = "clients: WIRELAB_KV_SINGLE_ADDRESS has value 'kv'. Not a host:port\n"
    assert (result.returncode, result.stderr) == (2, message)


@pytest.mark.parametrize("subcommand", ["object-echo", "rpc"])
def test_without_an_authkey_it_says_so(subcommand: str, tmp_path: Path) -> None:
    """The variable is named, and the file where that is what is missing."""
    unset = run([*CLIENTS, subcommand, "help"])
    assert (unset.returncode, unset.stderr) == (
        1,
        "WIRELAB_AUTHKEY_FILE is not set: it names the file that holds the key\n",
    )
    missing = run([*CLIENTS, subcommand, "help"], WIRELAB_AUTHKEY_FILE=str(tmp_path / "none"))
    assert (missing.returncode, missing.stderr) == (
        1,
        f"WIRELAB_AUTHKEY_FILE: {tmp_path / 'none'}: No such file or directory\n",
    )


@pytest.mark.parametrize("subcommand", ["object-echo", "rpc"])
@pytest.mark.parametrize("more", [{}, {"WIRELAB_SOCKETS": "/nowhere"}], ids=["unset", "nowhere"])
def test_a_unix_socket_that_is_not_there_is_an_error(
    subcommand: str, more: dict[str, str], environment: dict[str, str]
) -> None:
    """It is named, and the setting that says where it would be."""
    result = run([*CLIENTS, subcommand, "--unix", "help"], **environment, **more)
    value = repr(more.get("WIRELAB_SOCKETS"))
    message = f"clients: WIRELAB_SOCKETS has value {value}. No folder with {subcommand}.sock\n"
    assert (result.returncode, result.stderr) == (2, message)


def test_a_network_is_described() -> None:
    """In five lines."""
    result = run([*CLIENTS, "cidr", "123.45.67.64/31"])
    assert result.returncode == 0
    assert result.stdout == (
        "network    123.45.67.64/31\n"
        "addresses  2\n"
        "first      123.45.67.64\n"
        "last       123.45.67.65\n"
        "netmask    255.255.255.254\n"
    )


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["fd00::/127", "--list"], "fd00::\nfd00::1\n"),
        (["::/0", "--list", "--limit", "2"], "::\n::1\n"),
        (["10.0.0.0/8", "--at", "-1"], "10.255.255.255\n"),
        (["10.0.0.0/8", "--contains", "10.1.2.3"], "yes\n"),
        (["10.0.0.0/8", "--contains", "11.1.2.3"], "no\n"),
        (["10.0.0.0/8", "--subnets", "9"], "10.0.0.0/9\n10.128.0.0/9\n"),
    ],
    ids=" ".join,
)
def test_a_question_about_a_network_is_answered(arguments: list[str], output: str) -> None:
    """With the values alone, a line each, for other programs to read."""
    result = run([*CLIENTS, "cidr", *arguments])
    assert (result.returncode, result.stdout, result.stderr) == (0, output, "")


def test_with_everything_down_the_json_says_so(down: Address, environment: dict[str, str]) -> None:
    """Of each service the first check fails, the others are not tried; the status is 1."""
    result = run([*CLIENTS, "--json"], **environment)
    document = json.loads(result.stdout)
    assert (result.returncode, result.stderr) == (1, "")
    assert document.keys() == {"held", "checks", "left_out"}
    assert len(document["left_out"]) == 2  # UNIX sockets, of which there is no folder
    assert document["held"] is False
    by_service: dict[str, list[dict[str, object]]] = {}
    for check in document["checks"]:
        assert list(check) == ["service", "address", "check", "held", "error", "seconds"]
        by_service.setdefault(check["service"], []).append(check)
    assert list(by_service) == [*PORTS, "cidr"]
    for service in PORTS:
        first, *others = by_service[service]
        assert first["address"] == str(down)
        assert str(first["error"]).startswith(f"no answer from {down}: ")
        assert others
        assert {str(other["error"]) for other in others} == {f"not tried: {first['error']}"}
        assert not any(check["held"] for check in by_service[service])
    assert [check["held"] for check in by_service["cidr"]] == [True, True, False]


def test_with_everything_down_the_table_says_so(environment: dict[str, str]) -> None:
    """Each failure has its line and its row, and the exit status is that of a failure."""
    result = run(CLIENTS, **environment)
    assert result.returncode == 1
    assert "FAILED kv " in result.stdout
    *_, summary, why, _, _ = result.stdout.splitlines()
    assert " checks held" in summary
    assert why == "but for UNIX sockets, as WIRELAB_SOCKETS is not set:"


@pytest.mark.parametrize("action", [["kv", "get", "spam"], ["rest", "GET", "/"]], ids=" ".join)
def test_options_of_a_subcommand_may_stand_behind_its_action(action: list[str]) -> None:
    """As well as before it; the last one counts, and without any it is the default."""
    subcommand, *rest = action
    for arguments, timeout, via in (
        (action, 5, None),
        ([*action, "--timeout", "2", "--via", "relay"], 2, "relay"),
        ([subcommand, "--timeout", "2", "--via", "relay", *rest], 2, "relay"),
        ([subcommand, "--timeout", "3", *rest, "--timeout", "2"], 2, None),
    ):
        options = parsed(arguments)
        assert (options.timeout, options.via, options.action) == (timeout, via, rest[0])
