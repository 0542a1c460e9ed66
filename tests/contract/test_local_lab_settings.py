"""The lab without an engine: which settings it accepts, and what happens when they change."""

import os
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from lab import processes
from lab.description import services
from tests.support.clones import Clone, one_line
from tests.support.pace import FAR

NAMES = [service.name for service in services({})]
WITH_KEY = {"object-echo", "rpc", "console"}


def free_ports(count: int) -> list[str]:
    """Return ports that nobody has."""
    with ExitStack() as stack:
        made = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(each.getsockname()[1]) for each in made]


# Settings that both `make up` and `make doctor` accept or refuse, with a word of what is said.

GOOD = {
    "as Windows writes it": (
        "\ufeffECHO_TRANSFORM='upper' # as the recipe\r\nWIRELAB_AUTHKEY_FILE=~/key/authkey\r\n"
    ),
    "as a shell reads it": (
        "export ECHO_TRANSFORM=upper\nWIRELAB_AUTHKEY_FILE=key/authkey\nWIRELAB_BIND=127.0.0.3\n"
    ),
}

BAD = {
    "project": ("COMPOSE_PROJECT_NAME=WireLab", "COMPOSE_PROJECT_NAME has value 'WireLab'"),
    "project with a BOM": ("\ufeffCOMPOSE_PROJECT_NAME=WireLab", "'WireLab'"),
    "name as address": ("WIRELAB_BIND=nowhere", "WIRELAB_BIND has value 'nowhere'"),
    "IPv6 address": ("WIRELAB_BIND=::1", "WIRELAB_BIND has value '::1'"),
    "foreign address": ("WIRELAB_BIND=192.0.2.1", "WIRELAB_BIND has value '192.0.2.1'"),
    "port": ("WIRELAB_REST_PORT=80800", "WIRELAB_REST_PORT has value '80800'"),
    "port and address": ("WIRELAB_REST_PORT=::80", "WIRELAB_REST_PORT has value '::80'"),
    "port of other digits": ("WIRELAB_REST_PORT=٨٠٨٠", "WIRELAB_REST_PORT has value '٨٠٨٠'"),
    "port of a variant": ("WIRELAB_KV_SINGLE_PORT=any", "WIRELAB_KV_SINGLE_PORT has value 'any'"),
    "one port for two": (
        "WIRELAB_REST_PORT=18080\nWIRELAB_KV_PORT=18080",
        "WIRELAB_REST_PORT and WIRELAB_KV_PORT both have value 18080",
    ),
    "port of the relay": (
        "WIRELAB_RELAY_KV_PORT=80800",
        "WIRELAB_RELAY_KV_PORT has value '80800'",
    ),
    "one port of the relay for two": (
        "WIRELAB_RELAY_RPC_PORT=18080\nWIRELAB_RELAY_KV_PORT=18080",
        "WIRELAB_RELAY_KV_PORT and WIRELAB_RELAY_RPC_PORT both have value 18080",
    ),
    "one port for the relay and another": (
        "WIRELAB_KV_PORT=18080\nWIRELAB_RELAY_KV_PORT=18080",
        "WIRELAB_KV_PORT and WIRELAB_RELAY_KV_PORT both have value 18080",
    ),
    "port with CRLF": ("WIRELAB_REST_PORT=any\r", "WIRELAB_REST_PORT has value 'any'"),
    "home of nobody": ("WIRELAB_AUTHKEY_FILE=~nobody-here/key", "nobody has that home"),
    "key in a file": ("WIRELAB_AUTHKEY_FILE=compose.yaml/key", "compose.yaml is not a folder"),
    "key is a folder": ("WIRELAB_AUTHKEY_FILE=services", "Is a directory"),
    "key to nowhere": ("WIRELAB_AUTHKEY_FILE=dangling", "No such file or directory"),
    "short key": ("WIRELAB_AUTHKEY_FILE=short", "it takes at least 32"),
    "no line": ("= 1", ", line 1, is '= 1'. Not NAME=value"),
    "not UTF-8": ("\udcff=1", "is not UTF-8"),
}


@pytest.mark.parametrize("given", GOOD)
def test_doctor_and_up_accept_the_same_settings(clone: Clone, tmp_path: Path, given: str) -> None:
    """What doctor has nothing against, up starts."""
    (clone.folder / ".env").write_bytes(GOOD[given].encode())
    (tmp_path / "home").mkdir()
    more = {"HOME": str(tmp_path / "home"), "CDPATH": "/"}
    checked = clone.run("doctor", **more)
    assert checked.returncode == 0, checked.stdout
    assert (clone.folder / ".wirelab").exists() is False
    clone.up(**more)
    assert len(clone.pids()) == len(NAMES)
    home = tmp_path / "home" if "~" in GOOD[given] else clone.folder
    assert (home / "key" / "authkey").exists()
    assert not (clone.folder / "~").exists()
    assert clone.run("demo", "--", "tcp-echo", "hello").stdout == "HELLO\n"


@pytest.mark.parametrize("given", BAD)
def test_doctor_and_up_refuse_the_same_settings(clone: Clone, given: str) -> None:
    """Both name what is wrong, and nothing is started or made."""
    text, said = BAD[given]
    (clone.folder / ".env").write_bytes(text.encode(errors="surrogateescape"))
    (clone.folder / "short").write_text("peekaboo\n")
    (clone.folder / "dangling").symlink_to("/nowhere/authkey")
    names = [name for name in clone.settings if f"{name}=" in text]
    unset = dict.fromkeys(names, "")  # so that the one in .env counts
    checked = clone.run("doctor", **unset)
    assert checked.returncode == 1, checked.stdout
    assert said in " ".join(checked.stdout.split())
    assert "Traceback" not in checked.stdout + checked.stderr
    for command in ("up", "up-local"):
        done = clone.run(command, **unset)
        assert done.returncode == 1, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert clone.servers() == []
    assert not (clone.folder / "secrets").exists()


def test_doctor_and_up_say_what_nothing_reads(clone: Clone) -> None:
    """A setting that is mistyped, and which one may have been meant."""
    (clone.folder / ".env").write_text("WIRELAB_RSET_PORT=0\nWIRELAB_AUTHKEY_FILE=short\n")
    (clone.folder / "short").write_text("peekaboo\n")
    said = "nothing reads WIRELAB_RSET_PORT; did you mean WIRELAB_REST_PORT?"
    done = clone.run("up")
    assert done.stderr.splitlines()[-3] == said
    assert "it takes at least 32" in done.stderr
    assert said in clone.run("doctor").stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [("ECHO_TRANSFORM", "rot13"), ("WIRELAB_HOSTS", "a b"), ("WIRELAB_CLASS", "http://[::1")],
)
def test_doctor_knows_what_servers_refuse(clone: Clone, name: str, value: str) -> None:
    """`make up` would show their logs, and stop the others again."""
    done = clone.run("doctor", **{name: value})
    assert done.returncode == 1
    assert f"settings      {name} has value {value!r}. Not " in done.stdout


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("WIRELAB_REST_PORT", socket.SOCK_STREAM),
        ("WIRELAB_RELAY_KV_PORT", socket.SOCK_STREAM),
        ("WIRELAB_RELAY_UDP_TIME_PORT", socket.SOCK_DGRAM),
    ],
)
def test_doctor_and_up_see_the_same_port_in_use(
    clone: Clone, setting: str, kind: socket.SocketKind
) -> None:
    """Both name who has it, and the setting."""
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        port = {setting: str(other.getsockname()[1])}
        said = (
            f"is in use by {psutil.Process().name()} (process {os.getpid()}): free it, or set"
            f" {setting} (0: any free port)"
        )
        assert said in clone.run("doctor", **port).stdout
        assert said in one_line(clone.run("up", **port))
    assert clone.servers() == []


def test_shell_starts_what_python_says(clone: Clone) -> None:
    """`make doctor` is the same command where there is a .venv, and says so where there is none."""
    environment = {**clone.settings, "CDPATH": "/"}
    (clone.folder / ".env").write_text("WIRELAB_BIND=nowhere\n")
    script = ["bash", "scripts/doctor.sh"]
    done = subprocess.run(
        script, cwd=clone.folder, env=environment, check=False, capture_output=True, text=True
    )
    assert "are looked at once there is a .venv" in done.stdout
    (clone.folder / ".venv" / "bin").mkdir(parents=True)
    (clone.folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    python = clone.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        script, cwd=clone.folder, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "WIRELAB_BIND has value 'nowhere'" in done.stdout
    assert done.stdout.count("system ") == 1


# Bindings that change while the lab runs.


def test_bindings_that_change_are_looked_at_before_anything_is_stopped(clone: Clone) -> None:
    """A port of somebody else, an address of another machine: the lab goes on as it was.

    Ports that its own servers exchange are free: those who have them are about to leave them.
    """
    ports = free_ports(3)
    rest, kv, relayed = "WIRELAB_REST_PORT", "WIRELAB_KV_PORT", "WIRELAB_RELAY_KV_PORT"
    first = dict(zip((rest, kv, relayed), ports, strict=True))
    clone.up(**first)
    before = clone.pids()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        for setting in (rest, relayed):
            said = one_line(clone.run("up", **{**first, setting: taken}))
            assert f"(process {os.getpid()}): free it, or set {setting} " in said
    said = clone.run("up", **first, WIRELAB_BIND="192.0.2.1").stderr
    assert "WIRELAB_BIND has value '192.0.2.1'. Not an address of this machine" in said
    assert clone.pids() == before
    exchanged = {rest: ports[2], kv: ports[0], relayed: ports[1]}
    assert clone.run("doctor", **exchanged).returncode == 0
    clone.up(**exchanged)
    listed = clone.listed()
    assert listed["rest"][0] == f"127.0.0.1:{ports[2]}"
    assert listed["kv"] == [f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"]


def test_changed_port_of_the_relay_restarts_it_and_the_console(clone: Clone) -> None:
    """It passes traffic on there, where the console is told that it does; the others go on."""
    clone.up()
    before = clone.pids()
    (port,) = free_ports(1)
    clone.up(WIRELAB_RELAY_TCP_ECHO_PORT=port)
    after = clone.pids()
    assert {name for name in NAMES if after[name] != before[name]} == {"relay", "console"}
    directly, relayed = clone.listed()["tcp-echo"]
    assert relayed == f"127.0.0.1:{port}" != directly
    with socket.create_connection(("127.0.0.1", int(port)), FAR) as s:
        s.sendall(b"hello")
        assert s.recv(5, socket.MSG_WAITALL) == b"hello"


def test_address_to_publish_on_is_that_of_the_relays_traffic(clone: Clone) -> None:
    """But not of what compose.yaml has on loopback: its control, and the way to httpbin."""
    said = clone.up(WIRELAB_BIND="127.0.0.3")
    hosts = {
        name: [where.rpartition(":")[0] for where in places]
        for name, places in clone.listed().items()
    }
    assert hosts.pop("relay") == hosts.pop("console") == ["127.0.0.1"]
    assert hosts.pop("httpbin") == ["127.0.0.1"] * 2
    assert list(hosts.values()) == [["127.0.0.3"] * 2] * (len(NAMES) - 3)
    _, relayed = clone.listed()["tcp-echo"]
    assert re.search(rf"^tcp-echo .* {relayed}$", said, re.MULTILINE)
    with socket.create_connection(("127.0.0.3", int(relayed.rpartition(":")[2])), FAR) as s:
        s.sendall(b"hello")
        assert s.recv(5, socket.MSG_WAITALL) == b"hello"


def test_two_labs_run_side_by_side(clone: Clone, tmp_path: Path) -> None:
    """With ports of any number, and each relay passes on to its own lab's servers."""
    second = Clone(tmp_path / "second")
    try:
        clone.up()
        second.up(ECHO_TRANSFORM="upper")
        assert len(clone.servers()) == len(second.servers()) == len(NAMES)
        for lab, answer in ((clone, b"hello"), (second, b"HELLO")):
            for where in lab.listed()["tcp-echo"]:
                port = int(where.rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port), FAR) as s:
                    s.sendall(b"hello")
                    assert s.recv(5, socket.MSG_WAITALL) == answer
    finally:
        processes.stop([process.pid for process in second.servers()])


# The key.


def test_new_key_restarts_those_that_have_it(clone: Clone) -> None:
    """Until then `ps` and `doctor` say who still has the old one."""
    clone.up()
    before = clone.pids()
    (clone.folder / "secrets" / "authkey").unlink()
    (clone.folder / "secrets" / "authkey").write_text("k" * 40)
    said = "object-echo, rpc and console run with an older key: `make up` gives them the new one"
    assert said in clone.run("ps").stderr
    assert said in clone.run("doctor").stdout
    assert clone.run("demo", "--", "rpc", "add", "2", "3").returncode == 1
    clone.up()
    after = clone.pids()
    # On other ports now, as here the kernel picks them; the relay is told where they are.
    assert {name for name in NAMES if after[name] != before[name]} == {*WITH_KEY, "relay"}
    assert said not in clone.run("ps").stderr
    assert clone.run("demo", "--", "rpc", "add", "2", "3").stdout == "5\n"
