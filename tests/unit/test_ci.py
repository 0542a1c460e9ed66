"""What .ci/run says of its parts: when each begins, how long it took, and which one failed."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from lab import ROOT
from tests.support.pace import FAR

RUN = ROOT / ".ci" / "run"
MAKE = """#!/bin/sh
echo "made $*"
case "$*" in *"{failing}"*) exit 2 ;; esac
"""
PARTS = [
    "lint, unit and contract", "stack and plugin", "cluster", "hostile", "other Pythons",
    "interop", "bench-test and a quick bench", "up, up again, down, distclean",
]  # fmt: skip


def run(folder: Path, failing: str) -> "subprocess.CompletedProcess[str]":
    """Run it where `make` only says what it was asked for, and fails at one task."""
    (folder / "make").write_text(MAKE.format(failing=failing))
    (folder / "make").chmod(0o755)
    return subprocess.run(
        [str(RUN)],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
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
    begun = re.findall(r"^=== (.+?)(?: \(budget \d+ min\))?$", done.stdout, re.MULTILINE)
    assert [each for each in begun if " min, " not in each] == PARTS
    assert len([each for each in begun if re.search(r": \d+:\d\d min, passed$", each)]) == len(
        PARTS
    )
    *rows, total = table(done.stdout)
    assert [row[0] for row in rows] == PARTS
    assert {row[3] for row in rows} == {"passed"}
    assert total[0] == "all"


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_a_part_that_fails_is_the_last_and_named_with_its_status(
    tmp_path: Path, number: int
) -> None:
    """The table is there all the same, and the exit status is that of the task."""
    failing = [
        "lint",
        "tests/stack",
        "tests/cluster",
        "tests/hostile",
        "test-pythons",
        "interop",
        "bench QUICK",
        "ps",
    ]
    done = run(tmp_path, failing[number])
    assert done.returncode == 2
    *rows, _ = table(done.stdout)
    assert [row[0] for row in rows] == PARTS[: number + 1]
    assert [row[3] for row in rows] == ["passed"] * number + ["FAILED with status 2"]


def test_whatever_it_runs_is_a_task_of_make() -> None:
    """So that anybody can run a part by hand; and all tests are run, each folder in one part."""
    _, _, commands = RUN.read_text().partition("trap 'exit 143' TERM HUP\n")
    lines = commands.split("\n")
    assert {line.partition(" ")[0] for line in lines if line} == {"part", "make"}
    folders = re.findall(r"tests/\w+", commands)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    assert sorted(folders) == sorted([*settings["ini_options"]["testpaths"], "tests/cluster"])


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
