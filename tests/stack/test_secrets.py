"""The key: given to those who need it, kept out of everything else, and insisted on."""

import io
import json
import tarfile
from pathlib import Path

import docker
import pytest

from lab.stack import Stack
from tests.stack.conftest import SPEAKS, VARIANTS, Find
from tests.support.engine import SERVICES, run_in
from tests.support.pace import FAR

WITH_KEY = ["object-echo", "rpc"]


@pytest.mark.parametrize("service", [*SERVICES, *VARIANTS])
def test_only_those_who_need_it_have_the_key(find: Find, key_file: Path, service: str) -> None:
    """The key is a file in two servers, their variants and the console, and in no other."""
    status, output = run_in(find(service), "cat", "/run/secrets/authkey")
    if SPEAKS[service] in (*WITH_KEY, "console"):
        assert output == key_file.read_text()
    else:
        assert status != 0


@pytest.mark.parametrize("service", [*SERVICES, *VARIANTS])
def test_key_is_not_in_what_the_engine_shows(
    find: Find, engine: docker.DockerClient, stack: Stack, key_file: Path, service: str
) -> None:
    """Neither the container's settings and logs nor the image's history hold the key."""
    key = key_file.read_text().strip()
    container = find(service)
    image = engine.images.get(f"{stack.project}-{SPEAKS[service]}")
    assert container.attrs["Image"] == image.id
    assert key not in json.dumps(container.attrs)
    assert key not in container.logs().decode()
    assert key not in json.dumps([image.attrs, image.history()])


@pytest.mark.parametrize("service", WITH_KEY)
@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param(None, "WIRELAB_AUTHKEY_FILE: /key: No such file or directory", id="missing"),
        pytest.param(
            b"peekaboo\n",
            "WIRELAB_AUTHKEY_FILE: the key in /key has 8 characters; it takes at least 32",
            id="short",
        ),
    ],
)
def test_server_refuses_to_start_without_a_good_key(
    engine: docker.DockerClient, stack: Stack, service: str, key: bytes | None, message: str
) -> None:
    """One line says what is wrong with the key, and the container ends with a failure."""
    container = engine.containers.create(
        f"{stack.project}-{service}",
        ["python", "-m", f"services.{service.replace('-', '_')}.evented"],
        environment={"WIRELAB_AUTHKEY_FILE": "/key"},
    )
    try:
        if key is not None:
            container.put_archive("/", archive("key", key))
        container.start()
        assert container.wait(timeout=FAR)["StatusCode"] == 1
        assert container.logs().decode().splitlines()[-1] == message
        assert "Traceback" not in container.logs().decode()
    finally:
        container.remove(force=True)


def archive(name: str, content: bytes) -> bytes:
    """Return a tar archive of one file that everyone may read."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        entry.mode = 0o444
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
