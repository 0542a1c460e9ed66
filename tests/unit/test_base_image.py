"""Which image scripts/base_image.sh chooses of those that the engine has."""

import os
import subprocess
from pathlib import Path

import pytest

from lab import SCRIPTS

OFFICIAL, OWN = "python:3.13-slim-trixie", "wirelab-base:trixie"
DOCKER = """#!/bin/sh
case "$1 $2" in
    "image inspect") case " {has} " in *" $3 "*) exit 0 ;; *) exit 1 ;; esac ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""


@pytest.mark.parametrize(
    ("named", "has", "chosen"),
    [
        ("mine:1", [OFFICIAL, OWN], "mine:1"),
        ("", [OWN, OFFICIAL], OFFICIAL),
        ("", [OWN], OWN),
    ],
    ids=["the one named", "the official one", "the lab's own"],
)
def test_chooses_in_this_order(tmp_path: Path, named: str, has: list[str], chosen: str) -> None:
    """What is named goes before what is there, and the official image before our own."""
    (tmp_path / "docker").write_text(DOCKER.format(has=" ".join(has)))
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPTS / "base_image.sh")],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON_IMAGE": named},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{chosen}\n", "")
