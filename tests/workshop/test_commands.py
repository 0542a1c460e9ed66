"""What the commands of the workshop do with a participant's files, processes and time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from lab.interrupts import put_off
from lab.workshop import run
from lab.workshop.check import Check, Mine
from lab.workshop.lesson import lesson, lessons
from lab.workshop.progress import Progress
from tests.support.pace import FAR, until
from tests.support.processes import running
from tests.support.sockets import closed_port
from tests.workshop.houses import NO_ENGINE, environment, lab

ONE = lesson(1)
MINE = Path("workshop/mine/one_socket.py")
WRONG = Path("workshop/01-one-socket/wrong")
SOLUTION = "workshop/01-one-socket/solution.py"


@contextmanager
def checking(house: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `check` in a session of its own, as in a terminal; its output is in house/out."""
    with (house / "out").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", "check", *arguments],
            cwd=house,
            env=environment(PYTHONUNBUFFERED="1"),
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def printed(house: Path) -> str:
    """Return what `check` has printed so far, which may end within a character."""
    return (house / "out").read_text(encoding="utf-8", errors="ignore")


def servers(house: Path) -> list[psutil.Process]:
    """Return the processes that run a participant's file."""
    file = str(house / MINE)
    return [
        each for each in psutil.process_iter(["cmdline"]) if file in (each.info["cmdline"] or [])
    ]


def write(house: Path, text: str) -> None:
    """Change the participant's file."""
    (house / MINE).write_text(text, encoding="utf-8")


def started(house: Path, wrong: str = "") -> None:
    """Begin lesson 1, and continue until the file is as wrong as that."""
    assert lab(house, "lesson", "1").returncode == 0
    if wrong:
        write(house, (house / WRONG / wrong).read_text(encoding="utf-8"))


def test_a_lesson_never_overwrites(house: Path) -> None:
    """The first time the file is made; later it is what the participant has made of it."""
    assert "new, a copy of" in lab(house, "lesson", "1").stdout
    assert (house / MINE).read_bytes() == ONE.start.read_bytes()
    write(house, "# mine\n")
    again = lab(house, "lesson", "1")
    assert again.returncode == 0
    assert "new" not in again.stdout.splitlines()[-2]
    assert (house / MINE).read_text() == "# mine\n"


def test_a_check_says_what_was_seen(house: Path) -> None:
    """The first failure in three sentences with its figures, then no more; exit status 1."""
    started(house)
    done = lab(house, "check")
    assert done.returncode == 1
    assert "✗ 1.2" in done.stdout
    assert "% of a core" in done.stdout
    assert "· 1.3   not run yet" in done.stdout
    assert done.stderr == ""


def test_a_pass_is_remembered_and_explained(house: Path) -> None:
    """The last section of the text comes, and the list of lessons has its mark."""
    started(house)
    write(house, ONE.solution.read_text())
    done = lab(house, "check")
    assert done.returncode == 0, done.stdout
    assert "All 4 checks pass" in done.stdout
    assert "\n Look\n" in done.stdout
    assert "1 ✓ One socket" in lab(house, "lessons").stdout


def test_a_crash_is_shown_in_two_lines(house: Path) -> None:
    """The participant's line and the exception, and nothing of the interpreter's."""
    started(house, "reset_not_caught.py")
    done = lab(house, "check")
    assert "in one_socket.py, line 19:" in done.stdout
    assert "ConnectionResetError: [Errno 104]" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_file_that_is_no_python(house: Path) -> None:
    """Its line is named as well."""
    started(house)
    write(house, "import socket\nserver = = socket\n")
    done = lab(house, "check")
    assert "in one_socket.py, line 2:" in done.stdout
    assert "SyntaxError: invalid syntax" in done.stdout


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"WIRELAB_LANGUAGE": "zh"}, "第 1 课"),
        ({"WIRELAB_LANGUAGE": "", "LC_ALL": "", "LANG": "zh_CN.UTF-8"}, "第 1 课"),
        ({"WIRELAB_LANGUAGE": "", "LC_ALL": "", "LANG": "de_DE.UTF-8"}, "Lesson 1"),
        ({"WIRELAB_LANGUAGE": "", "LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "Lesson 1"),
    ],
    ids=["asked for", "by the locale", "neither", "overridden"],
)
def test_the_language(setting: dict[str, str], said: str, house: Path) -> None:
    """WIRELAB_LANGUAGE says it, or the locale does."""
    started(house)
    settings = {**setting, "PYTHONIOENCODING": "utf-8", "LC_MESSAGES": ""}
    assert said in lab(house, "check", **settings).stdout


def test_a_language_that_there_is_not(house: Path) -> None:
    """The variable and the value are named."""
    done = lab(house, "lessons", WIRELAB_LANGUAGE="fr")
    assert done.returncode == 1
    assert done.stderr == "wirelab: WIRELAB_LANGUAGE has value 'fr'. Not 'en' or 'zh'\n"


def test_a_terminal_without_the_characters(house: Path) -> None:
    """What its encoding has not is replaced, and nothing breaks."""
    done = lab(house, "lessons", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "One socket" in done.stdout


def test_a_black_box(house: Path) -> None:
    """A server anywhere: what needs its process is said not to be checked."""
    with running(["python", str(ONE.solution)], WIRELAB_PORT="0") as server:
        done = lab(house, "check", "1", f"--at={server.address}")
    assert done.returncode == 0, done.stdout
    assert "– 1.2   not checked" in done.stdout  # noqa: RUF001 - as it is printed
    assert not (house / "workshop" / "mine").exists()


def test_an_address_where_nobody_listens(house: Path) -> None:
    """It is not said that somebody did before: the address may be wrong."""
    with closed_port() as nobody:
        done = lab(house, "check", "1", f"--at={nobody}")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert f"Connection refused: nobody listens on {nobody}. The listening socket is closed" in said
    assert "or the server is at another address" in said


def test_a_server_in_any_language(house: Path) -> None:
    """Whatever prints where it listens is checked, process and all."""
    program = house / "a server.sh"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {SOLUTION}\n')
    program.chmod(0o755)
    done = lab(house, "check", "1", f"--run='{program}'")
    assert done.returncode == 0, done.stdout
    assert "1.2" in done.stdout


def test_a_server_of_ones_own_has_hints_too(house: Path) -> None:
    """Also where nothing of it is in mine/: until it passes."""
    wrong = f'{sys.executable} "{ONE.start}"'
    assert lab(house, "check", "1", f"--run={wrong}").returncode == 1
    assert "Hint 1 of 3 for 1.2" in lab(house, "hint").stdout
    right = f'{sys.executable} "{ONE.solution}"'
    assert lab(house, "check", "1", f"--run={right}").returncode == 0
    assert "Hint" not in lab(house, "hint", "1").stdout


def test_a_lesson_that_needs_an_engine_can_be_read_without(house: Path) -> None:
    """Its text is shown; a check says in one line what it needs, and what to do."""
    shown = lab(house, "lesson", "12", **NO_ENGINE)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Three nodes lose one" in shown.stdout
    done = lab(house, "check", "12", **NO_ENGINE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "wirelab: lesson 12 needs three nodes of etcd in containers, and no container engine"
        " answers: `make up PROFILE=cluster` sets one up\n"
    )


def test_the_list_goes_on_with_what_is_not_done(house: Path) -> None:
    """The lesson that was begun, then the next, and none when there is none left."""
    assert "make lesson N=1\n" in lab(house, "lessons").stdout
    assert lab(house, "lesson", "3").returncode == 0
    assert "make lesson N=3\n" in lab(house, "lessons").stdout
    progress = Progress(house / "workshop" / "mine")
    progress.of(3).done = True
    progress.save()
    assert "make lesson N=4\n" in lab(house, "lessons").stdout
    for each in lessons():
        progress.of(each.number).done = True
    progress.save()
    assert "All lessons are done." in lab(house, "lessons").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "1"], "there is no workshop/mine/one_socket.py: `make lesson N=1` makes it"),
        (["check"], "which lesson? `make lesson N=1` begins the first"),
        (["hint"], "which lesson? `make lesson N=1` begins the first"),
        (["lesson", "99"], "no lesson 99; there are 0, 1, "),
        (["lesson", "x"], "no lesson 'x'; there are 0, 1, "),
        (["check", "1.5"], "no lesson '1.5'; there are 0, 1, "),
        (["check", "1", "--at=there"], "AT has value 'there'. Not a host:port"),
        (["check", "1", "--run=none-such"], "RUN has value 'none-such'. There is no program"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], said: str, house: Path
) -> None:
    """With what to do instead."""
    done = lab(house, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"wirelab: {said}"), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_progress_that_is_broken(house: Path) -> None:
    """The file is named, and nothing is lost without a word."""
    started(house)
    progress = house / "workshop" / "mine" / "progress.json"
    progress.write_text('{"current": 1, "lessons": {"1": {"no": 1}}}')
    done = lab(house, "check")
    assert done.returncode == 1
    assert f"{progress}: not what was written there" in done.stderr
    assert progress.exists()


def test_a_hint_comes_after_two_failures(house: Path) -> None:
    """Of one check, with two different files; or on request, the next one, up to the last."""
    started(house)
    first = ONE.start.read_text()
    assert "Hint" not in lab(house, "check").stdout
    assert "Hint" not in lab(house, "check").stdout  # the same file again
    write(house, first + "# thinking\n")
    assert "Hint 1 of 3 for 1.2" in lab(house, "check").stdout
    second = lab(house, "hint").stdout
    assert "Hint 2 of 3 for 1.2" in second
    assert "the last one" not in second
    for last in (lab(house, "hint", WIRELAB_LANGUAGE="en"), lab(house, "hint")):
        assert "Hint 3 of 3 for 1.2" in last.stdout
        assert "the last one. Our solution: make solution N=1 YES=1" in last.stdout


def test_the_solution_comes_after_a_pass(house: Path) -> None:
    """Or when it is asked for twice."""
    started(house)
    refused = lab(house, "solution")
    assert refused.returncode == 1
    assert "+" not in refused.stdout
    assert "+            if not data:" in lab(house, "solution", "--yes").stdout
    write(house, ONE.solution.read_text())
    assert lab(house, "check").returncode == 0
    assert "the same as ours" in lab(house, "solution").stdout


def test_reset_keeps_what_there_was(house: Path) -> None:
    """Under another name each time, and the lesson begins anew."""
    started(house)
    for text in ("# one\n", "# two\n"):
        write(house, text)
        assert lab(house, "reset").returncode == 0
        assert (house / MINE).read_bytes() == ONE.start.read_bytes()
    kept = sorted(each.read_text() for each in (house / MINE).parent.glob("one_socket.*.py"))
    assert kept == ["# one\n", "# two\n"]


def test_catch_up_leaves_what_is_theirs(house: Path) -> None:
    """Our solution takes the place of a file that was not touched, and comes beside another."""
    started(house)
    write(house, "# mine\n")
    assert lab(house, "catch-up", "4").returncode == 0
    folder = (house / MINE).parent
    assert (house / MINE).read_text() == "# mine\n"
    assert (folder / "one_socket.ours.py").read_bytes() == ONE.solution.read_bytes()
    assert (folder / "second_client.py").read_bytes() == lesson(4).start.read_bytes()
    assert json.loads((folder / "progress.json").read_text())["current"] == 4
    assert lab(house, "lessons").stdout.count(" minutes, our solution is there\n") == 4


def test_ctrl_c_leaves_no_process(house: Path) -> None:
    """In the middle of a check, with a server that is busy."""
    started(house)
    with checking(house, "1") as process:
        until(lambda: servers(house), "the server runs")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(FAR) == 130
    until(lambda: not servers(house), "the server is gone")
    assert "Traceback" not in (house / "out").read_text()


def test_a_terminal_that_is_closed_leaves_no_process(house: Path) -> None:
    """SIGHUP is like Ctrl-C."""
    started(house)
    with checking(house, "1") as process:
        until(lambda: servers(house), "the server runs")
        process.send_signal(signal.SIGHUP)
        process.wait(FAR)
    until(lambda: not servers(house), "the server is gone")


def test_a_signal_is_put_off_until_what_was_started_is_known() -> None:
    """Otherwise the server that has just been started is nobody's, and stays."""
    known = []
    with pytest.raises(KeyboardInterrupt), put_off():  # noqa: PT012 - the order is what counts
        os.kill(os.getpid(), signal.SIGINT)
        known.append(os.getpid())
    assert known


def test_watching_checks_on_every_save(house: Path) -> None:
    """Until Ctrl-C."""
    started(house)
    with checking(house, "1", "--watch") as process:
        until(lambda: "Watching" in printed(house), "the first check")
        assert "1 of 4 checks pass" in printed(house)
        write(house, ONE.solution.read_text())
        until(lambda: "All 4 checks pass" in printed(house), "the second check")
        until(lambda: printed(house).count("Watching") == 2, "it goes on")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(FAR) == 130
    assert servers(house) == []


def test_a_check_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it does, and its server is gone then."""
    monkeypatch.setattr(run, "MAX_SECONDS", 0.5)
    kept: list[Mine] = []

    def forever(mine: Mine) -> None:
        kept.append(mine)
        while True:
            with suppress(Exception):  # as a check might do it
                time.sleep(FAR)

    target = run.Target([sys.executable, str(ONE.solution)], ONE.solution)
    outcome = run.run_one(ONE, Check("1.1", "address", forever), target)
    assert (outcome.state, outcome.kind) == ("failed", "hung")
    assert kept[0].process.poll() is not None
