"""What all tests share."""

import os
from collections.abc import Iterator

import pytest

OURS = ("WIRELAB_", "COMPOSE_", "ECHO_TRANSFORM")


@pytest.fixture(scope="session", autouse=True)
def _no_settings() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of the servers under test."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(OURS)}
    yield
    os.environ.update(kept)
