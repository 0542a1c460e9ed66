"""What the shell sets for Docker, pip and Python in general, and what our calls see of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import SCRIPTS, engine, package_index, settings

DROPPED = {
    "BUILDKIT_PROGRESS": "quiet",
    "BUILDX_NO_DEFAULT_LOAD": "1",
    "COMPOSE_ANSI": "always",
    "COMPOSE_COMPATIBILITY": "1",
    "COMPOSE_DISABLE_ENV_FILE": "1",
    "COMPOSE_ENV_FILES": "/nowhere/.env",
    "COMPOSE_FILE": "/nowhere/compose.yaml",
    "COMPOSE_IGNORE_ORPHANS": "1",
    "COMPOSE_PARALLEL_LIMIT": "1",
    "COMPOSE_PROFILES": "nothing",
    "COMPOSE_PROGRESS": "json",
    "COMPOSE_REMOVE_ORPHANS": "0",
    "COMPOSE_STATUS_STDOUT": "1",
    "DOCKER_CONTENT_TRUST": "1",
    "DOCKER_DEFAULT_PLATFORM": "linux/s390x",
}
PINNED = {"DOCKER_BUILDKIT": "0", "BUILDX_BUILDER": "another"}
KEPT = (*sorted(engine.WHICH_ENGINE), "HTTP_PROXY", "no_proxy", "PIP_INDEX_URL", "PYTHON_IMAGE")


def seen_by_scripts(name: str, value: str) -> str | None:
    """Return what a variable of the shell is in our scripts."""
    command = [
        "bash", "-c", '. "$0/environment.sh" && printenv "$1"', str(SCRIPTS), name
    ]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], name: value}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    return done.stdout.removesuffix("\n") if done.returncode == 0 else None


@pytest.mark.parametrize("name", DROPPED)
def test_settings_for_other_calls_of_docker_are_dropped(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """From those of the lab and from those of its scripts."""
    monkeypatch.setenv(name, DROPPED[name])
    assert name not in engine.environment()
    assert seen_by_scripts(name, DROPPED[name]) is None


def test_packages_come_from_whom_the_machine_trusts() -> None:
    """As a proxy that inspects TLS, whose certificate is among those of the system."""
    assert seen_by_scripts("UV_SYSTEM_CERTS", "false") == "true"


@pytest.mark.parametrize("name", PINNED)
def test_images_are_built_by_the_engine_with_buildkit(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever the shell sets."""
    monkeypatch.setenv(name, PINNED[name])
    assert engine.environment()[name] == seen_by_scripts(name, PINNED[name])
    assert engine.environment()[name] in ("1", "default")


@pytest.mark.parametrize("name", KEPT)
def test_which_engine_and_which_packages_is_kept(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Both as the shell has them."""
    monkeypatch.setenv(name, "a value")
    assert engine.environment()[name] == "a value"
    assert seen_by_scripts(name, "a value") == "a value"


@pytest.mark.parametrize(
    "name",
    [
        "CDPATH", "PIP_USER", "PIP_TARGET", "PIP_REQUIRE_VIRTUALENV", "PYTHONPATH", "PYTHONHOME",
        "PYTHON_GIL", "UV_PYTHON", "UV_EXCLUDE_NEWER", "VIRTUAL_ENV", "CONDA_PREFIX",
    ],
)  # fmt: skip
def test_settings_for_other_environments_are_dropped(name: str) -> None:
    """From the scripts, which make .venv."""
    assert seen_by_scripts(name, "/nowhere") is None


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_OURS_USERNAME", "UV_HTTP_TIMEOUT"])
def test_where_uv_takes_packages_from_is_kept(name: str) -> None:
    """As what pip is told of that."""
    assert seen_by_scripts(name, "a value") == "a value"


# In place of docker: what it is called with, and what a build would find.
DOCKER = """#!/bin/sh
echo "$*" "finds $http_proxy $https_proxy $no_proxy"
"""


@pytest.mark.skipif(not shutil.which("apt-config"), reason="no Debian")
def test_builds_of_tools_get_the_proxies_of_the_shell(tmp_path: Path) -> None:
    """In lower case, as apt reads them; no value is in the command line, which others may read."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    command = '. "$0/common.sh" && tmp=$1 && build_image image base Dockerfile context'
    proxies = {"HTTP_PROXY": "http://one", "https_proxy": "http://two", "NO_PROXY": "three"}
    done = subprocess.run(
        ["bash", "-c", command, str(SCRIPTS), str(tmp_path)],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **proxies},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    called, _, found = done.stdout.partition(" finds ")
    assert found == "http://one http://two three\n"
    assert "--build-arg http_proxy --build-arg https_proxy --build-arg no_proxy" in called
    assert "http://" not in called


@pytest.mark.parametrize(
    ("variables", "file", "told"),
    [
        ({}, "", ""),
        ({"PIP_INDEX_URL": "https://one/simple"}, "", "index-url = https://one/simple\n"),
        ({}, "[global]\nindex-url = https://one/simple\n", "index-url = https://one/simple\n"),
        (
            {"PIP_INDEX_URL": "https://user:p%40ss@two/simple"},
            "[global]\nindex-url = https://one/simple\n",
            "index-url = https://user:p%40ss@two/simple\n",
        ),
        (
            {"PIP_TRUSTED_HOST": "one two"},
            "[install]\nextra-index-url =\n  https://one/simple\n  https://two/simple\n",
            "extra-index-url = https://one/simple https://two/simple\ntrusted-host = one two\n",
        ),
        ({"PIP_FIND_LINKS": "/opt/wheels", "PIP_USER": "1"}, "[install]\ntarget = /x\n", ""),
    ],
    ids=["nothing", "variable", "file", "both", "several", "of no use in a build"],
)
def test_builds_are_told_where_pip_takes_packages_from(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    variables: dict[str, str],
    file: str,
    told: str,
) -> None:
    """From its variables and its files, as pip itself reads them."""
    for name in os.environ:
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    configuration = tmp_path_factory.mktemp("pip") / "pip.conf"
    configuration.write_text(file)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration) if file else os.devnull)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert package_index.for_builds()["WIRELAB_PIP_CONF"] == (f"[global]\n{told}" if told else "")


def test_builds_trust_the_certificates_that_pip_trusts(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Those of the variables first, and else those that pip's own file names."""
    for name in settings.CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path_factory.mktemp("pip")
    for name in ("one.pem", "two.pem"):
        (folder / name).write_text("")
    (folder / "pip.conf").write_text(f"[global]\ncert = {folder}/one.pem\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(folder / "pip.conf"))
    assert package_index.for_builds()["WIRELAB_CA_BUNDLE"] == f"{folder}/one.pem"
    monkeypatch.setenv("SSL_CERT_FILE", f"{folder}/two.pem")
    assert package_index.for_builds()["WIRELAB_CA_BUNDLE"] == f"{folder}/two.pem"
