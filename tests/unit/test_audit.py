"""What scripts/audit.sh makes of what a vulnerability service says, or does not say."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lab import SCRIPTS

# In place of pip-audit: $2 is the service, and knows the old package if it is the one named.
PIP_AUDIT = """#!/bin/sh
case "$*" in
    *old.txt*) [ "$2" = "{knows}" ] && echo "requests 2.19.0 CVE-2018-18074"; exit 1 ;;
    *--strict*) echo "$2 of $3 $4: {finds}"; exit {status} ;;
esac
"""


@pytest.mark.parametrize(
    ("knows", "finds", "status", "said"),
    [
        ("pypi", "none", 0, "pypi of --requirement=requirements/a.txt --requirement=requirements"),
        ("osv", "none", 0, "osv of "),
        ("pypi", "CVE-2030-1", 1, "CVE-2030-1"),
        ("", "none", 1, ""),
    ],
    ids=["PyPI answers", "only OSV answers", "one is found", "nobody answers"],
)
def test_passes_only_if_a_service_was_asked_and_found_nothing(
    tmp_path: Path, knows: str, finds: str, status: int, said: str
) -> None:
    """A service which does not know of an old vulnerability is not asked of all lock files."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    (tmp_path / "requirements").mkdir()
    for name in ("a", "audit"):
        (tmp_path / f"requirements/{name}.txt").write_text("")
    tool = tmp_path / "build/audit/bin/pip-audit"
    tool.parent.mkdir(parents=True)
    tool.write_text(PIP_AUDIT.format(knows=knows, finds=finds, status=status))
    tool.chmod(0o755)
    shutil.copy(tmp_path / "requirements/audit.txt", tmp_path / "build/audit")  # as installed
    done = subprocess.run(
        ["bash", str(tmp_path / "scripts/audit.sh")], check=False, capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    assert said in done.stdout
    assert ("nothing is known of the packages" in done.stderr) is (not knows)
