"""The lab without an engine where something is in the way: settings, files, other commands."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from sysconfig import get_path

import psutil
import pytest

from lab import ROOT, processes
from lab.description import services
from tests.support.pace import FAR, until
from tests.support.relay import ANY_PORTS

NAMES = [service.name for service in services({})]
NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
WITH_KEY = {"object-echo", "rpc", "console"}
LOGGED = re.compile(r"^(\S+) +process (\d+)", re.MULTILINE)


class Clone:
    """A copy of the repository, and the lab of a project of its own in it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.project = f"wirelab-test-{os.urandom(4).hex()}"
        ours = ("WIRELAB_", "COMPOSE_", "ECHO_TRANSFORM")
        self.settings = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            **ANY_PORTS,
            **NO_ENGINE,
            "COMPOSE_PROJECT_NAME": self.project,
            **settings,
        }
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("clients", "lab", "services", "scripts", "requirements"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "compose.yaml", folder)

    def command(self, *arguments: str) -> list[str]:
        """Return a command of the lab."""
        return [sys.executable, "-m", "lab", *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a command: without the settings that are empty in `more`."""
        merged = {**self.settings, **more}
        return {name: value for name, value in merged.items() if value or name not in more}

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment(**more),
            check=False, capture_output=True, text=True, timeout=100,
        )  # fmt: skip

    def up(self, **more: str) -> str:
        """Run `up`, and return what it says; its clients are another matter, and have tests."""
        done = self.run("up", **more)
        assert "starting the servers: done in" in done.stderr, done.stderr
        return done.stderr

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command, whose messages are on its stderr."""
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def pids(self) -> dict[str, int]:
        """Return the process of each server that `ps` lists."""
        return {name: int(pid) for name, pid in LOGGED.findall(self.run("ps").stdout)}

    def listed(self) -> dict[str, list[str]]:
        """Return where each server listens, and where the relay does for it, as `ps` lists them."""
        lines = self.run("ps").stdout.splitlines()[1:]
        return {
            name: [word for word in words if re.fullmatch(r"[\d.]+:\d+", word)]
            for name, *words in map(str.split, lines)
        }

    def servers(self) -> list[psutil.Process]:
        """Return all servers of the project, whatever any command knows of them."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if (
                    os.getsid(process.pid) == process.pid
                    and process.environ().get("WIRELAB_PROJECT") == self.project
                    and processes.alive(process.pid)
                ):
                    found.append(process)
        return found


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    """Return a clone; end all servers that were started from it."""
    made = Clone(tmp_path / "clone")
    yield made
    processes.stop([process.pid for process in made.servers()])


@contextmanager
def small(folder: Path, options: str) -> Iterator[None]:
    """Mount a file system in memory on a folder."""
    if os.geteuid():
        pytest.skip("only root mounts")
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "wirelab-test", str(folder)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free_ports(count: int) -> list[str]:
    """Return ports that nobody has."""
    with ExitStack() as stack:
        made = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(each.getsockname()[1]) for each in made]


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the last line on stderr of a command that failed, as it should."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.rstrip("\n").split("\n")[-1]


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


# Folders that move, and what becomes of those who run there.


def test_renamed_clone_keeps_its_lab(clone: Clone, tmp_path: Path) -> None:
    """It is the same lab through a symlink, and under the new name, with the same data."""
    clone.up()
    assert clone.run("demo", "--", "kv", "set", "kept", "42").returncode == 0
    before = clone.pids()
    folder, clone.folder = clone.folder, tmp_path / "link"
    clone.folder.symlink_to(folder)
    clone.settings["PWD"] = str(clone.folder)
    assert clone.pids() == before
    clone.folder = folder.rename(tmp_path / "renamed")
    assert clone.pids() == before
    clone.up()
    assert clone.run("demo", "--", "kv", "get", "kept").stdout == "42\n"
    assert clone.run("down").stderr.startswith("stopped ")
    assert clone.servers() == []


def test_lab_of_a_deleted_clone_is_taken_over(clone: Clone, tmp_path: Path) -> None:
    """Another clone with a lab of the same name stops its servers, and says which.

    One with a lab of another name, which wants one of its ports, says how.
    """
    clone.up()
    directly, _ = clone.listed()["rest"]
    left = {process.pid for process in clone.servers()}
    shutil.rmtree(clone.folder)
    second = Clone(tmp_path / "second", WIRELAB_REST_PORT=directly.partition(":")[2])
    how = f"`COMPOSE_PROJECT_NAME={clone.project} make down` stops it"
    assert how in one_line(second.run("up"))
    second.settings["COMPOSE_PROJECT_NAME"] = clone.project
    assert str(min(left)) in one_line(second.run("ps"))
    done = second.run("down")
    assert done.returncode == 0, done.stderr
    assert {int(pid) for pid in re.findall(r"\d+", done.stderr.splitlines()[0])} == left
    assert clone.servers() == []


def test_damaged_file_of_what_runs_loses_no_server(clone: Clone) -> None:
    """Commands say that there are servers, and `make down` stops them."""
    clone.up()
    file = clone.folder / ".wirelab" / clone.project / "running.json"
    for content in (b"", b"{", b"[]", b'{"servers": 1}', b"\xff"):
        file.write_bytes(content)
        assert "`make down` stops them" in one_line(clone.run("ps"))
    for command in ("demo", "shell"):
        assert "`make down` stops them" in one_line(clone.run(command))
    done = clone.run("down")
    assert (done.returncode, clone.servers()) == (0, []), done.stderr


# Other commands at the same time, and interrupted ones.


def lines(process: "subprocess.Popen[str]", wanted: str) -> str:
    """Read what a command says until a line has `wanted` in it; return that line."""
    assert process.stderr
    for line in process.stderr:
        if wanted in line:
            return line
    pytest.fail(f"it ended without {wanted!r}")


def test_second_start_waits_for_the_first(clone: Clone) -> None:
    """It says for whom, and then finds everything running."""
    first = clone.start("up-local")
    lines(first, "starting the servers")
    second = clone.start("up-local")
    try:
        waiting = lines(second, "waiting for ")
        assert re.match(
            rf"waiting for `make up-local`, process {first.pid}, since \d\d:\d\d:\d\d$", waiting
        )
        assert len(waiting) <= 80
        lines(second, "starting the servers: done in")
        assert first.wait(FAR) is not None
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()
    assert len(clone.servers()) == len(NAMES)


def test_lock_goes_with_its_holder(clone: Clone) -> None:
    """One that is killed keeps nobody waiting, and what it had started is stopped."""
    first = clone.start("up-local")
    lines(first, "starting the servers")
    until(lambda: len(clone.servers()) > 1, "some servers run")
    first.kill()
    first.communicate()
    assert "waiting for" not in clone.up()
    assert len(clone.servers()) == len(NAMES)
    assert {process.pid for process in clone.servers()} == {*clone.pids().values()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_start_leaves_nothing(clone: Clone, number: int) -> None:
    """However often it is interrupted."""
    first = clone.start("up-local")
    lines(first, "starting the servers")
    until(lambda: len(clone.servers()) > 1, "some servers run")
    for _ in range(3):
        first.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            first.wait(0.05)
    _, said = first.communicate(timeout=FAR)
    assert (first.returncode, clone.servers()) == (130, [])
    assert said.endswith("interrupted\n")
    assert "Traceback" not in said


# Files that cannot be written.


def test_read_only_clone_is_named(clone: Clone) -> None:
    """Nothing is started, as what runs could not be written down."""
    key = clone.folder.with_name("key")
    key.write_text("k" * 40)
    clone.settings["WIRELAB_AUTHKEY_FILE"] = str(key)
    folder = clone.folder.with_name("small")
    with small(folder, "size=64m"):
        clone.folder = Path(shutil.copytree(clone.folder, folder / "clone"))
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        said = f"{clone.folder} cannot be written to"
        assert said in clone.run("doctor").stdout
        assert said in one_line(clone.run("up"))
        clone.settings.pop("WIRELAB_AUTHKEY_FILE")
        assert said in clone.run("up").stderr.splitlines()[-2]
    assert clone.servers() == []


def test_full_disk_leaves_no_empty_key(clone: Clone) -> None:
    """It is named, by doctor too, before there is half a file."""
    folder = clone.folder.with_name("small")
    with small(folder, "size=64k"):
        (folder / "filler").write_bytes(bytes(48 * 1024))
        key = {"WIRELAB_AUTHKEY_FILE": str(folder / "secrets" / "authkey")}
        assert "no space left for" in clone.run("doctor", **key).stdout
        assert "no space left for" in one_line(clone.run("up", **key))
        assert [each.name for each in folder.iterdir()] == ["filler"]
    assert clone.servers() == []


# Ours, and where that is in a folder of root's alone, the system's with the same packages.
PYTHONS: tuple[tuple[str, dict[str, str]], ...] = (
    (sys.executable, {}),
    ("/usr/bin/python3", {"PYTHONPATH": get_path("purelib")}),
)


def as_nobody(clone: Clone, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the lab as a user who is not the one that started it."""
    for python, more in PYTHONS:
        with suppress(PermissionError):
            return subprocess.run(
                [python, *clone.command(*arguments)[1:]], cwd=clone.folder,
                env=clone.environment(HOME="/", **more), check=False, capture_output=True,
                text=True, timeout=100, user=65534, group=65534, extra_groups=[],
            )  # fmt: skip
    raise AssertionError("no Python that another user may run")


@pytest.fixture
def shared(clone: Clone) -> Clone:
    """Return a clone that other users may read."""
    if os.geteuid():
        pytest.skip("only root runs commands as somebody else")
    for parent in clone.folder.parents:  # pytest's are for their owner alone
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    assert as_nobody(clone, "--help").returncode == 0
    return clone


def test_lab_that_root_has_started_is_not_for_others(shared: Clone) -> None:
    """As after `sudo make up-local`: one line says whose it is, and everything goes on."""
    shared.up()
    before = shared.pids()
    (shared.folder / "services" / "runtime.py").touch()  # so that a start would restart all
    for command in ("up", "down", "distclean"):
        assert "root" in one_line(as_nobody(shared, command))
        assert shared.pids() == before


# Output that nobody takes, and what there is none of.


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """Return a clone whose lab runs."""
    made = Clone(tmp_path_factory.mktemp("running") / "clone")
    made.up()
    yield made
    made.run("down")


@pytest.mark.parametrize("command", ["ps", "logs", "doctor"])
def test_output_that_is_not_taken(running: Clone, command: str) -> None:
    """Where nobody reads it, a command ends as any other tool; a full disk is named."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe, Path("/dev/full").open("wb") as full:
        for output, said in ((pipe, ""), (full, "No space left on device")):
            done = subprocess.run(
                running.command(command), cwd=running.folder, env=running.environment(),
                check=False, stdout=output, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert done.returncode != 0
            assert said in done.stderr
            assert "Traceback" not in done.stderr


def test_state_is_written_in_one_piece(running: Clone) -> None:
    """Nothing else is left beside it."""
    folder = running.folder / ".wirelab" / running.project
    assert set(json.loads((folder / "running.json").read_text())["servers"]) == set(NAMES)
    assert [each.name for each in folder.iterdir() if each.name.startswith(".")] == []


def test_logs_of_what_does_not_run(running: Clone) -> None:
    """Whatever it logged before is shown, and that it does not run is said."""
    os.kill(running.pids()["rest"], signal.SIGKILL)
    done = running.run("logs", "--service=rest")
    assert "istening at" in done.stdout
    said = "wirelab: rest does not run: `make up` starts it\n"
    assert (done.returncode, done.stderr) == (1, said)
    done = running.run("logs", "--service=tcp-echo-forked")
    said = "wirelab: tcp-echo-forked does not run: `make up PROFILE=variants` starts it\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
