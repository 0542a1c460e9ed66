"""scripts/venv.sh in a folder with a lock file of one package, which is beside it; no network."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import SCRIPTS
from tests.support.pace import FAR

Done = subprocess.CompletedProcess[str]

# What else an environment has to have, here in the folder itself.
STUBS = ("lab/__init__.py", "lab/__main__.py", "mypy.py", "pytest.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the script, and with a lock file that wants version 1.0 of `spam`."""
    made = tmp_path / "clone"
    shutil.copytree(SCRIPTS, made / "scripts")
    for name in ("requirements", "lab", "wheels"):
        (made / name).mkdir()
    for name in STUBS:
        (made / name).write_text("")
    (made / "lab/__main__.py").write_text("import spam\n")
    want(made, "1.0")
    return made


def want(folder: Path, version: str, *, there: bool = True) -> None:
    """Write a lock file with a version of `spam`, and the package unless it is not to be had."""
    wheel = folder / f"wheels/spam-{version}-py3-none-any.whl"
    about = f"spam-{version}.dist-info"
    files = {
        "spam.py": f"version = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: spam\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in files))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"spam=={version} \\\n    --hash=sha256:{digest}\n"
    (folder / "requirements/dev.txt").write_text(lock)
    if not there:
        wheel.unlink()


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a shell whose pip finds the packages in the folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    found = {"PIP_FIND_LINKS": str(folder / "wheels"), "PIP_NO_INDEX": "1"}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, **found, **settings}


def venv(folder: Path, *arguments: str, **settings: str) -> Done:
    """Run the script."""
    return subprocess.run(
        ["bash", "scripts/venv.sh", *arguments], cwd=folder, env=environment(folder, **settings),
        check=False, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def spam(folder: Path) -> str:
    """Return the version that .venv has."""
    command = [".venv/bin/python", "-c", "import spam; print(spam.version)"]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def target(folder: Path) -> str:
    """Return the environment that .venv is."""
    return str((folder / ".venv").readlink())


def folders(folder: Path) -> set[str]:
    """Return the environments that there are, complete or not."""
    return {path.name for path in folder.glob(".venv-*")}


@contextmanager
def installing(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run the script with an index that never answers, until it waits for that."""
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(FAR)
        address = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        settings = {"PIP_INDEX_URL": address, "PIP_NO_INDEX": "0", "PIP_FIND_LINKS": ""}
        with subprocess.Popen(
            ["bash", "scripts/venv.sh"], cwd=folder, env=environment(folder, **settings),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        ) as run:  # fmt: skip
            try:
                with index.accept()[0]:
                    yield run
            finally:
                if run.poll() is None:
                    os.killpg(run.pid, signal.SIGKILL)


def make_old(folder: Path) -> str:
    """Put an older environment into the folder, which has `spam` from there; return its name."""
    (folder / ".venv-old/bin").mkdir(parents=True)
    (folder / ".venv-old/bin/python").symlink_to(sys.executable)
    (folder / ".venv").symlink_to(".venv-old")
    (folder / "spam.py").write_text("version = 'old'\n")
    return ".venv-old"


def test_contents_decide_and_not_times(folder: Path) -> None:
    """An environment is made once, whatever the lock file's time is; for another lock file anew.

    The one before stays until then, for what runs in it. A folder that was called .venv is gone.
    """
    (folder / ".venv/bin").mkdir(parents=True)
    assert venv(folder).returncode == 0
    first = target(folder)
    for when in (0, 2**31):
        os.utime(folder / "requirements/dev.txt", (when, when))
        assert venv(folder).stderr == ""
    assert target(folder) == first

    want(folder, "2.0")
    os.utime(folder / "requirements/dev.txt", (0, 0))
    assert venv(folder, "check").returncode == 1
    assert venv(folder).returncode == 0
    assert spam(folder) == "2.0"
    assert folders(folder) == {first, target(folder)}


def test_an_old_environment_stays_until_there_is_a_new_one(folder: Path) -> None:
    """Offline no new one can be made; then the old one is there, for whoever is content with it."""
    old = make_old(folder)
    want(folder, "2.0", there=False)
    done = venv(folder)
    assert done.returncode == 1
    assert "No matching distribution found for spam==2.0" in done.stderr
    assert (target(folder), spam(folder)) == (old, "old")
    assert folders(folder) == {old}
    assert (venv(folder, "any").returncode, venv(folder, "any").stderr) == (0, "")
    assert venv(folder, "check").returncode == 1


def test_any_environment_is_one_that_runs_the_lab(folder: Path) -> None:
    """One that lacks what the lab imports by now is replaced."""
    make_old(folder)
    (folder / "spam.py").unlink()
    assert venv(folder, "any").returncode == 0
    assert spam(folder) == "1.0"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_is_half_built_never_counts(folder: Path, number: signal.Signals) -> None:
    """Who breaks off has the old environment; what a kill leaves goes with the next run."""
    old = make_old(folder)
    with installing(folder) as run:
        os.killpg(run.pid, number)
        run.wait(FAR)
    assert target(folder) == old
    assert venv(folder, "check").returncode == 1
    left = folders(folder) - {old}
    assert len(left) == (1 if number == signal.SIGKILL else 0)
    if left:
        assert venv(folder).returncode == 0
        assert not left & folders(folder)


def test_a_second_run_waits_for_the_first(folder: Path) -> None:
    """It says so, and then makes what the first has not made."""
    with installing(folder) as first:
        second = subprocess.Popen(
            ["bash", "scripts/venv.sh"], cwd=folder, env=environment(folder),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with second:
            assert second.stderr is not None
            waiting = f"venv: waiting for venv in {folder}, process {first.pid}: one at a time"
            assert second.stderr.readline() == f"{waiting} sets up this machine\n"
            assert not (folder / ".venv").exists()
            os.killpg(first.pid, signal.SIGINT)
            second.communicate(timeout=FAR)
    assert second.returncode == 0
    assert spam(folder) == "1.0"


@pytest.mark.parametrize(
    "settings",
    [
        ["PIP_TARGET={}", "PIP_DRY_RUN=1", "PIP_REQUIREMENT={}/none", "PIP_CONSTRAINT={}/none"],
        ["PIP_PREFIX={}", "PIP_ROOT={}", "PYTHONPATH={}", "PYTHONSAFEPATH=1"],
        ["PIP_USER=1", "PYTHONHOME={}", "PYTHONOPTIMIZE=2", "PYTHON_GIL=0"],
    ],
    ids=" ".join,
)
def test_settings_for_other_environments_are_not_for_this_one(
    folder: Path, tmp_path: Path, settings: list[str]
) -> None:
    """What the shell sets for Python and pip in general changes nothing of what .venv holds."""
    (tmp_path / "spam.py").write_text("version = 'foreign'\n")
    done = venv(folder, **dict(text.format(tmp_path).split("=") for text in settings))
    assert done.returncode == 0, done.stderr
    assert spam(folder) == "1.0"


def test_an_environment_without_its_packages_is_not_ready(folder: Path, tmp_path: Path) -> None:
    """Whatever pip says: here its own file tells it to install nothing."""
    (tmp_path / "pip.conf").write_text("[install]\ndry-run = true\n")
    done = venv(folder, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert done.returncode == 1
    assert "No module named 'spam'" in done.stderr
    assert not (folder / ".venv").exists()
    assert folders(folder) == set()


def test_programs_in_a_folder_that_was_renamed_no_longer_run(folder: Path) -> None:
    """They name the folder: what needs them has the environment made anew, `make down` does not."""
    assert venv(folder).returncode == 0
    moved = folder.rename(folder.with_name("renamed"))
    assert venv(moved, "any").stderr == ""
    assert venv(moved, "check").returncode == 1
