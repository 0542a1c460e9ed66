"""What ./install says of a stick that is not as it was written, and of another machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import SCRIPTS, packing
from tests.support.pace import FAR

Done = subprocess.CompletedProcess[str]
UP = "up:\n\t@echo the lab is started in $(CURDIR)\n"


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """Pack a kit of nothing but scripts, for this machine, and unpack it."""
    makefile = tmp_path / "Makefile"
    makefile.write_text(UP)
    scripts = {f"wirelab/scripts/{path.name}": path for path in SCRIPTS.glob("*.sh")}
    files = {"install": SCRIPTS / "install.sh", "wirelab/Makefile": makefile, **scripts}
    texts = {
        "wirelab/kit/made_on": f"{packing.made_on()}\n",
        "wirelab/kit/packages/Packages": "\n",
    }
    archive = tmp_path / "kit.tar"
    packing.pack(archive, "stick", files, texts, lambda _: None)
    subprocess.run(["tar", "-x", "-f", archive, "-C", tmp_path], check=True)
    return tmp_path / "stick"


def install(stick: Path, *arguments: str | Path, **settings: str) -> Done:
    """Run ./install, where the home is beside the stick."""
    home = stick.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [stick / "install", *arguments],
        cwd="/",
        env={**os.environ, "HOME": str(home), **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FAR,
        check=False,
    )


def left(stick: Path) -> list[str]:
    """Return what is in the home, where nothing is to be after a failure."""
    return sorted(path.name for path in (stick.parent / "home").iterdir())


def test_kit_is_copied_and_started(stick: Path) -> None:
    """Into the home, or a folder that is named; and the stick stays as it is."""
    before = sorted(path for path in stick.rglob("*"))
    done = install(stick)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"the lab is started in {stick.parent}/home/wirelab\n"
    assert left(stick) == ["wirelab"]
    assert install(stick, stick.parent / "home" / "a folder").returncode == 0
    assert left(stick) == ["a folder", "wirelab"]
    assert sorted(path for path in stick.rglob("*")) == before


def test_kit_is_installed_from_the_folder_above(stick: Path) -> None:
    """By a relative path, where the shell's CDPATH would have `cd` print where it went."""
    home = stick.parent / "home"
    home.mkdir()
    done = subprocess.run(
        ["bash", "stick/install"], cwd=stick.parent, stdin=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(home), "CDPATH": f"{stick.parent}:/"},
        capture_output=True, text=True, timeout=FAR, check=False,
    )  # fmt: skip
    assert (done.returncode, left(stick)) == (0, ["wirelab"]), done.stderr


def test_file_that_was_cut_off_is_named(stick: Path) -> None:
    """With both sizes; and nothing has happened."""
    file = stick / "wirelab/scripts/lock.sh"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-1])
    done = install(stick)
    assert done.returncode == 1
    assert f"wirelab/scripts/lock.sh has {size - 1} bytes, and {size} are listed" in done.stderr
    assert left(stick) == []


def test_file_that_is_missing_is_named(stick: Path) -> None:
    """And nothing has happened."""
    (stick / "wirelab/scripts/lock.sh").unlink()
    done = install(stick)
    assert (done.returncode, "wirelab/scripts/lock.sh is missing" in done.stderr) == (1, True)
    assert left(stick) == []


def test_file_that_has_other_contents_is_named(stick: Path) -> None:
    """Of the same size: by its sum."""
    file = stick / "wirelab/scripts/lock.sh"
    file.write_bytes(file.read_bytes().replace(b"npm", b"nmp"))
    done = install(stick)
    assert (done.returncode, "wirelab/scripts/lock.sh: FAILED" in done.stderr) == (1, True)
    assert left(stick) == []


@pytest.mark.parametrize("name", ["contents", "wirelab/kit/made_on", "wirelab/scripts/common.sh"])
def test_stick_without_what_it_takes_to_compare_is_named(stick: Path, name: str) -> None:
    """With what to do."""
    (stick / name).unlink()
    done = install(stick)
    assert done.returncode == 1
    assert name in done.stderr
    assert "unpack" in done.stderr
    assert left(stick) == []


def test_folder_that_is_there_stays(stick: Path) -> None:
    """And is named."""
    folder = stick.parent / "home/wirelab"
    folder.mkdir(parents=True)
    done = install(stick)
    assert (done.returncode, f"install: {folder} is there already: " in done.stderr) == (1, True)
    assert list(folder.iterdir()) == []


def test_folder_that_cannot_be_made_is_named(stick: Path) -> None:
    """With the one above it."""
    done = install(stick, "/none/wirelab")
    assert (done.returncode, "cannot be made: /none is no folder" in done.stderr) == (1, True)


def test_other_cpu_is_named(stick: Path) -> None:
    """Both are."""
    (stick / "wirelab/kit/made_on").write_text("debian 12 riscv64\n")
    done = install(stick)
    assert done.returncode == 1
    assert "install: the kit was made on debian 12 riscv64: " in done.stderr
    assert packing.made_on() in done.stderr


def test_other_release_takes_an_engine_that_is_there(stick: Path) -> None:
    """Without one, what it lacks is said; the packages are for another release."""
    cpu = packing.made_on().split()[-1]
    (stick / "wirelab/kit/made_on").write_text(f"debian 99 {cpu}\n")
    done = install(stick, DOCKER_HOST="tcp://127.0.0.1:1")
    assert done.returncode == 1
    assert (
        f"the kit's Debian packages are for debian 99 {cpu}: on {packing.made_on()}" in done.stderr
    )
    assert left(stick) == []


def test_disk_that_is_full_leaves_nothing(stick: Path) -> None:
    """What was copied until then is removed; the same happens for Ctrl-C."""
    folder = stick.parent / "bin"
    folder.mkdir()
    (folder / "cp").write_text('#!/bin/sh\nfor last; do :; done\ntouch "$last/half"; exit 1\n')
    (folder / "cp").chmod(0o755)
    done = install(stick, PATH=f"{folder}:{os.environ['PATH']}")
    assert (done.returncode, "failed: install: copying to " in done.stderr) == (1, True)
    assert left(stick) == []


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_file_system_without_modes_is_no_error(stick: Path) -> None:
    """As that of a stick: nothing on it may be executed."""
    for path in stick.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    home = stick.parent / "home"
    done = subprocess.run(
        ["bash", stick / "install", home], check=False, capture_output=True, text=True, timeout=FAR
    )
    assert (done.returncode, done.stdout) == (0, f"the lab is started in {home}\n"), done.stderr
