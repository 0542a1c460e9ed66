"""The clients in their container: they know the caller's terminal, and reach the caller's files."""

import re
from pathlib import Path

import pytest

from lab import LabError, demo
from lab.stack import Stack

COLOURS = re.compile(r"\x1b\[[\d;]*3[12]m")
UNSET = ("NO_COLOR", "FORCE_COLOR", "COLUMNS")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have none of the settings from outside."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "colours"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1", "TERM": "xterm-256color"}, True),
        ({"FORCE_COLOR": "1", "TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, dict) else "",
)
def test_the_settings_of_the_terminal_go_with_them(
    stack: Stack,
    settings: dict[str, str],
    colours: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whether it has colours, and how wide it is."""
    for name, value in {"COLUMNS": "90", **settings}.items():
        monkeypatch.setenv(name, value)
    assert demo.run(stack, []) == 0
    printed = capfd.readouterr().out
    assert bool(COLOURS.search(printed)) == colours
    if settings.get("TERM") != "dumb":
        frames = re.findall("╭[─┬]+╮", printed)
        assert [len(frame) <= 90 for frame in frames] == [True]


def test_a_file_that_they_write_arrives(
    stack: Stack, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The body of an answer, and the picture of the table, which is on the terminal too."""
    letters, picture = tmp_path / "letters", tmp_path / "picture.svg"
    assert demo.run(stack, ["http", "GET", "/range/26", "--output", str(letters)]) == 0
    assert letters.read_bytes() == b"abcdefghijklmnopqrstuvwxyz"
    capfd.readouterr()
    assert demo.run(stack, [f"--svg={picture}"]) == 0
    assert " checks held, in " in capfd.readouterr().out
    assert "UNIX" in picture.read_text()
    assert "✗" not in picture.read_text()


def test_a_file_that_they_read_is_that_of_the_caller(
    stack: Stack, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """To upload it to httpbin, and to rest."""
    file = tmp_path / "file.txt"
    file.write_text("Hello, world.")
    assert demo.run(stack, ["http", "POST", "/post", "--file", str(file)]) == 0
    assert '"file": "Hello, world."' in capfd.readouterr().out
    assert demo.run(stack, ["rest", "upload", str(file), "--as", "json"]) == 0
    assert '"name": "file.txt"' in capfd.readouterr().out


def test_a_file_that_cannot_be_is_refused_before_anything_is_done(
    stack: Stack, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The option is named, with its value and the reason."""
    file = tmp_path / "none" / "file"
    assert demo.run(stack, ["http", "GET", "/get", "--output", str(file)]) == 2
    reason = "Not a file that can be written: No such file or directory"
    assert capfd.readouterr().err == f"clients: --output has value {str(file)!r}. {reason}\n"
    with pytest.raises(LabError, match=re.escape(f"--svg has value {str(file)!r}. {reason}")):
        demo.run(stack, ["--svg", str(file)])
    with pytest.raises(SystemExit):
        demo.run(stack, ["rest", "upload", str(file)])
    assert f"FILE: {str(file)!r} is not a file that can be read\n" in capfd.readouterr().err
    assert capfd.readouterr().out == ""
