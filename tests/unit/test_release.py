"""What a release is refused for, in a repository of its own; and what the version stands in."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import ROOT, release
from services.version import VERSION

Git = Callable[..., str]
CHANGELOG = f"# Changelog\n\n## [Unreleased]\n\n## [{VERSION}] - 2026-11-26\n"


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Make a repository of one commit, whose .ci/run has passed, and return git in it."""
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(release, "PASSED", tmp_path / "build/passed")

    def run(*arguments: str) -> str:
        author = ["-c", "user.name=test", "-c", "user.email=test"]
        return subprocess.run(
            ["git", *author, *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    run("init", "--quiet")
    (tmp_path / ".gitignore").write_text("/build/\n")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    run("add", "--all")
    run("commit", "--quiet", "--message", "all")
    (tmp_path / "build").mkdir()
    (tmp_path / "build/passed").write_text(run("rev-parse", "HEAD") + "\n")
    return run


@pytest.mark.usefixtures("git")
def test_nothing_speaks_against_a_commit_that_has_passed() -> None:
    """Committed, not tagged, in the changelog, and .ci/run has written it down."""
    assert release.against("") == []


def test_commit_that_passed_elsewhere_is_named(git: Git, tmp_path: Path) -> None:
    """In full or by its first digits; another one is refused."""
    (tmp_path / "build/passed").unlink()
    head = git("rev-parse", "HEAD")
    assert release.against(head) == release.against(head[:12]) == []
    (refused,) = release.against("0123456789ab")
    assert refused == f".ci/run has passed 0123456789ab, and HEAD is {head}"


def test_commit_that_nobody_has_tested_is_refused(git: Git, tmp_path: Path) -> None:
    """Also where the one before has passed."""
    (tmp_path / "build/passed").unlink()
    (refused,) = release.against("")
    assert f"make release COMMIT={git('rev-parse', 'HEAD')[:12]}" in refused


@pytest.mark.usefixtures("git")
def test_changes_that_are_not_committed_are_named(tmp_path: Path) -> None:
    """New files too."""
    (tmp_path / "new.py").touch()
    (refused,) = release.against("")
    assert refused.endswith("\n?? new.py")


def test_version_that_is_tagged_is_refused(git: Git) -> None:
    """A tag never moves."""
    git("tag", f"v{VERSION}")
    (refused,) = release.against("")
    assert refused.startswith(f"v{VERSION} is tagged already")


@pytest.mark.parametrize(
    "heading", ["## [Unreleased]", f"## [{VERSION}]", "## [9.9.9] - 2026-11-26"]
)
def test_version_without_a_heading_is_refused(git: Git, tmp_path: Path, heading: str) -> None:
    """With a date, as those of Keep a Changelog have."""
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
    git("commit", "--quiet", "--all", "--message", "another heading")
    (refused,) = release.against(git("rev-parse", "HEAD"))
    assert refused == f"CHANGELOG.md has no heading `## [{VERSION}] - ` with a date"


def test_changelog_has_this_version_and_keeps_its_form() -> None:
    """Headings of Keep a Changelog; the newest version is the one of services/version.py."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert versions[1][0] == VERSION
    assert all(date for _, date in versions[1:])
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(versions)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def test_version_stands_in_one_place() -> None:
    """Whatever shows it reads it there."""
    files = subprocess.run(
        ["git", "grep", "--files-with-matches", "--fixed-strings", f'"{VERSION}"'],
        cwd=ROOT, check=False, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    ours = [name for name in files if not name.startswith(("tests/", "bench/", "docs/"))]
    assert [name for name in ours if "lock" not in name] in (["services/version.py"], [])
