"""The images, built from a copy of the repository where builds have it harder."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import pytest

from lab import down
from lab.compose import PROJECT_LABEL
from lab.engine import base_image
from lab.stack import Stack
from tests.support import clones
from tests.support.engine import SERVICES, new_stack

OTHERS = {
    "BUILDKIT_PROGRESS": "quiet",
    "COMPOSE_ANSI": "always",
    "COMPOSE_COMPATIBILITY": "1",
    "COMPOSE_ENV_FILES": "/nowhere/.env",
    "COMPOSE_FILE": "/nowhere/compose.yaml",
    "COMPOSE_IGNORE_ORPHANS": "1",
    "COMPOSE_PARALLEL_LIMIT": "1",
    "COMPOSE_PROFILES": "nothing",
    "COMPOSE_PROGRESS": "json",
    "DOCKER_BUILDKIT": "0",
    "DOCKER_CONTENT_TRUST": "1",
    "DOCKER_DEFAULT_PLATFORM": "linux/s390x",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy what the lab is made of."""
    return clones.clone(tmp_path / "clone")


@pytest.fixture
def own(key_file: Path) -> Iterator[Stack]:
    """Return a stack whose images go at the end."""
    stack = new_stack(key_file)
    yield stack
    stack.down(volumes=True, images=True)


# What a build says that succeeds, which `make up` keeps to itself.
BUILD = """
from lab import package_index
from lab.stack import Stack
stack = Stack(settings=package_index.for_builds())
stack.run("--progress", "plain", "build", "rest")
"""
# What fails raises an error with what the build said.
BUILD_ALL = "from lab.stack import Stack; Stack().build()"


def run(
    stack: Stack, folder: Path, *command: str, umask: int = 0o022, shell: Mapping[str, str] = {}
) -> "subprocess.CompletedProcess[str]":
    """Run Python in a folder, with the settings of `stack` and more variables in the shell."""
    return subprocess.run(
        [sys.executable, *command], cwd=folder, umask=umask,
        env={**os.environ, **stack.environment(), **shell},
        check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100,
    )  # fmt: skip


def test_images_hold_what_may_be_read_whatever_the_clone_allows(
    own: Stack, clone: Path, engine: docker.DockerClient
) -> None:
    """All servers get healthy and the clients run, where only the owner may read the clone."""
    for path in [clone, *clone.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    done = run(own, clone, "-m", "lab", "up", umask=0o077)
    assert done.returncode == 0, done.stdout
    for service in (*SERVICES, "clients"):
        unreadable = engine.containers.run(
            f"{own.project}-{service}", ["/app", "/venv", "!", "-readable"],
            entrypoint="find", remove=True,
        )  # fmt: skip
        assert unreadable == b""


def test_the_shell_may_set_what_it_likes_for_other_calls_of_docker(
    own: Stack, monkeypatch: pytest.MonkeyPatch, key_file: Path
) -> None:
    """The lab is built and started, found and stopped as ever."""
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    own.build()
    try:
        own.start()
        assert set(own.addresses()) == set(SERVICES)
        monkeypatch.setenv("WIRELAB_AUTHKEY_FILE", str(key_file))
        assert own.run_clients("kv", "keys") == 0
        assert "\x1b" not in own.compose("logs", "--tail", "5").stdout
    finally:
        own.down()
    assert own.running() == []


PASSWORD = secrets.token_hex(8)
PROXY = f"http://user:{PASSWORD}@proxy.invalid:3128"
# Whom they name is never asked: all hosts go without the proxy, and the index has nothing to say.
REACH = {
    "HTTP_PROXY": PROXY,
    "https_proxy": PROXY,
    "NO_PROXY": "*",
    "PIP_EXTRA_INDEX_URL": f"https://user:{PASSWORD}@index.invalid/simple",
    "PIP_TRUSTED_HOST": "trusted.invalid",
    "PIP_RETRIES": "0",
}
# What a build sees of it, printed as a digest.
SEEN = (
    f"RUN --mount=type=secret,id=pip_conf : not from the cache {secrets.token_hex(8)};"
    ' echo "sees $(printf "%s %s %s" "$HTTP_PROXY" "$HTTPS_PROXY" "$no_proxy" | sha256sum)"'
    " && grep trusted /run/secrets/pip_conf"
)


def test_builds_reach_packages_as_the_host_does_and_images_do_not_tell(
    own: Stack, clone: Path, engine: docker.DockerClient
) -> None:
    """Proxies and indexes get into the build, and no password into its output or the image."""
    dockerfile = (clone / "Dockerfile").read_text()
    (clone / "Dockerfile").write_text(
        dockerfile.replace("FROM python AS packages\n", f"FROM python AS packages\n{SEEN}\n")
    )
    lock = clone / "requirements/rest.txt"  # another one, so that no step comes from the cache
    lock.write_text(f"{lock.read_text()}# {PASSWORD[::-1]}\n")
    done = run(own, clone, "-c", BUILD, shell=REACH)
    assert done.returncode == 0, done.stdout
    assert f"sees {hashlib.sha256(f'{PROXY} {PROXY} *'.encode()).hexdigest()}" in done.stdout
    assert "trusted-host = trusted.invalid" in done.stdout
    assert "https://user:****@index.invalid/simple" in done.stdout
    assert PASSWORD not in done.stdout
    image = engine.images.get(f"{own.project}-rest")
    about = json.dumps([image.attrs, image.history()])
    for told in (PASSWORD, "proxy.invalid", "index.invalid", "trusted.invalid"):
        assert told not in about
        written = engine.containers.run(
            image, ["-c", f"env | grep {told}; grep -rl {told} /app /venv /tmp /run; true"],
            entrypoint="sh", remove=True,
        )  # fmt: skip
        assert written == b""


def test_a_build_that_fails_tells_no_password(own: Stack, clone: Path) -> None:
    """Where the only index does not answer, it is named without."""
    lock = clone / "requirements/rest.txt"
    lock.write_text(f"{lock.read_text()}# {PASSWORD[::-1]} fails\n")
    index = f"https://user:{PASSWORD}@index.invalid/simple"
    done = run(own, clone, "-c", BUILD_ALL, shell=REACH | {"PIP_INDEX_URL": index})
    assert done.returncode != 0
    assert "index.invalid" in done.stdout
    assert PASSWORD not in done.stdout


@pytest.fixture
def shared(engine: docker.DockerClient) -> Iterator[str]:
    """Make an image of the kind that all labs share, on a base of its own name."""
    name = f"wirelab-test-{secrets.token_hex(4)}:base"
    made = engine.containers.create(base_image())
    repository, tag = name.split(":")
    made.commit(repository, tag, conf={"Labels": {"wirelab.base": name}})
    made.remove()
    yield name
    for image in engine.images.list(filters={"label": f"wirelab.base={name}"}):
        engine.images.remove(str(image.id), force=True)


def test_what_labs_share_stays_while_another_is_built_on_it(
    engine: docker.DockerClient,
    shared: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of two labs with images on one base, the last takes the base away, and what stays is said."""
    tools = shared.replace(":base", ":tools")
    engine.images.get(shared).tag(*tools.split(":"))
    monkeypatch.setattr(down, "OWN_IMAGES", (shared, tools, "wirelab-test-never:made"))
    others = [shared.replace(":base", f"-{name}:latest") for name in ("rest", "kv")]
    on_it = engine.containers.create(shared)
    for other in others:
        on_it.commit(*other.split(":"), conf={"Labels": {PROJECT_LABEL: "wirelab-test-other"}})
    on_it.remove()
    down.remove_shared_images()
    said = f"{shared}, {tools}: kept, for 2 images of wirelab-test-other\n"
    assert capsys.readouterr().err == said
    assert engine.images.get(shared)
    for other in others:
        engine.images.remove(other)
    down.remove_shared_images()
    with pytest.raises(docker.errors.ImageNotFound):
        engine.images.get(shared)


@pytest.mark.parametrize("service", [*SERVICES, "clients"])
def test_an_image_names_its_base(engine: docker.DockerClient, stack: Stack, service: str) -> None:
    """By that, another lab knows that the base is still wanted."""
    image = engine.images.get(f"{stack.project}-{service}")
    assert image.labels["wirelab.base"] == base_image()
