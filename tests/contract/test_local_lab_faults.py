"""The lab without an engine where something is in the way: files, other commands, signals."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from sysconfig import get_path
from tempfile import TemporaryDirectory

import pytest

from lab import processes
from lab.description import services
from tests.support.clones import Clone, one_line
from tests.support.pace import FAR, until

NAMES = [service.name for service in services({})]


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
    entry = b'{"servers": {"rest": {"ports": {}}}, "mounts": {}, "temporary": []}'
    for content in (b"", b"{", b"[]", b'{"servers": 1}', b"\xff", entry):
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
def shared() -> Iterator[Clone]:
    """Return a clone that other users may read.

    Not in a folder of pytest's: each session of it makes those private again.
    """
    if os.geteuid():
        pytest.skip("only root runs commands as somebody else")
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Clone(Path(folder, "clone"))
        try:
            assert as_nobody(made, "--help").returncode == 0
            yield made
        finally:
            processes.stop([process.pid for process in made.servers()])


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


@pytest.mark.parametrize("command", ["ps", "logs", "doctor", "lessons", "--help"])
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
            assert done.returncode == (1 if said else 141)
            assert said in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["1", "2", "0 1 2"])
@pytest.mark.parametrize("command", ["ps", "logs", "doctor", "lessons", "--help"])
def test_streams_that_are_closed(running: Clone, command: str, closed: str) -> None:
    """What cannot be printed is an error, a message that cannot be said is not."""
    redirections = " ".join(f"{number}>&-" for number in closed.split())
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *running.command(command)],
        cwd=running.folder, env=running.environment(), check=False, capture_output=True, text=True,
    )  # fmt: skip
    if "1" in closed:
        assert (done.returncode, done.stdout) == (1, "")
        assert ("Bad file descriptor" in done.stderr) == ("2" not in closed)
        assert "Traceback" not in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout


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
