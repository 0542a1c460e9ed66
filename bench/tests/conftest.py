"""What the tests of several services share."""

import secrets
from collections.abc import Iterator

import pytest

from tests.support.processes import heed_interrupts

pytest_plugins = ["lab.testing.plugin", "tests.support.progress"]


def pytest_configure() -> None:
    """Have Ctrl-C mean in all processes what it means on a terminal."""
    heed_interrupts()


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """Make a key at random and name its file in the environment, for servers and clients alike."""
    key = secrets.token_hex(24)
    file = tmp_path_factory.mktemp("secrets") / "authkey"
    file.write_text(key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WIRELAB_AUTHKEY_FILE", str(file))
        yield key.encode()
