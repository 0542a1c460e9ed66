"""`make workshop-ready`: what it proves without a network, and what it says of what is missing."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import ROOT
from lab.cut_off import NOT_ALLOWED
from lab.workshop.lesson import lessons
from tests.workshop.houses import NO_ENGINE, lab

KNOCK = """
import errno, socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname(), 5)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    print(errno.errorcode[probe.connect_ex(("192.0.2.1", 9))])
"""
PROVED = [each.number for each in lessons() if each.needs in ("process", "relay")]


def test_cut_off_there_is_loopback_and_no_route() -> None:
    """Or, where the machine allows no namespace, nothing is run, and the reason is said."""
    done = subprocess.run(
        [sys.executable, "-m", "lab.cut_off", sys.executable, "-c", KNOCK],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == NOT_ALLOWED:
        assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)
    else:
        assert (done.returncode, done.stdout) == (0, "ENETUNREACH\n"), done.stderr


@contextmanager
def changed(file: Path, text: str) -> Iterator[None]:
    """Have another text in a file of the house."""
    before = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)


def rows(output: str, mark: str) -> list[int]:
    """Return the lessons that have this mark."""
    words = [line.split() for line in output.splitlines()]
    return [int(each[1]) for each in words if each[:1] == [mark] and each[1].isdigit()]


def test_lesson_1_is_proved_and_each_lesson_is_looked_at(house: Path) -> None:
    """With what it needs; and how far the network was cut off."""
    done = lab(house, "workshop-ready", **NO_ENGINE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No container engine answers" in done.stdout
    cut = "Lesson 1 with the network cut off: in a network namespace"
    as_it_is = "Lesson 1 with the network as it is: this machine allows no network namespace"
    assert (cut in done.stdout) is not (as_it_is in done.stdout)
    assert [f"✓ 1.{n}" in done.stdout for n in range(1, 5)] == [True] * 4
    said = " ".join(done.stdout.split())
    assert "Of the lessons only 12 needs one: make up PROFILE=cluster" in said
    assert rows(done.stdout, "✓") == PROVED
    assert rows(done.stdout, "–") == [12]  # noqa: RUF001 - as it is printed
    assert "1 One socket: Python alone" in done.stdout
    assert "7 UDP pairs nothing: the relay" in done.stdout
    assert "All is there" in done.stdout


def test_what_is_missing_is_named(house: Path) -> None:
    """The lessons that need it, with what was tried; the exit status is 1.

    On a machine that allows no namespace, with the network as it is.
    """
    relay, cut_off = house / "services/relay/server.py", house / "lab/cut_off.py"
    main = 'if __name__ == "__main__":\n'
    not_allowed = cut_off.read_text().replace(
        "    try:\n        leave()\n",
        "    try:\n        raise PermissionError(1, 'Not permitted')\n",
    )
    with (
        changed(relay, relay.read_text().replace(main, f"{main}    raise SystemExit('gone')\n")),
        changed(cut_off, not_allowed),
    ):
        done = lab(house, "workshop-ready", **NO_ENGINE)
    assert done.returncode == 1
    assert "this machine allows no network namespace (Not permitted)" in " ".join(
        done.stdout.split()
    )
    assert rows(done.stdout, "✗") == [each.number for each in lessons() if each.needs == "relay"]
    assert "gone" in done.stdout
    assert "Something is missing: make doctor says what." in done.stdout
