"""Commands that the lab runs, and what a signal does to them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import ROOT, interrupts
from tests.support.pace import FAR, until

INTERRUPTED = """
import sys
from lab import interrupts
interrupts.install()
command = ["sh", "-c", "echo $$ > $0; exec sleep 600", sys.argv[1]]
try:
    {call}
except KeyboardInterrupt:
    print("interrupted")
"""
CALLS = {
    "run": "interrupts.run(command, capture=True)",
    "follow": "interrupts.follow(command, print)",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_command_is_ended(tmp_path: Path, call: str, number: int) -> None:
    """Whoever waits for it goes on to clean up, and it does not run beside that."""
    file = tmp_path / "pid"
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(call=call), str(file)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        until(lambda: file.exists() and file.read_text().endswith("\n"), "the command runs")
        process.send_signal(number)
        try:
            said, _ = process.communicate(timeout=FAR)
        finally:
            process.kill()
    assert said == "interrupted\n"
    assert not Path(f"/proc/{file.read_text().strip()}").exists()


def test_lines_are_passed_on_as_they_come() -> None:
    """Those of both outputs; all of them are in the outcome, with the exit status."""
    lines: list[str] = []
    command = ["sh", "-c", "echo one; echo two >&2; exit 3"]
    done = interrupts.follow(command, lines.append)
    assert (lines, done.stdout, done.returncode) == (["one", "two"], "one\ntwo\n", 3)
