"""clients/health.sh with a `python` and a `sleep` that only say that they were called."""

import os
import subprocess
from pathlib import Path

import yaml

from clients.health import TIMEOUT
from lab import ROOT

MARK = "/tmp/healthy"  # noqa: S108
SCRIPT = (ROOT / "clients/health.sh").read_text()


def check(folder: Path, status: int) -> tuple[int, list[str], bool]:
    """Run the script; return its status, what it called, and whether it is marked healthy."""
    mark, calls = folder / "healthy", folder / "calls"
    for name, code in (("python", status), ("sleep", 0)):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>{calls}\nexit {code}\n')
        program.chmod(0o755)
    calls.write_text("")
    assert MARK in SCRIPT
    done = subprocess.run(
        ["sh", "-c", SCRIPT.replace(MARK, str(mark)), "health.sh", "kv"],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        check=False,
    )
    return done.returncode, calls.read_text().splitlines(), mark.exists()


def test_the_script_fails_marks_and_waits(tmp_path: Path) -> None:
    """Before the first success it never waits; after one it does; a failure takes the mark away."""
    exchange = "python -m clients.health kv"
    assert check(tmp_path, 1) == (1, [exchange], False)
    assert check(tmp_path, 0) == (0, [exchange], True)
    assert check(tmp_path, 0) == (0, ["sleep 25", exchange], True)
    assert check(tmp_path, 1) == (1, ["sleep 25", exchange], False)
    assert check(tmp_path, 1) == (1, [exchange], False)


def test_the_engine_waits_longer_than_a_check_takes() -> None:
    """Its timeout covers the script's sleep and the exchange, or every later check would fail."""
    for block in yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values():
        health = block.get("healthcheck", {})
        if "clients/health.sh" in health.get("test", ()):
            assert float(health["timeout"].removesuffix("s")) >= 25 + TIMEOUT + 5
            assert (health["interval"], health["retries"]) == ("5s", 3)
