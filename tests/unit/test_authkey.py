"""The key's file, as the lab makes it."""

from pathlib import Path

import pytest

from lab import LabError, authkey


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
    assert keys[0] != keys[1]
    assert min(map(len, keys)) > 32


def test_a_key_that_containers_may_not_read_is_refused(tmp_path: Path) -> None:
    """What to do about it is said."""
    file = tmp_path / "authkey"
    authkey.ensure(file)
    authkey.check_readable(file)
    file.chmod(0o600)
    with pytest.raises(LabError, match=r"chmod o\+r"):
        authkey.check_readable(file)
