"""What `make test` and pytest make of failures, of a missing engine and of warnings."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lab import ROOT, SCRIPTS
from lab.down import OWN_IMAGES

NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]


def outcome(command: list[str], **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in the repository where no engine answers."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **NO_ENGINE, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_make_test_fails_where_a_test_does(tmp_path: Path) -> None:
    """Its exit status says so, which is all that a machine reads."""
    failing = tmp_path / "test_failing.py"
    failing.write_text("def test_it():\n    assert False\n")
    # -o: whatever make thinks of the environment's age, this test runs in it.
    done = outcome(["make", "-o", ".venv/ready", "test", f"TESTS={failing}"])
    assert done.returncode == 2, done.stdout + done.stderr
    assert "1 failed" in done.stdout


@pytest.mark.parametrize(
    ("ci", "status", "said"), [("true", 1, "1 error"), ("", 0, "1 skipped")], ids=["CI", "at home"]
)
def test_tests_of_the_containers_without_an_engine(ci: str, status: int, said: str) -> None:
    """They are skipped with a reason; with CI=true they fail."""
    done = outcome([*PYTEST, "tests/stack/test_serving.py::test_is_healthy[kv]"], CI=ci)
    assert done.returncode == status, done.stdout
    assert said in done.stdout
    assert ("no Docker engine" in done.stdout) is (not ci)


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    """Also one that nobody asked for."""
    warning = tmp_path / "test_warning.py"
    warning.write_text("import warnings\n\n\ndef test_it():\n    warnings.warn('x')\n")
    assert outcome([*PYTEST, "-c", "pyproject.toml", str(warning)]).returncode == 1


def test_distclean_knows_every_image_that_a_script_makes() -> None:
    """Those of the stack go with the stack; the others have names of their own."""
    made = [
        name
        for script in SCRIPTS.glob("*.sh")
        for name in re.findall(r"^\w+=(wirelab-\S+)$", script.read_text(), re.MULTILINE)
    ]
    assert sorted(made) == sorted(OWN_IMAGES)


def test_soak_is_not_cut_short() -> None:
    """Its tests get the minutes asked for, its seed, and no limit of time."""
    command = outcome(["make", "-n", "-o", ".venv/ready", "soak", "MINUTES=3", "SEED=7"]).stdout
    assert "-m pytest tests/hostile -m soak --soak=3 --seed=7 --timeout=0" in command


def test_every_folder_of_tests_is_run() -> None:
    """By `make test`, by a task of its own, or by name in .ci/run."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")}
    by_a_task = set(re.findall(r"pytest (tests/\w+) --", (ROOT / "Makefile").read_text()))
    assert "tests/interop" in by_a_task
    by_name = set(
        re.findall(r"^make test TESTS=(\S+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    )
    assert folders == set(settings["ini_options"]["testpaths"]) | by_a_task | by_name
