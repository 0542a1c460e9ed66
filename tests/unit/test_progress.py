"""What a run of the tests says of how far it is, on a terminal and elsewhere."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lab import ROOT
from tests.support.pace import FAR, until
from tests.support.processes import beside
from tests.support.progress import Part, part_of

PASSING = "def test_a():\n    pass\n\n\ndef test_b():\n    pass\n"
MIXED = (
    "import pytest\n\n\ndef test_c():\n    assert 1 == 2, 'one is not two'\n\n\n"
    "def test_d():\n    pytest.skip('not here')\n\n\ndef test_e():\n    pass\n"
)
# Tells of a step, and goes on once somebody has read of it: the reader writes into a named pipe.
WAITING = """
from pathlib import Path

import pytest

from lab import durations
from lab.console import step

durations.FOLDER = Path("{pipe}").parent  # what is remembered of this is of no use to others


@pytest.fixture
def stack():
    with step("building the images") as building:
        building.say("3 of 8 images")
        assert Path("{pipe}").read_text() == "seen"


def test_f(stack):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with tests in two parts; it is pytest's root."""
    (tmp_path / "pytest.ini").touch()
    for name, text in (("unit/test_one.py", PASSING), ("contract/test_two.py", MIXED)):
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return tmp_path


def command(folder: Path, *arguments: str) -> list[str]:
    """Return the command that runs the tests of a folder, in the order of `make test`."""
    tests = [] if any("test_" in each for each in arguments) else ["tests/unit", "tests/contract"]
    return [
        sys.executable, "-m", "pytest", "-p", "tests.support.progress", "-p", "no:cacheprovider",
        "--rootdir", str(folder), *(f"{folder}/{each}" for each in tests), *arguments,
    ]  # fmt: skip


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the tests of a folder to their end, without a terminal."""
    return subprocess.run(
        command(folder, *arguments),
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=FAR,
    )  # fmt: skip


def lines(output: str) -> list[str]:
    """Return what was printed after the collection, with all durations the same."""
    rest = re.split(r" items\]?\n", output, maxsplit=1)[-1]
    return re.sub(r"\d+ s\b|\d+\.\d+s", "1 s", rest).splitlines()


def test_elsewhere_than_on_a_terminal_each_part_has_lines(folder: Path) -> None:
    """One at its beginning and one at its end; a failure at once; and all parts in a table."""
    done = run(folder)
    assert done.returncode == 1, done.stderr
    said = lines(done.stdout)
    assert said[:5] == [
        "unit: 2 tests, for how long is not known yet",
        "unit: 2 passed in 1 s",
        "contract: 3 tests, for how long is not known yet",
        "FAILED tests/contract/test_two.py::test_c - AssertionError: one is not two",
        "contract: 1 passed, 1 failed, 1 skipped in 1 s",
    ]
    start = said.index("part         passed   failed  skipped  time")
    assert said[start + 1 : start + 3] == [
        "unit              2        0        0  1 s",
        "contract          1        1        1  1 s",
    ]


def test_the_second_run_knows_how_long_it_takes(folder: Path) -> None:
    """From what the tests took that passed, which is kept beside what else is built."""
    run(folder)
    assert "unit: 2 tests, about 1 s" in lines(run(folder).stdout)
    assert "contract: 3 tests, for how long is not known yet" in lines(run(folder).stdout)


def test_workers_are_counted_together(folder: Path) -> None:
    """Those of pytest-xdist run several tests and parts at a time; the lines are the same."""
    done = run(folder, "-n", "2")
    assert done.returncode == 1, done.stderr
    said = lines(done.stdout)
    for line in (
        "unit: 2 tests, for how long is not known yet",
        "unit: 2 passed in 1 s",
        "contract: 3 tests, for how long is not known yet",
        "FAILED tests/contract/test_two.py::test_c - AssertionError: one is not two",
        "contract: 1 passed, 1 failed, 1 skipped in 1 s",
        "unit              2        0        0  1 s",
        "contract          1        1        1  1 s",
    ):
        assert said.count(line) == 1, done.stdout


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("-q", ["..Fs.   "]),
        ("-v", ["unit: 2 tests, ", "tests/unit/test_one.py::test_b PASSED"]),
        ("-x", ["unit: 2 passed in ", "contract: 1 failed in 1 s", "unit              2 "]),
        ("--collect-only", ["    <Function test_a>"]),
        ("tests/unit/test_one.py", ["unit: 2 tests, "]),
    ],
)
def test_options_of_pytest_mean_what_they_do(folder: Path, option: str, said: list[str]) -> None:
    """What is asked for is there, and nothing in between."""
    option = f"{folder}/{option}" if option.endswith(".py") else option
    output = run(folder, option).stdout
    told = lines(output) if " items\n" in output else output.splitlines()
    for each in said:
        assert [line for line in told if each.strip() in line], output
    if option == "-q":
        assert told[0].startswith(said[0])
        assert "unit:" not in output
    if option.startswith("--collect"):
        assert "unit:" not in output


class Terminal:
    """A terminal of 80 columns, and a run of tests on it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        self.process = subprocess.Popen(
            command(folder, *arguments),
            cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(slave)
        self.output = ""

    def read(self) -> str:
        """Return all that was printed so far."""
        with suppress(OSError):  # nothing yet, or nobody who could print any more
            while data := os.read(self._master, 65536):
                self.output += data.decode()
        return self.output

    def end(self) -> int:
        """Wait until it has ended, and return its exit status."""
        status = until(
            lambda: (self.read(), self.process.poll())[1] is not None and [self.process.returncode],
            "the end of the run",
        )
        self.read()
        assert status
        return int(status[0])

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@contextmanager
def terminal(folder: Path, *arguments: str) -> Iterator[Terminal]:
    """Run tests on a terminal."""
    made = Terminal(folder, *arguments)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def pipe(folder: Path) -> Path:
    """Return a named pipe that a long fixture of the tests in a folder reads from."""
    made = folder / "pipe"
    os.mkfifo(made)
    (folder / "tests/unit/test_one.py").write_text(WAITING.format(pipe=made))
    return made


LINE = re.compile(r"\r\x1b\[Kunit: 0 of 1: building the images, \d+ s: 3 of 8 images")


def test_on_a_terminal_a_line_says_what_a_long_fixture_does(folder: Path, pipe: Path) -> None:
    """It stands in place of the dots, fits into the terminal, and is gone at the end."""
    with terminal(folder, f"{folder}/tests/unit/test_one.py") as run:
        until(lambda: LINE.search(run.read()), "the line")
        pipe.write_text("seen")
        assert run.end() == 0
    shown = re.findall(r"\r\x1b\[K([^\r\n]*)", run.output)
    assert max(map(len, shown)) < 80
    assert re.fullmatch(r"unit: 1 passed in \d+ s", shown[-1])


def test_parts_beside_each_other_share_the_line(folder: Path, tmp_path: Path) -> None:
    """As where there are several workers: each says how far it is."""
    pipes = [tmp_path / "one", tmp_path / "two"]
    for pipe, file in zip(pipes, ("unit/test_one.py", "contract/test_two.py"), strict=True):
        os.mkfifo(pipe)
        test = f"def test_it():\n    assert open({str(pipe)!r}).read() == 'seen'\n"
        (folder / "tests" / file).write_text(test)
    with terminal(folder, "-n", "2", "-p", "no:timeout") as run:
        each = [f"{name}: 0 of 1" for name in ("unit", "contract")]
        line = rf"\r\x1b\[K({', '.join(each)}|{', '.join(each[::-1])}), \d+ s: test_"
        until(lambda: re.search(line, run.read()), "the line")
        for pipe in pipes:
            pipe.write_text("seen")
        assert run.end() == 0


def test_ctrl_c_leaves_a_clean_line(folder: Path, pipe: Path) -> None:
    """What pytest says of it begins where the line stood."""
    with terminal(folder, f"{folder}/tests/unit/test_one.py") as run:
        until(lambda: LINE.search(run.read()), "the line")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 2
    assert pipe.exists()
    *_, rest = run.output.split("\x1b[K")
    assert rest.startswith("unit: nothing was run in ")
    assert "KeyboardInterrupt" in rest


def test_elsewhere_a_long_fixture_has_a_line(folder: Path, pipe: Path) -> None:
    """As soon as it is under way."""
    with beside(
        command(folder, f"{folder}/tests/unit/test_one.py"), cwd=ROOT, stdout=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        said = next(line for line in process.stdout if "building the images" in line)
        pipe.write_text("seen")
        assert process.stdout.read().count("1 passed") == 2
    assert re.fullmatch(r"unit: 0 of 1: building the images, .*\n", said)


@pytest.mark.parametrize(
    ("known", "seconds"),
    [
        ({"a": 1.0, "b": 2.0, "c": 3.0, "other": 9.0}, 6.0),
        ({"a": 1.0, "b": 3.0}, 6.0),
        ({"a": 1.0}, None),
        ({}, None),
    ],
    ids=["all are known", "most are known", "few are known", "none is known"],
)
def test_an_estimate_is_made_of_what_is_known(
    known: dict[str, float], seconds: float | None
) -> None:
    """Where most tests are known, the others are taken to be like them; else there is none."""
    part = Part("unit")
    for test in ("a", "b", "c"):
        part.add(test)
    assert part.remaining(known) == seconds
    part.left.clear()
    assert part.remaining(known) == 0.0


@pytest.mark.parametrize(
    ("test", "part"),
    [
        ("tests/unit/test_x.py::test_y[tests/stack/]", "unit"),
        ("bench/tests/test_x.py::test_y", "bench"),
        ("../tmp/test_x.py::test_y", "other"),
        ("test_x.py::test_y", "other"),
    ],
)
def test_a_part_is_a_folder_of_tests(test: str, part: str) -> None:
    """As in `make test TESTS=tests/unit`."""
    assert part_of(test) == part
