"""What .ci/run says of its parts: when each begins, how long it took, and which one failed."""

import os
import re
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from lab import ROOT
from tests.support.pace import FAR, until
from tests.support.processes import beside

RUN = ROOT / ".ci" / "run"
MAKE = """#!/bin/sh
echo "made $*"
case "$*" in *"{failing}"*) exit 2 ;; esac
"""
# Each part, and one of its tasks. Those beside others end after these.
TASKS = {
    "lint, unit and contract": "lint",
    "workshop": "tests/workshop",
    "interop": "interop",
    "stack": "tests/stack",
    "hostile": "tests/hostile",
    "browser": "browser",
    "cluster": "cluster-test",
    "kit, release and plugin": "kit-test",
    "bench-test and a quick bench": "bench QUICK",
    "other Pythons": "test-pythons",
    "Swarm": "swarm-test",
    "up, up again, down, distclean": "ps",
}
BESIDE = ["stack", "kit, release and plugin", "other Pythons"]
PARTS = list(TASKS)


def fake(folder: Path, script: str) -> dict[str, str]:
    """Write a `make` to a folder, and return an environment in which that is found."""
    (folder / "make").write_text(script)
    (folder / "make").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def run(folder: Path, failing: str) -> "subprocess.CompletedProcess[str]":
    """Run it where `make` only says what it was asked for, and fails at one task."""
    return subprocess.run(
        [str(RUN)],
        env=fake(folder, MAKE.format(failing=failing)),
        check=False, capture_output=True, text=True, timeout=FAR,
    )  # fmt: skip


def table(output: str) -> list[list[str]]:
    """Return the rows of the table at the end."""
    _, head, rows = output.rpartition("part                              took  budget\n")
    assert head, output
    return [re.split(r" {2,}", row.strip()) for row in rows.splitlines()]


def test_says_where_it_is_and_lists_all_parts_at_the_end(tmp_path: Path) -> None:
    """Every part has its name before and its time after, and both beside the budget in a table."""
    done = run(tmp_path, "no such task")
    assert (done.returncode, done.stderr) == (0, "")
    begun = re.findall(r"^=== ([^:]+?)(?: \(budget \d+ min\).*)?$", done.stdout, re.MULTILINE)
    assert sorted(dict.fromkeys(begun)) == sorted(PARTS)
    assert [each for each in dict.fromkeys(begun) if each not in BESIDE] == [
        each for each in PARTS if each not in BESIDE
    ]
    ended = re.findall(r"^=== (.+): \d+:\d\d min, passed$", done.stdout, re.MULTILINE)
    assert ended == PARTS
    *rows, total = table(done.stdout)
    assert [row[0] for row in rows] == PARTS
    assert {row[3] for row in rows} == {"passed"}
    assert total[0] == "all"


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_a_part_that_fails_is_the_last_and_named_with_its_status(
    tmp_path: Path, number: int
) -> None:
    """The table is there all the same, and the exit status is that of the task."""
    done = run(tmp_path, TASKS[PARTS[number]])
    assert done.returncode == 2
    *rows, _ = table(done.stdout)
    listed = [row[0] for row in rows if row[3] != "interrupted"]
    if PARTS[number] not in BESIDE:  # the other may have ended before it is interrupted
        listed = [each for each in listed if each in PARTS[: number + 1]]
    assert listed == PARTS[: number + 1]
    assert {row[0]: row[3] for row in rows}[PARTS[number]] == "FAILED with status 2"
    assert {row[3] for row in rows if row[0] in PARTS[:number]} <= {"passed"}


def test_the_output_of_a_part_beside_another_follows_in_one_piece(tmp_path: Path) -> None:
    """Between two lines that name it, and not in between the other's."""
    said = run(tmp_path, "no such task").stdout
    assert re.search(
        r"=== other Pythons \(budget 4 min\), its output\nmade test-pythons\n"
        r"=== other Pythons: 0:0\d min, passed\n",
        said,
    )


def test_a_part_that_was_killed_before_it_wrote_its_time_has_one(tmp_path: Path) -> None:
    """The file is there by then, and empty."""
    cat = tmp_path / "cat"
    cat.write_text('#!/bin/sh\ncase "$1" in *.took) ;; *) exec /bin/cat "$@" ;; esac\n')
    cat.chmod(0o755)
    done = run(tmp_path, "no such task")
    assert (done.returncode, done.stderr) == (0, "")
    assert [row[0] for row in table(done.stdout)] == [*PARTS, "all"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_both_of_two_parts(tmp_path: Path, number: signal.Signals) -> None:
    """Each has time to clean up, and the table says what was interrupted."""
    script = (
        "#!/bin/sh\ntrap 'echo cleaned up; exit 2' INT TERM\n"
        f"echo > {tmp_path}/$$.began\n"
        "while :; do sleep 0.1; done\n"
    )
    with beside(
        [str(RUN)], env=fake(tmp_path, script), stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        until(lambda: len(list(tmp_path.glob("*.began"))) == 2, "both have begun")
        os.killpg(process.pid, number)
        said, _ = process.communicate(timeout=FAR)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert said.count("cleaned up") == 2
    assert [row[3] for row in table(said)[:2]] == [
        f"FAILED with status {process.returncode}",
        "interrupted",
    ]


def test_whatever_it_runs_is_a_task_of_make() -> None:
    """So that anybody can run a part by hand; and all tests are run, each folder in one part."""
    _, _, commands = RUN.read_text().partition("trap 'exit 143' TERM HUP\n")
    lines = commands.split("\n")
    words = {line.partition(" ")[0] for line in lines if line}
    assert words == {"part", "make", "beside", "together"}
    assert all(" make " in line for line in lines if line.startswith("beside"))
    folders = re.findall(r"tests/\w+", commands)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    assert len(folders) == len(set(folders))
    assert {*settings["ini_options"]["testpaths"]} <= {*folders}


def test_the_workflow_and_the_hook_run_what_anybody_can_run() -> None:
    """The workflow runs `.ci/run`, the hook `make lint`, and neither has steps of its own."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    checkout, step = job["steps"]
    assert re.fullmatch(r"actions/checkout@v\d+\.\d+\.\d+", checkout["uses"])
    assert step == {"run": ".ci/run"}
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (hook,) = repository["hooks"]
    assert (repository["repo"], hook["entry"]) == ("local", "make lint")
