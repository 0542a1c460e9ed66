"""The key's file, as the lab makes it."""

import errno
import os
from pathlib import Path

import pytest

from lab import authkey, files


def test_each_key_is_another_and_is_kept(tmp_path: Path) -> None:
    """It is long, its folder is its owner's alone, and containers may read the file."""
    keys = []
    for name in ("a", "b"):
        file = tmp_path / name / "authkey"
        authkey.ensure(file)
        keys.append(file.read_text())
        authkey.ensure(file)
        assert file.read_text() == keys[-1]
        assert file.stat().st_mode & 0o777 == 0o444
        assert file.parent.stat().st_mode & 0o777 == 0o700
        assert [each.name for each in file.parent.iterdir()] == ["authkey"]
    assert keys[0] != keys[1]
    assert min(map(len, keys)) > 32


@pytest.mark.parametrize(
    ("mode", "owner", "readable"),
    [
        (0o444, 0, True),
        (0o600, 0, False),
        (0o640, 0, False),
        (0o400, authkey.CONTAINER_USER, True),
        (0o044, authkey.CONTAINER_USER, False),
    ],
)
def test_a_key_that_containers_may_not_read_is_a_problem(
    tmp_path: Path, mode: int, owner: int, readable: bool
) -> None:
    """What to do about it is said; to a server that is a process it is none."""
    file = tmp_path / "authkey"
    authkey.ensure(file)
    file.chmod(mode)
    if owner:
        if os.geteuid():
            pytest.skip("only root gives a file away")
        os.chown(file, owner, 0)
    problem = authkey.problem(file, containers=True)
    assert (problem == "") == readable
    assert readable or f"chmod o+r {file}" in problem


def test_the_digest_tells_keys_apart_and_is_none(tmp_path: Path) -> None:
    """It is the same for the same key, and none of the key stands in it."""
    one, other = tmp_path / "one", tmp_path / "other"
    for file in (one, other):
        authkey.ensure(file)
    assert authkey.digest(one) == authkey.digest(one) != authkey.digest(other)
    assert authkey.digest(one) not in one.read_text()
    assert authkey.digest(tmp_path / "none") == ""


def test_a_file_that_cannot_be_written_in_full_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither under its name nor another, and one that was there before stays as it was."""
    file = tmp_path / "file"
    files.write(file, "before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(file, "after")
    assert file.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_there_stays_if_it_is_not_to_be_replaced(tmp_path: Path) -> None:
    """Of two that make it at the same time, the first one has made it."""
    file = tmp_path / "file"
    files.write(file, "first", replace=False)
    files.write(file, "second", replace=False)
    assert file.read_text() == "first"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
