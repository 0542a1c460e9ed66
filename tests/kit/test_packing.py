"""How a kit is packed: its list, its wheels, and until when the images are its own."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from lab import ROOT, LabError, kit, packing

LOCK = (ROOT / "requirements/dev.txt").read_text()


def test_every_file_is_listed_with_its_sum_and_size(tmp_path: Path) -> None:
    """Those that are made up for the kit too; the list itself is the last."""
    file = tmp_path / "file"
    file.write_bytes(b"spam" * 1000)
    packing.pack(tmp_path / "kit.tar", "kit", {"install": file}, {"a/text": "eggs\n"}, print)
    with tarfile.open(tmp_path / "kit.tar") as archive:
        found = {}
        for entry in archive:
            data = archive.extractfile(entry)
            assert data is not None
            found[entry.name] = (entry.mode, data.read())
    assert list(found) == ["kit/install", "kit/a/text", "kit/contents"]
    assert found["kit/install"] == (0o755, b"spam" * 1000)
    assert found["kit/a/text"] == (0o644, b"eggs\n")
    listed = found["kit/contents"][1].decode().splitlines()
    assert listed == [
        f"{hashlib.sha256(b'spam' * 1000).hexdigest()} 4000 install",
        f"{hashlib.sha256(b'eggs' + bytes([10])).hexdigest()} 5 a/text",
    ]


def test_archive_that_is_not_finished_is_none(tmp_path: Path) -> None:
    """Neither under its name nor aside; the one before stays."""
    file = tmp_path / "kit.tar"
    file.write_text("before")

    def interrupted() -> None:
        with packing.complete(file) as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["kit.tar"]
    assert file.read_text() == "before"


@pytest.mark.parametrize("python", packing.PYTHONS)
def test_wheels_are_those_of_each_python(python: str) -> None:
    """Whichever runs: one version of each package, by its markers, and its hashes."""
    found = list(packing.pinned(LOCK, python))
    names = [line.partition("==")[0] for line in found]
    assert len(names) == len(set(names))
    assert "pywin32" not in names
    greenlet = next(line for line in found if line.startswith("greenlet=="))
    assert (python == "3.11") == greenlet.startswith("greenlet==2.0.2 ")
    assert all(" --hash=sha256:" in line and ";" not in line for line in found)


def test_kit_is_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no clone has no list of its files."""
    monkeypatch.setattr(packing, "ROOT", tmp_path)
    with pytest.raises(LabError, match=f"made from a clone, and {tmp_path} is none: "):
        packing.source()


def test_images_are_the_kits_until_something_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server, say; compiled files are no change, and where there is no kit there is none."""
    monkeypatch.setattr(kit, "ROOT", tmp_path)
    monkeypatch.setattr(kit, "BUILT_FROM", tmp_path / "kit/built_from")
    (tmp_path / "kit").mkdir()
    (tmp_path / "services").mkdir()
    server = tmp_path / "services/server.py"
    server.write_text("1")
    assert not kit.is_unchanged()
    kit.BUILT_FROM.write_text(f"{kit.digest()}\n")
    assert kit.is_unchanged()
    (tmp_path / "services/__pycache__").mkdir()
    (tmp_path / "services/__pycache__/server.pyc").touch()
    assert kit.is_unchanged()
    server.write_text("2")
    assert not kit.is_unchanged()
    server.rename(tmp_path / "services/other.py")
    assert not kit.is_unchanged()
