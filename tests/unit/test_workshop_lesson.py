"""What a lesson's folder may hold, and what is said when it holds something else."""

import shutil
from pathlib import Path

import pytest

from lab import LabError
from lab.workshop.lesson import lesson, lessons, load

ONE = lesson(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of lesson 1."""
    return Path(shutil.copytree(ONE.folder, tmp_path / ONE.folder.name))


def test_lessons_come_in_their_order() -> None:
    """Each has a number, and a file of its own in mine/."""
    found = lessons()
    assert [each.number for each in found] == sorted({each.number for each in found})
    assert len({each.edit for each in found}) == len(found)


def test_a_number_that_no_lesson_has() -> None:
    """Those that there are, are named."""
    with pytest.raises(LabError, match="no lesson 99; there are 0, 1, "):
        lesson(99)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("minutes = 25", "minutes = 0", "minutes has value 0. Not a number from 1 up"),
        ("minutes = 25", 'minutes = "25"', "minutes has value '25'. Not a number from 1 up"),
        ("minutes = 25", "", "minutes is missing"),
        ("minutes = 25", "minutes = 25\nmintues = 1", "no such key: mintues"),
        ("minutes = 25", "minutes = ", "Invalid value"),
        ('zh = "一个套接字"', 'de = "Ein Socket"', "title has value .* Not a table of en, zh"),
        ('edit = "one_socket.py"', 'edit = "../start.py"', "edit has value '../start.py'"),
        ("raw_loop.py", "no_loop.py", "there is no file .*no_loop.py"),
        ("minutes = 25", 'minutes = 25\nneeds = "luck"', "needs has value 'luck'. Not process or"),
        ("minutes = 25", 'minutes = 25\nrole = "peer"', "role has value 'peer'. Not server or"),
    ],
)
def test_a_lesson_that_is_not_one(folder: Path, old: str, new: str, said: str) -> None:
    """The file, the key and the value are named."""
    file = folder / "lesson.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(LabError, match=said) as raised:
        load(folder)
    assert str(raised.value).startswith(f"{file}: ")


def test_a_folder_without_a_number(folder: Path) -> None:
    """It is named, and how one is called."""
    other = folder.rename(folder.with_name("one-socket"))
    with pytest.raises(LabError, match="Not a lesson's folder, such as 01-one-socket"):
        load(other)
