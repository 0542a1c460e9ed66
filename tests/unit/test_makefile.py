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
MAKEFILE = (ROOT / "Makefile").read_text()
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
    # -o: whatever .venv holds, this test runs in it.
    done = outcome(["make", "-o", "venv", "test", f"TESTS={failing}"])
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
    assert "no Docker engine" in done.stdout


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
        for name in re.findall(r"\b\w+=(wirelab-\S+:trixie)", script.read_text())
    ]
    assert sorted(made) == sorted(OWN_IMAGES)


@pytest.mark.parametrize("name", ["PROFIL", "WIRELAB_RST_PORT", "WIRELAB_REST_PORTS"])
def test_a_variable_that_no_task_has_is_named(name: str) -> None:
    """Nothing is done without it, as if it had not been there."""
    done = outcome(["make", "-n", "up", f"{name}=1", "SEED=7"])
    assert (done.returncode, done.stdout) == (2, "")
    assert f" no task has a variable {name}: " in done.stderr


def test_every_setting_can_be_given_on_the_command_line() -> None:
    """Those of the tables of settings, those that compose.yaml reads, and those of the tasks."""
    pages = (ROOT / "docs/settings.md").read_text().split("\n## ")[0]
    named = set(re.findall(r"`([A-Z][A-Z_0-9]+)\b", pages)) - {"NAME"}
    named |= set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    named |= set(re.findall(r"\$\(([A-Z]+)\)", MAKEFILE.partition("\nhelp:")[2])) - {"LAB", "MAKE"}
    assert {"TESTS", "WATCH", "HTTPS_PROXY", "WIRELAB_CLASS", "WIRELAB_KV_PORT"} <= named
    done = outcome(["make", "-n", "help", *(f"{name}=" for name in sorted(named))])
    assert done.returncode == 0, done.stderr


def test_the_list_of_tasks_fits_a_terminal() -> None:
    """Of 80 columns, with a line for every task that somebody would type."""
    listed = outcome(["make", "--no-print-directory", "help"]).stdout.splitlines()
    assert [line for line in listed if len(line) > 80] == []
    (tasks,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert [line.split()[1] for line in listed] == [
        task for task in tasks.split() if task not in ("venv", "any-venv")
    ]


@pytest.mark.parametrize(
    "task", ["down", "swarm-down", "ps", "logs", "demo", "wire", "network", "shell", "distclean"]
)
def test_what_needs_nothing_new_makes_do_with_the_environment_that_is_there(task: str) -> None:
    """Also offline, after a change of requirements/dev.txt."""
    first = outcome(["make", "-n", task]).stdout.splitlines()[0]
    assert first == "bash scripts/venv.sh any"


@pytest.mark.parametrize(
    "task",
    [
        "up", "up-local", "swarm", "test", "lint", "pictures", "bench", "browser", "wheel", "kit",
        "release",
    ],
)  # fmt: skip
def test_other_tasks_have_the_packages_of_the_lock_file(task: str) -> None:
    """Whatever .venv held before."""
    first = outcome(["make", "-n", task]).stdout.splitlines()[0]
    assert first == "bash scripts/venv.sh"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONPATH", "{foreign}"),
        ("PYTHONSAFEPATH", "1"),
        ("PYTHONHOME", "{foreign}"),
        ("PYTHONOPTIMIZE", "2"),
        ("PYTHONWARNINGS", "error"),
        ("PYTHON_GIL", "0"),
    ],
)
def test_settings_for_other_pythons_are_not_for_ours(tmp_path: Path, name: str, value: str) -> None:
    """What the shell sets in general changes nothing of what a task runs."""
    (tmp_path / "rich.py").write_text("raise SystemExit('a foreign package')")
    done = outcome(["make", "-o", "any-venv", "ps"], **{name: value.format(foreign=tmp_path)})
    assert done.stderr.startswith("engine.sh: "), done.stderr
    assert "\nwirelab: nothing runs: `make up` starts the lab\n" in done.stderr


def test_soak_is_not_cut_short() -> None:
    """Its tests get the minutes asked for, its seed, and no limit of time."""
    command = outcome(["make", "-n", "-o", "venv", "soak", "MINUTES=3", "SEED=7"]).stdout
    assert "-m pytest tests/hostile -m soak --soak=3 --seed=7 --timeout=0" in command


def test_every_folder_of_tests_is_run() -> None:
    """By `make test`, by a task of its own, or by name in .ci/run."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")}
    folders.remove("tests/plugin/example")  # by those of tests/plugin
    by_a_task = set(re.findall(r"pytest (tests/\w+)(?: --|$)", MAKEFILE, re.MULTILINE))
    assert {"tests/interop", "tests/browser"} <= by_a_task
    by_name = set(
        re.findall(r"^make test TESTS=(\S+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    )
    assert folders == set(settings["ini_options"]["testpaths"]) | by_a_task | by_name
