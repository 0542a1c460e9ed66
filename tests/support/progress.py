"""A plugin of pytest that says how far the tests are: part by part, and how long it takes yet.

On a terminal it is a line that changes each second, in place of pytest's dots; elsewhere it is a
line at the beginning and the end of each part, and one every half a minute. A test that fails is
named at once. With -v, -s or --pdb pytest's own output stays, and with -q nothing is added to it.
The estimates come from the durations of the last runs on this machine. Where pytest-xdist has
workers, tests and parts are under way beside each other.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, RLock, Thread

import pytest

from lab import durations
from lab.console import INTERVAL, underway

FILE = "build/durations/tests.json"  # in the folder that pytest takes for the root
ENOUGH = 5.0  # seconds of tests, after which their pace says something of the others'


@dataclass
class Part:
    """A folder of tests: those that are left, and what has come of the others."""

    name: str
    left: set[str] = field(default_factory=set)
    total: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    started: float = 0.0
    seconds: float = 0.0

    def add(self, test: str) -> None:
        """Add a test that is to be run."""
        self.left.add(test)
        self.total += 1

    def remaining(self, known: Mapping[str, float]) -> float | None:
        """Return the seconds that the tests left took last time; None if few of them are known."""
        left = list(self.left)  # at once: the tests go on in another thread
        found = [known[test] for test in left if test in known]
        if 2 * len(found) < len(left):
            return None
        return sum(found) * len(left) / len(found) if found else 0.0

    def summary(self) -> str:
        """Return how many passed, failed and were skipped."""
        shown = [f"{self.outcomes[each]:,} {each}" for each in ("passed", "failed", "skipped")
                 if self.outcomes[each]]  # fmt: skip
        return ", ".join(shown) or "nothing was run"


def part_of(test: str) -> str:
    """Return the part that a test is in: `unit` for tests/unit/test_x.py::test_y."""
    folders = Path(test.partition("::")[0]).parts
    if folders[:1] == ("tests",) and len(folders) > 2:
        return folders[1]
    return folders[0] if len(folders) > 1 and folders[0] not in ("..", "/") else "other"


class Progress:
    """What is run, and how it is shown."""

    def __init__(self, config: pytest.Config, reporter: pytest.TerminalReporter) -> None:
        self.reporter = reporter
        verbosity = config.get_verbosity()
        self.says = verbosity >= 0
        plain = config.getoption("capture") == "no" or config.getoption("usepdb")
        self.replaces = verbosity == 0 and not plain
        self.terminal = self.replaces and reporter.isatty() and os.environ.get("TERM") != "dumb"
        self.workers: int = config.getoption("numprocesses", None) or 1
        self.parts: dict[str, Part] = {}
        self.begun: list[Part] = []  # and not ended
        self.test = ""
        self.outcomes: dict[str, str] = {}  # of tests under way
        self.took: dict[str, float] = {}
        self.file = config.rootpath / FILE
        self.known = load(self.file)
        self.expected = self.spent = 0.0
        self._ticker: Ticker | None = None
        if self.replaces:
            reporter.showfspath = False
            reporter._show_progress_info = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what is to be run."""
        self.plan(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)  # of pytest-xdist: all workers have found the same
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note what the workers are to run."""
        if not self.parts:
            self.plan(ids)

    def plan(self, tests: Iterable[str]) -> None:
        """Sort the tests into their parts."""
        for test in tests:
            name = part_of(test)
            self.parts.setdefault(name, Part(name)).add(test)

    @pytest.hookimpl(tryfirst=True)  # that of pytest-xdist is the last
    def pytest_runtestloop(self) -> None:
        """Begin to show where the tests are."""
        if self.replaces:
            self._ticker = Ticker(self, self.terminal)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin with a test, and maybe with its part."""
        part = self.parts[part_of(nodeid)]
        if not part.started:
            part.started = time.monotonic()
            self.begun.append(part)
            remaining = part.remaining(self.known)
            long = (
                "for how long is not known yet" if remaining is None
                else about(remaining / self.workers)
            )  # fmt: skip
            self.say(f"{part.name}: {part.total:,} {'tests' if part.total > 1 else 'test'}, {long}")
        self.test = nodeid
        self.outcomes[nodeid] = "passed"

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what has come of a test, and name it if it failed."""
        test = report.nodeid
        self.took[test] = self.took.get(test, 0.0) + report.duration
        if report.failed:
            self.outcomes[test] = "failed"
            if self.replaces:
                crash = getattr(report.longrepr, "reprcrash", None)
                lines = str(getattr(crash, "message", report.longrepr)).splitlines()
                self.say(f"FAILED {test} - {lines[0] if lines else report.when}", red=True)
        elif report.skipped and self.outcomes[test] == "passed":
            self.outcomes[test] = "skipped"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Count a test that has ended, and maybe end its part."""
        part = self.parts[part_of(nodeid)]
        part.left.discard(nodeid)
        outcome = self.outcomes.pop(nodeid)
        part.outcomes[outcome] += 1
        if outcome != "passed":
            self.took.pop(nodeid, None)
        elif nodeid in self.known:
            self.expected += self.known[nodeid]
            self.spent += self.took[nodeid]
        if not part.left:
            self.end(part)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self,
    ) -> Generator[None, tuple[str, str, object], tuple[str, str, object]]:
        """Print no dots where there is a line instead; words are for the summary, and for -v."""
        category, letter, word = yield
        return category, "" if self.replaces else letter, word

    def pytest_enter_pdb(self) -> None:
        """Leave the terminal to somebody who looks into a test."""
        self.stop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave the terminal as it was, also after Ctrl-C, and note how long the tests took."""
        self.stop()
        for part in list(self.begun):
            self.end(part)
        save(self.file, self.took)

    def pytest_terminal_summary(self) -> None:
        """Print a table of the parts, if there is more than one."""
        begun = [part for part in self.parts.values() if part.started]
        if self.says and len(begun) > 1:
            for line in table(begun):
                self.reporter.write_line(line)

    def end(self, part: Part) -> None:
        """Say what has come of a part."""
        self.begun.remove(part)
        part.seconds = time.monotonic() - part.started
        self.say(f"{part.name}: {part.summary()} in {durations.text(part.seconds)}")

    def say(self, line: str, **markup: bool) -> None:
        """Print a line, in between pytest's own."""
        if not self.says:
            return
        if self._ticker:
            self._ticker.clear()
        self.reporter.ensure_newline()
        self.reporter.write_line(line, **markup)
        self.reporter.flush()

    def stop(self) -> None:
        """Show no more where the tests are."""
        if self._ticker:
            self._ticker.stop()
            self._ticker = None

    def line(self) -> str:
        """Return where the tests are."""
        begun = list(self.begun)  # at once: a part may end at any time
        if not begun:
            return ""
        words = [f"{part.name}: {part.total - len(part.left):,} of {part.total:,}"
                 for part in begun]  # fmt: skip
        if failed := sum(part.outcomes["failed"] for part in begun):
            words.append(f"{failed} failed")
        for step in underway[-1:]:  # it has times of its own, and all has to fit into a line
            return f"{', '.join(words)}: {step}"
        words.append(durations.text(time.monotonic() - begun[0].started))
        pace = self.spent / self.expected if self.expected > ENOUGH else 1.0
        pace /= self.workers
        own = total(part.remaining(self.known) for part in begun)
        left = [part for part in self.parts.values() if part.left]
        if own is not None:
            words.append(f"{about(pace * own)} left")
            everything = total(part.remaining(self.known) for part in left)
            if everything is not None and len(left) > len(begun):
                words[-1] += f" (in all {durations.text(pace * everything)})"
        return f"{', '.join(words)}: {self.test.rpartition('/')[2]}"


class Ticker:
    """Shows the line of a Progress while a test runs, past pytest's capture of what it prints."""

    def __init__(self, progress: Progress, terminal: bool) -> None:
        self._progress = progress
        self._terminal = terminal
        progress.reporter.flush()
        self._fd = os.dup(1)  # pytest captures tests only: this is still where its own output goes
        self._lock = RLock()
        self._shown = False
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        said, step = time.monotonic(), None
        while not self._stopped.wait(1.0):
            line = self._progress.line()
            if self._terminal:
                columns = os.get_terminal_size(self._fd).columns or 80
                with self._lock:
                    self._shown = True
                    self._write(f"\r\x1b[K{line[: columns - 1]}")
                continue
            begun = next(iter(underway[-1:]), None)  # it may end at any time
            if time.monotonic() - said >= INTERVAL or (begun and begun is not step):
                said, step = time.monotonic(), begun
                self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # nobody is there any more
            os.write(self._fd, text.encode(errors="replace"))

    def clear(self) -> None:
        """Remove the line, for another to be printed."""
        with self._lock:
            if self._shown:
                self._shown = False
                self._write("\r\x1b[K")

    def stop(self) -> None:
        """End the thread, and remove the line."""
        self._stopped.set()
        self._thread.join()
        self.clear()
        os.close(self._fd)


def total(estimates: Iterable[float | None]) -> float | None:
    """Return the sum of estimates; None if one is not known."""
    found = list(estimates)
    known = [each for each in found if each is not None]
    return sum(known) if len(known) == len(found) else None


def about(seconds: float) -> str:
    """Return an estimate as it is shown."""
    return f"about {durations.text(max(seconds, 1))}"


def table(parts: Sequence[Part]) -> list[str]:
    """Return the lines of the table of parts."""
    rows = [(part.name, *(f"{part.outcomes[each]:,}" for each in ("passed", "failed", "skipped")),
             durations.text(part.seconds)) for part in parts]  # fmt: skip
    head = ("part", "passed", "failed", "skipped", "time")
    return [f"{a:10} {b:>8} {c:>8} {d:>8}  {e}" for a, b, c, d, e in (head, *rows)]


def load(file: Path) -> dict[str, float]:
    """Return the seconds that each test took the last time that it passed."""
    with suppress(OSError, ValueError):
        known: dict[str, float] = json.loads(file.read_text())
        return known
    return {}


def save(file: Path, took: Mapping[str, float]) -> None:
    """Write down what tests took, beside what is known of others."""
    merged = load(file) | {test: round(seconds, 3) for test, seconds in took.items()}
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(merged, indent=0))
        new.replace(file)


@pytest.hookimpl(trylast=True)  # after pytest has made its reporter
def pytest_configure(config: pytest.Config) -> None:
    """Take part wherever tests are run, but in no worker of pytest-xdist, whom nobody hears."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    worker = hasattr(config, "workerinput")
    if reporter and not worker and not config.getoption("collectonly"):
        config.pluginmanager.register(Progress(config, reporter), "progress")
