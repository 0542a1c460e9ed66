"""The relay in a project that is not wirelab's, as docs/testing.md says how to have it there."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.plugin.conftest import EXAMPLE, Foreign
from tests.support.engine import new_stack


@pytest.fixture
def image(engine: docker.DockerClient, key_file: Path) -> Iterator[str]:
    """Build the image of the relay, for this test alone."""
    stack = new_stack(key_file)
    stack.compose("--progress", "plain", "build", "relay")
    name = f"{stack.project}-relay"
    yield name
    engine.images.remove(name)


def test_example_with_the_relay_passes_and_leaves_nothing(foreign: Foreign, image: str) -> None:
    """A late answer, a connection that is cut and a datagram that is lost, and what passed."""
    command = (EXAMPLE / "relayed.py").read_text().split("`")[1]
    _, *arguments = shlex.split(command)
    status, output = foreign.run(*arguments, RELAY_IMAGE=image)
    assert (status, "3 passed" in output) == (0, True), output
    assert foreign.left() == []
