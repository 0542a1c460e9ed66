"""A class: what leaves a participant's machine, what a teacher sees, and a server that is away."""

import getpass
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import pytest

from clients import class_results, kv
from clients.addresses import Address
from clients.class_results import Reached
from lab import processes
from lab.cut_off import NOT_ALLOWED
from lab.workshop import classroom
from lab.workshop.lesson import lesson, lessons
from tests.support.pace import FAR, until, within
from tests.support.processes import running
from tests.support.sockets import closed_port
from tests.workshop.houses import NO_ENGINE, environment, lab

ONE = lesson(1)
MINE = Path("workshop/mine/one_socket.py")
AT = "export WIRELAB_CLASS="


@pytest.fixture
def store() -> Iterator[Address]:
    """Lend a kv for a class."""
    with running(["gunicorn", "-c", "services/kv/gunicorn.conf.py"]) as server:
        yield server.address


@pytest.fixture
def begun(house: Path) -> Path:
    """Return a house where lesson 1 has begun."""
    assert lab(house, "lesson", "1").returncode == 0
    return house


def of(where: Address) -> dict[str, str]:
    """Return the setting for a class."""
    return {"WIRELAB_CLASS": f"http://{where}"}


def test_a_check_tells_the_class_what_is_reached(begun: Path, store: Address) -> None:
    """Which checks pass and which one fails, and since when that is so; where to is said once."""
    first = lab(begun, "check", **of(store))
    ((name, before),) = class_results.read(store).people.items()
    assert f"Your results go to the class at http://{store}, as {name}" in first.stdout
    assert (before[1].passed, before[1].of, before[1].failing) == (1, 4, "1.2")
    (begun / MINE).write_text((begun / MINE).read_text() + "# thinking\n")
    again = lab(begun, "check", **of(store))
    assert "Your results go" not in again.stdout
    assert class_results.read(store).people == {name: before}
    shutil.copyfile(ONE.solution, begun / MINE)
    assert lab(begun, "check", **of(store)).returncode == 0
    now = class_results.read(store).people[name][1]
    assert now.done
    assert now.since >= before[1].since


def test_a_pseudonym_is_chosen_or_made_up_and_kept(begun: Path, store: Address) -> None:
    """In mine/, so that it is the same the next time; what is broken there is made anew."""
    lab(begun, "check", **of(store))
    (made_up,) = class_results.read(store).people
    assert re.fullmatch(r"[a-z]+-\d{3}", made_up)
    kept = begun / "workshop/mine/class.json"
    assert json.loads(kept.read_text())["pseudonym"] == made_up
    lab(begun, "check", **of(store), WIRELAB_PSEUDONYM="小明")
    lab(begun, "check", **of(store))
    assert [*class_results.read(store).people] == [made_up, "小明"]
    kept.write_text('{"pseudonym": "<b>"}')
    assert "Your results go" in lab(begun, "check", **of(store)).stdout
    assert len(class_results.read(store).people) == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"WIRELAB_CLASS": "teacher"},
            "WIRELAB_CLASS has value 'teacher'. Not a URL, such as http://192.0.2.7:15040",
        ),
        (
            {"WIRELAB_CLASS": "http://127.0.0.1:1", "WIRELAB_PSEUDONYM": "a b"},
            "WIRELAB_PSEUDONYM has value 'a b'. Not a name of up to 24 letters, digits and hyphens",
        ),
    ],
)
def test_a_setting_that_is_none_is_named(begun: Path, settings: dict[str, str], said: str) -> None:
    """Before anything is checked."""
    done = lab(begun, "check", **settings)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"wirelab: {said}\n")


def test_a_server_that_is_away_changes_nothing(begun: Path) -> None:
    """The check is what it was without; it is said once, and later all gets there."""
    without = lab(begun, "check")
    with closed_port() as nobody:
        first, second = (lab(begun, "check", **of(nobody)) for _ in range(2))
    assert (first.returncode, first.stderr) == (without.returncode, "")
    assert first.stdout.count("does not answer") == 1
    assert "does not answer" not in second.stdout
    with running(["gunicorn", "-c", "services/kv/gunicorn.conf.py"]) as server:
        assert lab(begun, "lesson", "3").returncode == 0
        lab(begun, "check", **of(server.address))
        (lessons,) = class_results.read(server.address).people.values()
    assert {*lessons} == {1, 3}


@contextmanager
def dripping() -> Iterator[Address]:
    """Lend a server that answers one byte after the other, and never to the end."""
    ended = Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                while not ended.wait(0.1):
                    connection.sendall(b"H")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve)
        thread.start()
        yield Address(*listener.getsockname())
        ended.set()
        thread.join()


def test_a_server_that_drips_is_left_after_a_moment() -> None:
    """Although no single operation takes longer than it may."""
    reached = {1: Reached(1, 4, "1.2", datetime.now(UTC))}
    with dripping() as where:
        began = time.monotonic()
        assert not classroom.written(where, "otter-31", reached)
        assert within(time.monotonic() - began, 2 * classroom.MOMENT)


def test_nothing_else_leaves_the_machine(begun: Path) -> None:
    """One call, of a pseudonym and figures; nothing says who it is, or what they have typed."""
    received = bytearray()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while b"</methodCall>" not in received and (data := connection.recv(65536)):
                received.extend(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve)
        thread.start()
        where = Address(*listener.getsockname())
        lab(begun, "check", **of(where), HOME="/home/zaphod", USER="zaphod")
        thread.join(FAR)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    sent = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    usual = {b"host", b"user-agent", b"accept-encoding", b"content-type", b"content-length"}
    assert sent == usual
    arguments: Any
    arguments, method = xmlrpc.client.loads(body)
    name, record = arguments
    assert (method, name[:6], {*record}) == ("set", "class/", {"1"})
    assert {*record["1"]} == {"passed", "of", "failing", "since"}
    for personal in (socket.gethostname(), "zaphod", str(begun), "one_socket", "recv"):
        assert personal.encode() not in received
    if len(user := getpass.getuser()) > 3:
        assert user.encode() not in head


def test_a_teacher_sees_who_is_where(house: Path, store: Address) -> None:
    """People by lessons, which check fails, for how long; and what that is not for."""
    now = datetime.now(UTC)
    earlier = now - timedelta(minutes=12, seconds=30)
    class_results.write(
        store, "otter-31", {1: Reached(4, 4, "", earlier), 2: Reached(1, 5, "2.2", earlier)}
    )
    class_results.write(store, "小明", {1: Reached(2, 4, "1.3", now)})
    with kv.proxy(store) as proxy:
        proxy.set("class/\x9b2Jmallory", "")
    done = lab(house, "class", **of(store))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["1", "2", "for"] in lines
    assert ["otter-31", "✓", "2.2", "12", "min"] in lines
    assert ["小明", "1.3", "·", "0", "min"] in lines
    assert "1 records are not shown" in done.stdout
    assert "Not for grades" in done.stdout
    assert not re.search(r"[\x1b\x9b]|mallory", done.stdout)
    found = json.loads(lab(house, "class", "--json", **of(store)).stdout)
    assert found["ignored"] == 1
    assert [each["name"] for each in found["people"]] == ["otter-31", "小明"]
    assert found["people"][1]["lessons"]["1"] | {"since": ""} == {
        "passed": 2, "of": 4, "failing": "1.3", "since": "",
    }  # fmt: skip


def test_all_lessons_of_a_class_fit_into_80_columns(house: Path, store: Address) -> None:
    """No name, check or time is cut off; the longest pseudonym takes more than one line."""
    earlier = datetime.now(UTC) - timedelta(minutes=135, seconds=30)
    reached = {
        each.number: Reached(0, 4, f"{each.number}.4" if each.number % 2 else "", earlier)
        for each in lessons()
    }
    longest = "kestrel-" + "".join(str(each % 10) for each in range(16))
    for name in ("jackdaw-997", longest):
        class_results.write(store, name, reached)
    shown = lab(house, "class", COLUMNS="80", **of(store)).stdout
    failing = [each.failing or "▶" for each in reached.values()]
    lines = [line.split() for line in shown.splitlines()]
    assert ["jackdaw-997", *failing, "135", "min"] in lines
    (first,) = (
        line for line in lines if line[1:] == [*failing, "135", "min"] and line[0][0] == "k"
    )
    assert "".join([first[0], *lines[lines.index(first) + 1]]) == longest
    assert max(map(len, shown.splitlines())) <= 80


def test_a_teacher_watches(house: Path, store: Address) -> None:
    """A change is shown by itself, until Ctrl-C; a server that goes away is waited for."""
    out = house / "out"
    with out.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", "class", "--watch"],
            cwd=house, env=environment(**of(store), PYTHONUNBUFFERED="1"),
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: "Nobody yet" in out.read_text(errors="ignore"), "the empty table")
        now = datetime.now(UTC)
        class_results.write(store, "otter-31", {1: Reached(2, 4, "1.3", now)})
        until(lambda: "otter-31" in out.read_text(errors="ignore"), "somebody has come")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(FAR) == 130
    finally:
        process.kill()
        process.wait()


def test_no_class_is_said_in_one_line(house: Path) -> None:
    """With how to have one; and one that is away with where it should be."""
    done = lab(house, "class", **NO_ENGINE)
    assert done.returncode == 1
    assert done.stderr.startswith("wirelab: no class: `make class-server` starts one here")
    with closed_port() as nobody:
        done = lab(house, "class", **of(nobody))
    assert done.stderr == (
        f"wirelab: the class server http://{nobody} does not answer: Connection refused\n"
    )


@pytest.fixture
def opened(house: Path) -> Iterator[dict[str, str]]:
    """Lend the settings of a lab of its own, without an engine; end it."""
    settings = {
        **NO_ENGINE,
        "COMPOSE_PROJECT_NAME": f"wirelab-test-{secrets.token_hex(4)}",
        "WIRELAB_KV_CLASS_PORT": "0",
    }
    yield settings
    lab(house, "down", **settings)


def test_a_class_server_is_all_that_is_open(house: Path, opened: dict[str, str]) -> None:
    """One process, one port, for the whole network, which is said; `make down` leaves nothing."""
    done = lab(house, "class-server", **opened)
    assert done.returncode == 0, done.stderr
    assert "Everybody in this machine's network can read and change" in done.stdout
    (url, *_) = re.findall(rf"{AT}(http://\S+)", done.stdout)
    where = class_results.server({"WIRELAB_CLASS": url})
    assert where
    ((name, pid, listens),) = re.findall(
        r"^(\S+) +process (\d+) +(\S+)", lab(house, "ps", **opened).stdout, re.MULTILINE
    )
    assert (name, listens) == ("kv-class", f"0.0.0.0:{where.port}")
    server = psutil.Process(int(pid))
    everything = [server, *server.children(recursive=True)]
    ports = {
        each.laddr.port
        for process in everything
        for each in process.net_connections()
        if each.status == psutil.CONN_LISTEN
    }
    assert ports == {where.port}
    (volume,) = {Path(server.environ()["WIRELAB_KV_FILE"]).parent}
    class_results.write(where, "otter-31", {1: Reached(4, 4, "", datetime.now(UTC))})
    assert "otter-31" in lab(house, "class", **opened).stdout
    assert lab(house, "down", **opened).stderr.startswith("stopped kv-class\n")
    assert not any(processes.alive(each.pid) for each in everything)
    assert not volume.exists()


def test_a_class_that_nobody_else_reaches_is_said_to_be_so(
    house: Path, opened: dict[str, str]
) -> None:
    """On a machine without a network, and where the settings keep it on loopback."""
    cut = [sys.executable, "-m", "lab.cut_off"]
    alone: list[tuple[list[str], dict[str, str]]] = [([], {"WIRELAB_BIND": "127.0.0.1"})]
    if subprocess.run([*cut, "true"], cwd=house, check=False).returncode != NOT_ALLOWED:
        alone.append((cut, {}))
    for command, setting in alone:
        done = subprocess.run(
            [*command, sys.executable, "-m", "lab", "class-server"],
            cwd=house, env=environment(**opened, **setting),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Nobody but this machine reaches the class" in done.stdout
        assert "Everybody" not in done.stdout
        assert lab(house, "down", **opened).stderr.startswith("stopped kv-class\n")
