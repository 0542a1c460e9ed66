"""How other versions of Python are found."""

from pathlib import Path

import pytest

from tests.interop import pythons

FAILING = "#!/bin/sh\necho 'command not found' >&2; exit 127\n"


def program(path: Path, text: str) -> str:
    """Write a program and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def python(version: str) -> str:
    """Return a program that says that it is this version, whatever it is asked."""
    return f"#!/bin/sh\necho {version}\n"


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setenv("PYENV_ROOT", f"{tmp_path}/pyenv")


def test_the_one_on_the_path(tmp_path: Path) -> None:
    """It goes before one of pyenv's."""
    found = program(tmp_path / "bin/python3.12", python("3.12.9"))
    program(tmp_path / "pyenv/versions/3.12.1/bin/python3.12", python("3.12.1"))
    assert pythons.find("3.12") == (found, "3.12.9")


def test_one_of_pyenv_that_is_not_on_the_path(tmp_path: Path) -> None:
    """Also where the command on the path is there and fails, as those of pyenv do."""
    program(tmp_path / "bin/python3.12", FAILING)
    found = program(tmp_path / "pyenv/versions/3.12.1/bin/python3.12", python("3.12.1"))
    assert pythons.find("3.12") == (found, "3.12.1")


def test_another_version_is_none(tmp_path: Path) -> None:
    """Nor is one that only begins like it."""
    assert pythons.find("3.12") is None
    program(tmp_path / "bin/python3.12", python("3.120.1"))
    assert pythons.find("3.12") is None
