"""The workshop in containers: a participant's server in the place of ours, a class's server."""

import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import docker
import pytest

from clients import class_results
from lab import ROOT
from lab.stack import Stack
from tests.support.engine import SERVICES, container_of, lab, new_stack

SOLUTION = "workshop/04-second-client/solution.py"
FILE = "workshop/mine/second_client.py"
HOST = 'os.environ.get("WIRELAB_HOST", "127.0.0.1")'


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the lab and its lessons are made of to another folder."""
    folder = tmp_path_factory.mktemp("clone $HOME")  # which no shell, and no Compose, fills in
    for name in ("clients", "lab", "requirements", "scripts", "services", "workshop"):
        ignored = shutil.ignore_patterns("__pycache__", "mine")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in (".dockerignore", "Dockerfile", "compose.yaml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / FILE).parent.mkdir(mode=0o755)
    return folder


@pytest.fixture(scope="module")
def theirs(
    engine: docker.DockerClient,  # noqa: ARG001 - it takes one
    clone: Path,
) -> Iterator[Stack]:
    """Lend a lab of that folder, in which nothing runs yet; remove it at the end."""
    key = clone / f"{secrets.token_hex(4)}.key"
    stack = new_stack(key, WIRELAB_KV_CLASS_PORT="0", WIRELAB_LANGUAGE="en")
    try:
        yield stack
    finally:
        stack.down(volumes=True, images=True)
    assert stack.left() == []


@pytest.fixture
def written(clone: Path) -> Iterator[Path]:
    """Return the participant's file, with our solution of lesson 4."""
    file = clone / FILE
    shutil.copyfile(ROOT / SOLUTION, file)
    file.chmod(0o644)
    yield file
    file.unlink()


def command(engine: docker.DockerClient, stack: Stack) -> str:
    """Return what tcp-echo runs."""
    return " ".join(container_of(engine, stack, "tcp-echo").attrs["Config"]["Cmd"])


def test_a_class_server_is_one_container(
    engine: docker.DockerClient, theirs: Stack, clone: Path
) -> None:
    """One port, for the whole network, and nothing else; the terminal says so."""
    done = lab(theirs, "class-server", folder=clone)
    assert done.returncode == 0, done.stderr
    assert theirs.running() == ["kv-class"]
    found = container_of(engine, theirs, "kv-class").attrs["NetworkSettings"]["Ports"]
    ((binding, *_),) = [bindings for bindings in found.values() if bindings]
    assert binding["HostIp"] == "0.0.0.0"
    assert "Everybody in this machine's network can read and change" in done.stdout
    urls = re.findall(r"WIRELAB_CLASS=(http://\S+)", done.stdout)
    where = class_results.server({"WIRELAB_CLASS": urls[0]})
    assert where
    assert where.port == int(binding["HostPort"])
    now = datetime.now(UTC)
    class_results.write(where, "otter-31", {1: class_results.Reached(1, 4, "1.2", now)})
    assert "otter-31" in lab(theirs, "class", folder=clone).stdout


def test_a_participants_server_takes_the_place_of_ours(
    engine: docker.DockerClient, theirs: Stack, clone: Path, written: Path
) -> None:
    """It is what the clients ask; a change of the file restarts it; without MINE it is ours again.

    A class that is open stays so meanwhile.
    """
    done = lab(theirs, "up", "--mine=tcp-echo", "--lesson=4", folder=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tcp-echo is your workshop/mine/second_client.py now" in done.stderr
    assert {*theirs.running()} == {*SERVICES, "kv-class"}
    assert command(engine, theirs) == "python /mine/second_client.py"
    before = container_of(engine, theirs, "tcp-echo")
    (mount,) = before.attrs["Mounts"]
    assert (mount["Source"], mount["RW"]) == (str(written.parent), False)
    written.write_text(written.read_text() + "# the same, but for this\n")
    assert lab(theirs, "up", "--mine=tcp-echo", folder=clone).returncode == 0
    after = container_of(engine, theirs, "tcp-echo")
    assert after.id != before.id
    done = lab(theirs, "up", folder=clone)
    assert done.returncode == 0, done.stderr
    assert command(engine, theirs) == "python -m services.tcp_echo.evented"
    assert container_of(engine, theirs, "tcp-echo").attrs["Mounts"] == []
    assert "kv-class" in theirs.running()


@pytest.mark.parametrize(
    ("change", "mode", "said"),
    [
        pytest.param("server = = 1", 0o644, "SyntaxError: invalid syntax", id="no Python"),
        pytest.param("", 0o600, f"may not read it: chmod o+r {FILE}", id="unreadable"),
        pytest.param(
            HOST, 0o644, "listens on 127.0.0.1:20000, which nobody outside", id="on loopback"
        ),
    ],
)
def test_what_cannot_take_a_place_is_named(
    theirs: Stack, clone: Path, written: Path, change: str, mode: int, said: str
) -> None:
    """With the file, and what to do; the class goes on, and `make up` puts ours back."""
    text = written.read_text()
    written.write_text(text.replace(HOST, '"127.0.0.1"') if change == HOST else f"{change}\n{text}")
    written.chmod(mode)
    done = lab(theirs, "up", "--mine=tcp-echo", "--lesson=4", folder=clone)
    assert done.returncode == 1
    assert said in done.stderr, done.stderr
    assert "kv-class" in theirs.running()


def test_down_leaves_nothing_of_the_class(theirs: Stack, clone: Path) -> None:
    """Its results least of all; the data of kv stays, as ever."""
    assert lab(theirs, "down", folder=clone).returncode == 0
    assert theirs.left() == [f"volume {theirs.project}_kv"]
