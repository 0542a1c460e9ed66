"""A release: the wheel and the kit of one version, from a commit that has passed all tests."""

import hashlib
import re
import shutil
import subprocess

from lab import ROOT, LabError, files, packing
from lab.console import say, step
from lab.wheel import build_wheel
from services.version import VERSION

FOLDER = ROOT / "build" / "release"
PASSED = ROOT / "build" / "passed"  # .ci/run writes the commit here that it has passed
TAG = f"v{VERSION}"


def wheel() -> int:
    """Build the wheel, and say where it is."""
    folder = ROOT / "build" / "wheel"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    say(f"build/wheel/{build_wheel(str(folder))}")
    return 0


def kit() -> int:
    """Make the kit."""
    packing.make()
    return 0


def release(commit: str, dry: bool) -> int:
    """Build the wheel, the kit and the list of their sums in build/release, and tag the commit.

    Raises LabError with all that speaks against it. A dry run says it, builds all the same, and
    tags nothing.
    """
    if problems := list(against(commit)):
        text = "\n".join(problems)
        if not dry:
            raise LabError(text)
        say(f"a release would be refused:\n{text}")
    archive = packing.make()
    with step("building the wheel"):
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        names = [build_wheel(str(FOLDER)), archive.name]
        (FOLDER / archive.name).hardlink_to(archive)
    with step("writing the sums"):
        files.write(FOLDER / "SHA256SUMS", "".join(f"{sum_of(name)}  {name}\n" for name in names))
    say("\n".join(f"build/release/{name}" for name in (*names, "SHA256SUMS")))
    if dry:
        say(f"dry run: {TAG} is not tagged")
        return 0
    git("tag", "--annotate", TAG, "--message", f"wirelab {VERSION}")
    say(f"tagged {TAG}: `git push origin {TAG}` publishes it")
    return 0


def against(commit: str) -> "list[str]":
    """Return what speaks against a release from here, a sentence each."""
    head = git("rev-parse", "HEAD")
    passed = commit or (PASSED.read_text().strip() if PASSED.exists() else "")
    found = []
    if changed := git("status", "--porcelain"):
        found.append(f"there are changes that are not committed:\n{changed}")
    if git("tag", "--list", TAG):
        found.append(f"{TAG} is tagged already: services/version.py has to have another version")
    if not re.search(
        rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d$", changelog(), re.MULTILINE
    ):
        found.append(f"CHANGELOG.md has no heading `## [{VERSION}] - ` with a date")
    if not passed:
        found.append(
            "it is not known that .ci/run passes: run it, or name the commit that it has passed"
            f" elsewhere: make release COMMIT={head[:12]}"
        )
    elif not head.startswith(passed):
        found.append(f".ci/run has passed {passed}, and HEAD is {head}")
    return found


def changelog() -> str:
    """Return the changelog."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def sum_of(name: str) -> str:
    """Return the SHA-256 sum of a file of the release."""
    with (FOLDER / name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git(*arguments: str) -> str:
    """Run git, and return what it printed; raises LabError with what it said when it fails."""
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=False, text=True, capture_output=True
    )
    if done.returncode:
        raise LabError(f"git {arguments[0]} failed:\n{done.stderr.strip()}")
    return done.stdout.strip()
