"""What the lab does with Docker Compose, on an engine that is played."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from lab import LabError
from lab.reasons import BROKE_OFF
from lab.stack import Stack

DOCKER = """#!/bin/sh
echo "$*" >> "{log}"
[ "$(wc -l < "{log}")" -gt {failures} ] && exit
echo "failed to receive status: rpc error: code = Unavailable desc = {error}"
exit 17
"""


@pytest.mark.parametrize(
    ("failures", "error", "attempts"),
    [(0, "", 1), (1, BROKE_OFF, 2), (9, BROKE_OFF, 2), (9, "no such file", 1)],
)
def test_a_build_that_the_engine_breaks_off_is_made_once_more(
    failures: int, error: str, attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not what is built that is at fault, and not forever."""
    log = tmp_path / "log"
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.format(log=log, failures=failures, error=error))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    ends_well = nullcontext() if failures < attempts else pytest.raises(LabError, match=error)
    with ends_well:
        Stack().build("rest")
    calls = [line for line in log.read_text().splitlines() if " build " in line]
    assert len(calls) == attempts
