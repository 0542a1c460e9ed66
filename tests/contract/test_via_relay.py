"""What a client receives is the same through the relay: the tests of it, run again with it."""

import re
import subprocess
import sys

import pytest

from lab import ROOT

COMMAND = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--via-relay"]


@pytest.mark.timeout(600)  # half a minute on an idle machine
def test_the_protocols_hold_through_the_relay() -> None:
    """With the default server of each service."""
    done = subprocess.run(
        [*COMMAND, "tests/contract"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 500
