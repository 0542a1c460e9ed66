"""The relay in a project that is not wirelab's, as docs/testing.md says how to have it there."""

import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator

import docker
import pytest

from lab import ROOT, engine, package_index
from tests.plugin.conftest import EXAMPLE, Foreign

NAME = "wirelab-relay"


@pytest.fixture
def image(docker_engine: docker.DockerClient) -> Iterator[str]:
    """Build the image of the relay by the command of the manual, for this test alone."""
    manual = (ROOT / "docs/testing.md").read_text()
    (command,) = re.findall(r"^docker build .*", manual, re.MULTILINE)
    name = f"{NAME}-{secrets.token_hex(4)}"
    found = package_index.for_builds()
    more = [f"--build-arg=PYTHON_IMAGE={engine.base_image()}"]
    if bundle := found["WIRELAB_CA_BUNDLE"]:
        more.append(f"--secret=id=ca_bundle,src={bundle}")
    more.append("--secret=id=pip_conf,env=WIRELAB_PIP_CONF")
    done = subprocess.run(
        [*shlex.split(command.replace(NAME, name)), *more],
        cwd=ROOT, env={**engine.environment(), **found},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    yield name
    docker_engine.images.remove(name)


def test_example_with_the_relay_passes_and_leaves_nothing(foreign: Foreign, image: str) -> None:
    """A late answer, a connection that is cut and a datagram that is lost, and what passed."""
    command = (EXAMPLE / "relayed.py").read_text().split("`")[1]
    _, *arguments = shlex.split(command)
    status, output = foreign.run(*arguments, RELAY_IMAGE=image)
    assert (status, "3 passed" in output) == (0, True), output
    assert foreign.left() == []
