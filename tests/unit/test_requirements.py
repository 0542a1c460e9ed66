"""The lock files: every package of an image is one exact version, with its hashes."""

import json
import re

import pytest

from lab import ROOT

LOCKS = sorted(path.stem for path in (ROOT / "requirements").glob("*.in"))
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
INSTALLS = re.compile(r"\b(apt|apt-get|apk|dnf|npm|pip|uv)\b.* (install|add) |\b(curl|wget) ")


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_locked_with_its_hashes(name: str) -> None:
    """One version, and at least one hash; nothing else stands in a lock file."""
    text = (ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ")
    locked = re.compile(
        r"[\w.-]+(\[[\w,-]+\])?==[\w.!+-]+( ; .+?)?(\s+--hash=sha256:[0-9a-f]{64})+"
    )
    assert text
    assert [line for line in text.splitlines() if not locked.fullmatch(line)] == []


def test_images_get_packages_by_hash_only() -> None:
    """One step of the Dockerfile installs what has a hash, and it resolves and builds nothing.

    Another one, for the image of etcd alone, installs that from Debian's archive, which is signed.
    """
    commands = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    by_hash, signed = [line for line in commands if INSTALLS.search(line)]
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "-r requirements.txt"):
        assert option in by_hash
    assert "apt-get" in signed
    assert " install etcd-server " in signed
    assert not any("unauthenticated" in line.lower() or "trusted" in line for line in commands)
    assert [line for line in commands if line.startswith("ADD ")] == []


def test_no_image_keeps_what_apt_has_read_and_downloaded() -> None:
    """Its lists and packages are a hundred megabytes, which would be in a kit too."""
    files = [ROOT / "Dockerfile", *ROOT.glob("tests/*/*.Dockerfile")]
    texts = [text for file in files if "apt-get" in (text := file.read_text())]
    assert len(texts) > 4
    for text in texts:
        assert "&& rm -rf /var/lib/apt/lists/* /var/cache/apt/*" in text


def test_packages_of_npm_are_locked_with_their_hashes() -> None:
    """What package.json names is an exact version; the lock file has hashes and no addresses."""
    folder = ROOT / "tests/interop/node"
    lock = json.loads((folder / "package-lock.json").read_text())
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    packages = {
        name.removeprefix("node_modules/"): found
        for name, found in lock["packages"].items()
        if name
    }
    assert {name: packages[name]["version"] for name in wanted} == wanted
    assert all(found["integrity"].startswith("sha512-") for found in packages.values())
    assert "://" not in json.dumps(lock)
