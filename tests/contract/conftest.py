"""What the contract tests of several servers share: a key for one run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a key at random and name its file in the environment, for servers and clients alike."""
    file = tmp_path_factory.mktemp("secrets") / "authkey"
    file.write_text(os.urandom(24).hex() + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WIRELAB_AUTHKEY_FILE", str(file))
        yield file


@pytest.fixture(scope="module")
def key(key_file: Path) -> bytes:
    """Return the key of this run."""
    return key_file.read_bytes().strip()
