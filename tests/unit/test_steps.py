"""What is said of steps that take a while, in Python and in the scripts."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import SCRIPTS, console, docker_output, durations
from tests.support.pace import FAR, until
from tests.support.processes import beside

# Of BuildKit, with the steps of two images in between one another.
BUILD = """\
#1 [rest internal] load build definition from Dockerfile
#5 [rest packages 2/3] RUN --mount=type=secret,id=ca_bundle     pip install -r requirements.txt
#6 [kv code 1/3] COPY clients clients
#5 0.629 Collecting gunicorn==27.0.1 (from -r requirements.txt (line 1))
#5 1.100 ok
#32 naming to docker.io/library/wirelab-rest done
#33 exporting layers
#33 naming to docker.io/library/wirelab-kv:latest 0.0s done
#32 naming to docker.io/library/wirelab-rest done
"""
UP = """\
 Network lab_default  Created
 Container lab-kv-1  Starting
 Container lab-rest-1  Started
 Container lab-kv-1  Healthy
 Container lab-rest-1  Healthy
dependency failed to start
"""


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "FOLDER", tmp_path / "durations")


def said(reader: Callable[[docker_output.Say], docker_output.Say], output: str) -> list[str]:
    """Return what is said of each line of an output."""
    words: list[str] = []
    read = reader(words.append)
    for line in output.splitlines():
        read(line)
    return words


def test_a_build_says_how_many_images_there_are_and_what_goes_on() -> None:
    """An image counts once, however often it is named; secrets and line numbers are left out."""
    assert said(lambda say: docker_output.build(say, 8), BUILD) == [
        "0 of 8 images, rest packages 2/3: RUN pip install -r requirements.txt",
        "0 of 8 images, kv code 1/3: COPY clients clients",
        "0 of 8 images, rest packages 2/3: Collecting gunicorn==27.0.1",
        "1 of 8 images",
        "2 of 8 images",
        "2 of 8 images",
    ]


def test_a_start_says_how_many_containers_are_healthy() -> None:
    """Of those that have been named so far."""
    assert said(lambda say: docker_output.containers(say, "Healthy"), UP) == [
        "0 of 1 healthy", "0 of 2 healthy", "1 of 2 healthy", "2 of 2 healthy",
    ]  # fmt: skip


def test_of_what_fails_only_that_is_shown() -> None:
    """The step of a build, or what Compose says between the states."""
    assert docker_output.without_states(UP) == "dependency failed to start"
    failed = " > [kv 2/2] RUN false\n------\nfailed to solve: exit code: 1\n"
    assert docker_output.failed_step(f"{BUILD}------\n{failed}") == failed
    assert docker_output.failed_step(f"{BUILD}no such service\n") == "no such service"


def test_a_step_has_a_line_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal; with the time that it took before, if that is known."""
    with console.step("building"):
        pass
    assert capsys.readouterr().err == "building ...\nbuilding: done in 0 s\n"
    durations.remember("building", 94.2)
    with console.step("building") as building:
        building.say("3 of 8 images")
        assert str(building) == "building, 0 s (last time 1 min 34 s): 3 of 8 images"
    assert capsys.readouterr().err == (
        "building ... (last time 1 min 34 s)\nbuilding: done in 0 s\n"
    )


def test_a_long_step_has_more_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say how far it is."""
    monkeypatch.setattr(console, "INTERVAL", 0.01)
    output = ""

    def printed() -> str:
        nonlocal output
        output += capsys.readouterr().err
        return output

    with console.step("building") as building:
        building.say("3 of 8 images")
        until(lambda: "building, 0 s: 3 of 8 images\n" in printed(), "a line")


def test_a_step_that_fails_is_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is its time one to go by."""
    with pytest.raises(ZeroDivisionError), console.step("building"):
        raise ZeroDivisionError
    assert capsys.readouterr().err == "building ...\n"
    assert durations.last("building") == 0
    assert console.underway == []


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return a function that makes a script with steps, and returns its command."""
    (tmp_path / "scripts").mkdir()
    for name in ("common.sh", "environment.sh"):
        shutil.copy(SCRIPTS / name, tmp_path / "scripts")

    def make(text: str) -> list[str]:
        file = tmp_path / "scripts" / "try.sh"
        # flock: runs of the lab's own scripts are none that these have to wait for
        start = 'set -euo pipefail\n. "$(dirname "$0")/common.sh"\nflock() { :; }\nbegin\n'
        file.write_text(f"{start}{text}\n")
        return ["bash", str(file)]

    return make


def test_a_step_of_a_script_says_the_same(script: Callable[[str], list[str]]) -> None:
    """What its command prints is shown only if it fails."""
    command = script("step one echo told; echo 95 >$durations/try-two; step two false; echo never")
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=FAR)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "try: one ...\ntry: one: done in 0 s\n"
        "try: two ... (last time 1 min 35 s)\nfailed: try: two\n"
    )


def test_what_a_step_starts_keeps_nobody_waiting(script: Callable[[str], list[str]]) -> None:
    """It may be a daemon, and has neither the lock nor the pipe that ends the line of progress."""
    command = script("""
        descriptors() { ls -l /proc/$BASHPID/fd >"$tmp/list"; }
        step one descriptors
        cat "$tmp/list" """)
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=FAR)
    opened = re.findall(r" (\d+) -> (\S+)", done.stdout)
    assert {"0", "1", "2"} <= dict(opened).keys()
    assert not {"8", "9"} & dict(opened).keys()


@pytest.mark.parametrize(("keys", "status"), [("", 0), ("\x03", 130)], ids=["its end", "Ctrl-C"])
def test_on_a_terminal_a_step_is_one_line_that_goes(
    script: Callable[[str], list[str]], tmp_path: Path, keys: str, status: int
) -> None:
    """At its end, and by Ctrl-C."""
    os.mkfifo(tmp_path / "seen")
    command = script(f"""
        slow() {{ echo "Collecting one==1"; cat {tmp_path}/seen; }}
        step "something slow" slow""")
    master, slave = os.openpty()
    # In a session of its own, and the terminal is that session's: so Ctrl-C is a signal there.
    with beside(["setsid", "--ctty", *command], stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        output = ""
        while not re.search(r"try: something slow, \d+ s: package 1, one==1", output):
            output += os.read(master, 1000).decode()
        if keys:
            os.write(master, keys.encode())
        else:
            (tmp_path / "seen").write_text("\n")
        try:
            while data := os.read(master, 1000):
                output += data.decode()
        except OSError:
            pass  # the other end is closed
        finally:
            os.close(master)
        assert process.wait(FAR) == status
    last = output.rpartition("\r\x1b[K")[2]
    expected = "interrupted\r\n" if keys else r"try: something slow: done in \d+ s\r\n"
    assert re.fullmatch(expected, last)


@pytest.mark.parametrize(
    ("log", "far"),
    [
        ("3 packages of a.txt\nCollecting a==1\nIgnoring b: markers\n", "package 2 of 3, b:"),
        ("Installing collected packages: a, b, c\n", "installing 3 packages"),
        (
            "0 upgraded, 12 newly installed, 0 to remove\nUnpacking a (1.0) ...\n",
            "unpacking a, 1 of 12",
        ),
        ("Get:1 http://a trixie/main amd64 npm all 9 [6 kB]\n", "downloading npm"),
        ("Get:1 http://a trixie InRelease [6 kB]\n", "downloading InRelease"),
        ("I: extracting archives...\nsome more\n", "extracting archives..."),
        ("#7 [2/3] RUN apt-get install\n", "[2/3] RUN apt-get install"),
        ("#7 [2/3] RUN apt\n#7 12.3 Setting up a (1.0) ...\n", "setting up a, 1"),
        ("a1: Pulling fs layer\nb2: Pulling fs layer\na1: Pull complete\n", "1 of 2 layers"),
        ("nothing that is known\n", ""),
    ],
)
def test_how_far_a_command_is_stands_in_its_output(
    script: Callable[[str], list[str]], log: str, far: str
) -> None:
    """That of pip, apt, mmdebstrap and docker."""
    done = subprocess.run(
        script('cat >"$tmp/log"; how_far'),
        input=log, check=True, capture_output=True, text=True, timeout=FAR,
    )  # fmt: skip
    assert done.stdout.rstrip("\n") == far
