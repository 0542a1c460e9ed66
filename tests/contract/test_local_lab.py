"""The lab without an engine: the servers of compose.yaml as processes of this machine."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from clients.addresses import Address, host_and_port
from clients.cli import exercise
from clients.console import stack
from clients.relay import Relay
from lab import ROOT, processes
from lab.description import services
from services.relay.server import PROXIES
from services.wire import pcapng
from tests.support.pace import FAR
from tests.support.processes import SILENCE_TIMEOUT
from tests.support.relay import ANY_PORTS
from tests.support.talking import check_clean, check_failed, spoil, talking

NAMES = [service.name for service in services({})]
ALL = [service.name for service in services({}, "variants")]
NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}

Lab = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Return what runs the lab's command line, for a lab of its own; stop that at the end."""
    project = f"wirelab-test-{secrets.token_hex(4)}"
    settings = {
        **os.environ,
        **ANY_PORTS,
        **NO_ENGINE,
        "COMPOSE_PROJECT_NAME": project,
        "WIRELAB_AUTHKEY_FILE": str(tmp_path / "authkey"),
    }

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "lab", *arguments],
            cwd=ROOT,
            env={**settings, **more},
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )

    yield run
    run("down")
    shutil.rmtree(ROOT / ".wirelab" / project, ignore_errors=True)


def pids(listing: str) -> dict[str, int]:
    """Return the process of each server in what `ps` prints."""
    return {
        name: int(pid) for name, pid in re.findall(r"^(\S+) +process (\d+)", listing, re.MULTILINE)
    }


def test_same_servers_run_where_there_is_no_engine(lab: Lab) -> None:
    """`make up` says in one line that there is no engine, and the clients find all they ask."""
    done = lab("up")
    assert done.returncode == 0, done.stderr
    assert "engine.sh: no Docker engine answers at tcp://127.0.0.1:1\n" in done.stderr
    assert "No engine: the same servers run as processes of this machine instead.\n" in done.stderr
    total = len(exercise.every())
    assert f"\n{total} of {total} checks held" in done.stdout
    assert set(pids(lab("ps").stdout)) == set(NAMES)
    assert "\nmake wire: what one exchange with each service was on the wire\n" in done.stderr


def test_the_end_of_a_start_is_the_address_of_the_page(lab: Lab) -> None:
    """There the console shows all servers, which it has been told the addresses of."""
    done = lab("up-local")
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1]
    found = re.fullmatch(r"Open http://([\d.]+):(\d+)/ to see the lab, live\.", last)
    assert found, last
    states = {each["name"]: each["state"] for each in stack(Address(found[1], int(found[2])))}
    assert states == dict.fromkeys(set(NAMES) - {"console"}, "healthy")
    before = pids(lab("ps").stdout)
    assert lab("up-local").returncode == 0
    assert pids(lab("ps").stdout) == before


def test_the_wire_has_an_exchange_of_each_service_after_the_start(lab: Lab, tmp_path: Path) -> None:
    """And what clients send through the relay from then on, on ports that the kernel has picked."""
    assert lab("up-local").returncode == 0
    for service in PROXIES:
        shown = lab("wire", f"--service={service}")
        assert shown.stdout.startswith(f"{service}, connection 1 "), shown.stderr
        first, second = shown.stderr.splitlines()  # in words that can be typed as they stand
        assert first == '1 of 1 conversations. `make wire ARGS="--last 9"` shows more of them,'
        assert len(second) <= 80
    assert lab("demo", "--", "rpc", "--via", "relay", "add", "2", "3").stdout == "5\n"
    found = lab("wire", "--service=rpc", "--", "--json", "--last", "1").stdout
    assert "add(2, 3)" in [each["summary"] for each in json.loads(found)["events"]]
    picture, packets = tmp_path / "wire.svg", tmp_path / "wire.pcapng"
    for option, file in (("--svg", picture), ("--pcapng", packets)):
        done = lab("wire", "--", option, str(file))
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"{file}: {file.stat().st_size:,} bytes\n"
    assert {each.proxy for each in pcapng.decode(packets.read_bytes())} == set(PROXIES)


def test_a_network_has_a_profile_until_it_is_clean(lab: Lab) -> None:
    """While it has one, a start sends nothing through it; what is no profile or seed is named."""
    assert lab("up-local").returncode == 0
    assert lab("network").stdout.startswith("profile clean, seed 1\n")
    assert lab("network", "--profile=cut", "--seed=7").stdout.startswith("profile cut, seed 7\n")
    again = lab("up-local")
    assert again.returncode == 0
    assert "\nmake network PROFILE=clean: end what the relay does (cut)\n" in again.stderr
    one = lab("network", "--profile=clean", "--service=rest")
    assert re.fullmatch(r"rest +TCP \S+ → \S+, seed 7\n", one.stdout)
    for arguments, error in (
        ("--profile=fast", "no profile 'fast'; there are clean, 3g, satellite, lossy, cut"),
        ("--service=reset", "no service 'reset'; there are tcp-echo, "),
        ("--seed=x", "SEED has value 'x'. Not a whole number from 0 to 2,147,483,648"),
    ):
        done = lab("network", arguments)
        assert done.returncode != 0
        assert error in done.stderr


def test_down_ends_all_processes_and_keeps_the_data_of_kv(lab: Lab) -> None:
    """After `make down` no server is left, and what kv was told is there at the next start."""
    assert lab("up-local").returncode == 0
    assert lab("demo", "--", "kv", "set", "kept", "42").returncode == 0
    servers = [psutil.Process(pid) for pid in pids(lab("ps").stdout).values()]
    workers = [child for server in servers for child in server.children(recursive=True)]
    assert lab("down").stderr.startswith(f"stopped {', '.join(NAMES)}\n")
    assert [each for each in servers + workers if processes.alive(each.pid)] == []
    assert lab("up-local").returncode == 0
    assert lab("demo", "--", "kv", "get", "kept").stdout == "42\n"


def test_second_start_starts_only_what_does_not_run(lab: Lab) -> None:
    """A server that was killed is started again, the others go on.

    But for the relay: it is told where the server is, which has another port here.
    """
    assert lab("up-local").returncode == 0
    before = pids(lab("ps").stdout)
    os.kill(before["udp-time"], signal.SIGKILL)
    assert lab("up-local").returncode == 0
    after = pids(lab("ps").stdout)
    assert after.keys() == before.keys()
    assert {name for name in NAMES if after[name] != before[name]} == {
        "udp-time",
        "relay",
        "console",
    }


def test_a_killed_relay_fails_its_clients_in_time_and_comes_back_clean(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients of every service get an error that says why; the next start brings it back."""
    assert lab("up-local").returncode == 0
    monkeypatch.setenv("WIRELAB_AUTHKEY_FILE", str(tmp_path / "authkey"))
    control, relayed = through_relay(lab("ps").stdout)
    spoil(Relay(control, FAR))
    with talking(relayed, 3.0) as talkers:
        assert {each.service for each in talkers} == set(PROXIES)
        os.kill(pids(lab("ps").stdout)["relay"], signal.SIGKILL)
        check_failed(talkers)
    done = lab("demo", "--", "--via", "relay", "--json")
    errors = {row["service"]: row["error"] for row in reversed(json.loads(done.stdout)["checks"])}
    assert done.returncode == 1
    assert set(errors) == set(PROXIES)
    assert all(error.startswith("no answer from 127.0.0.1:") for error in errors.values())
    assert lab("up-local").returncode == 0
    control, relayed = through_relay(lab("ps").stdout)
    check_clean(Relay(control, FAR))
    with talking(relayed, 3.0):
        pass
    assert lab("demo", "--", "--via", "relay").returncode == 0


def through_relay(listing: str) -> tuple[Address, dict[str, Address]]:
    """Return where the relay's control is, and where it leads to each service, as `ps` has it."""
    rows = [line.split() for line in listing.splitlines()[1:]]
    places = {
        name: [host_and_port(word, "ps") for word in words if re.fullmatch(r"[\d.]+:\d+", word)]
        for name, *words in rows
    }
    (control,) = places["relay"]
    return control, {name: places[name][1] for name in PROXIES}


def test_exercise_names_a_server_that_is_down(lab: Lab) -> None:
    """The clients say which server does not answer and where, and fail."""
    assert lab("up-local").returncode == 0
    os.kill(pids(lab("ps").stdout)["rpc"], signal.SIGKILL)
    done = lab("demo", "--", "--json")
    rows = [row for row in json.loads(done.stdout)["checks"] if row["service"] == "rpc"]
    assert done.returncode == 1
    assert rows[0]["error"].startswith(f"no answer from {rows[0]['address']}: ")
    assert not any(row["held"] for row in rows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            {"WIRELAB_REST_PORT": "80800"},
            "WIRELAB_REST_PORT has value '80800'. Not a port number (0 to 65535)",
            id="port",
        ),
        pytest.param(
            {"WIRELAB_BIND": "nowhere", "WIRELAB_RPC_PORT": "17000"},
            "WIRELAB_BIND has value 'nowhere'. Not an IPv4 address",
            id="bind address",
        ),
        pytest.param(
            {"WIRELAB_KV_SINGLE_PORT": "any"},
            "WIRELAB_KV_SINGLE_PORT has value 'any'. Not a port number (0 to 65535)",
            id="port of a variant",
        ),
        pytest.param(
            {"WIRELAB_AUTHKEY_FILE": "CHANGELOG.md/authkey"},
            "WIRELAB_AUTHKEY_FILE: ",
            id="key in no folder",
        ),
    ],
)
def test_bad_setting_is_named_with_its_value(
    lab: Lab, settings: dict[str, str], message: str
) -> None:
    """Nothing starts, and the terminal says which setting has which wrong value."""
    done = lab("up-local", "--profile=variants", **settings)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert pids(lab("ps", **settings).stdout) == {}


@pytest.mark.parametrize("command", ["up", "up-local"])
def test_unknown_profile_is_named(lab: Lab, command: str) -> None:
    """Nothing starts, and the terminal says which profiles there are; one of no server is none."""
    for profile in ("varaints", "clients"):
        done = lab(command, f"--profile={profile}")
        assert done.returncode == 1
        assert done.stderr == (
            f"wirelab: PROFILE has value {profile!r}. Not a profile of servers, which are:"
            " cluster, variants\n"
        )
    assert pids(lab("ps").stdout) == {}


def test_a_profile_that_needs_containers_says_so(lab: Lab) -> None:
    """There is no etcd among the processes."""
    done = lab("up-local", "--profile=cluster")
    assert done.returncode == 1
    assert done.stderr == (
        "wirelab: PROFILE has value 'cluster'. Not for local processes: etcd-1, etcd-2, etcd-3 run"
        " in containers only\n"
    )
    assert pids(lab("ps").stdout) == {}


def test_variants_run_with_their_profile(lab: Lab) -> None:
    """They are added to what runs, each to be compared where it is, its UNIX socket too.

    The console is started anew, as it is told where they are.
    """
    assert lab("up-local").returncode == 0
    listing = lab("ps").stdout
    before = pids(listing)
    assert [line.split()[0] for line in listing.splitlines()[1:]] == list(before) == NAMES
    alone = lab("demo", "--", "object-echo", "--all")
    assert alone.returncode == 1
    assert "of the variants of object-echo only evented answers: `make up PROFILE=variants`" in (
        alone.stderr
    )
    done = lab("up-local", "--profile=variants")
    assert done.returncode == 0, done.stderr
    after = pids(lab("ps").stdout)
    assert set(after) == set(ALL)
    assert [name for name in NAMES if after[name] != before[name]] == ["console"]
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Open ")]
    rows = [line.split() for line in lines if "127.0.0.1:" in line]
    listening = {name: where for name, where, *_ in rows}
    assert set(listening) == set(ALL)
    compared = lab("demo", "--", "object-echo", "--all", "--json")
    assert compared.returncode == 0, compared.stderr
    rows = json.loads(compared.stdout)["variants"]
    compared_as = [(row["model"], Path(row["address"]).name, row["failed"] == []) for row in rows]
    assert compared_as == [
        ("evented", listening["object-echo"], True),
        ("evented", "object-echo.sock", True),
        ("coroutines", listening["object-echo-coroutines"], True),
        ("coroutines", "object-echo-coroutines.sock", True),
        ("threaded", listening["object-echo-threaded"], True),
        ("threaded", "object-echo-threaded.sock", True),
        ("classic", listening["object-echo-classic"], True),
    ]
    assert [row["served_beside_silent"] for row in rows] == 6 * [True] + [False]
    assert "tcp-echo: listening on " in lab("logs", "--service=tcp-echo-forked").stdout
    stopped, *_ = lab("down").stderr.splitlines()
    assert set(stopped.removeprefix("stopped ").split(", ")) == set(ALL)


def test_short_key_is_refused(lab: Lab, tmp_path: Path) -> None:
    """A key that somebody wrote is checked, and how to get another is said."""
    (tmp_path / "authkey").write_text("peekaboo\n")
    done = lab("up-local")
    assert done.returncode == 1
    assert "has 8 characters; it takes at least 32\nRemove the file" in done.stderr


def test_server_that_cannot_start_is_shown_with_its_log(lab: Lab) -> None:
    """The reason is on the terminal, and the servers that did start are stopped again."""
    done = lab("up-local", ECHO_TRANSFORM="rot13")
    assert done.returncode == 1
    assert "ECHO_TRANSFORM has value 'rot13'. Not one of 'none', 'upper'" in done.stderr
    assert "Traceback" not in done.stderr
    assert pids(lab("ps").stdout) == {}


def test_servers_started_before_one_that_cannot_start_are_stopped(lab: Lab) -> None:
    """Rest fails when tcp-echo and udp-time run already."""
    done = lab("up-local", **{SILENCE_TIMEOUT: "0"})
    assert done.returncode == 1
    assert f"{SILENCE_TIMEOUT} has value '0'" in done.stderr
    assert pids(lab("ps").stdout) == {}


def test_port_of_udp_in_use_is_named(lab: Lab) -> None:
    """A datagram socket has it, which a stream socket would not notice."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        done = lab("up-local", WIRELAB_UDP_TIME_PORT=str(port))
    assert done.returncode == 1
    assert f"127.0.0.1:{port}/udp, which udp-time is to be published on, is in use" in done.stderr


def test_changed_setting_restarts_the_server_it_is_of(lab: Lab) -> None:
    """`make up` after a change puts it into effect, and leaves the other servers alone.

    But for the relay: it is told where the server is, which has another port here.
    """
    assert lab("up-local").returncode == 0
    before = pids(lab("ps").stdout)
    assert lab("up-local", ECHO_TRANSFORM="upper").returncode == 0
    after = pids(lab("ps").stdout)
    assert {name for name in NAMES if after[name] != before[name]} == {
        "tcp-echo",
        "relay",
        "console",
    }
    assert lab("demo", "--", "tcp-echo", "hello").stdout == "HELLO\n"


def test_distclean_leaves_the_other_labs_of_a_folder(lab: Lab) -> None:
    """Only what belongs to its own project is removed."""
    assert lab("up-local").returncode == 0
    other = {"COMPOSE_PROJECT_NAME": f"wirelab-test-{secrets.token_hex(4)}"}
    assert lab("distclean", **other).returncode == 0
    assert set(pids(lab("ps").stdout)) == set(NAMES)


@pytest.mark.parametrize("command", ["logs", "shell"])
def test_unknown_service_is_named(lab: Lab, command: str) -> None:
    """The terminal says which service there is not, and which ones there are."""
    done = lab(command, "--service=rset")
    assert done.returncode == 1
    every = ", ".join(service.name for service in services({}, "*"))
    assert done.stderr == f"wirelab: no service 'rset'; there are {every}\n"


@pytest.mark.parametrize("command", ["demo", "shell", "logs", "ps"])
def test_says_what_is_missing_where_nothing_runs(lab: Lab, command: str) -> None:
    """Without an engine and without servers, each command says so and how to start."""
    done = lab(command)
    assert done.returncode == 1
    assert done.stderr.endswith("wirelab: nothing runs: `make up` starts the lab\n")
