"""The settings: what .env may look like, and what an engine's errors are explained with."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import ROOT, LabError, reasons, settings
from lab.description import project, services
from tests.support.pace import FAR


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"NAME=value\n", "value"),
        (b"NAME=value", "value"),
        (b"NAME=value\r\n", "value"),
        (b"\xef\xbb\xbfNAME=value\n", "value"),
        (b"export NAME=value\n", "value"),
        (b"NAME='value' # why\n", "value"),
        (b"NAME=value # why\n", "value"),
        (b'NAME="va lue"\n', "va lue"),
        (b"# NAME=value\n\n", None),
        (b"NAME\n", None),
    ],
)
def test_a_file_of_settings_is_read_as_others_read_it(
    tmp_path: Path, text: bytes, value: str | None
) -> None:
    """Whoever wrote it, on whichever system."""
    file = tmp_path / ".env"
    file.write_bytes(text)
    assert settings.read(file).get("NAME") == value


def test_a_file_that_is_not_there_has_no_settings(tmp_path: Path) -> None:
    """It is not needed."""
    assert settings.read(tmp_path / ".env") == {}


def test_a_second_lab_has_a_name_and_ports_of_its_own(tmp_path: Path) -> None:
    """By the lines of docs/settings.md, whichever ports there are."""
    (lines,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/settings.md").read_text(), re.DOTALL)
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    subprocess.run(["sh", "-ec", lines], cwd=tmp_path, check=True, timeout=FAR)
    given = settings.read(tmp_path / ".env")
    assert project(given) == "second"
    assert {port.published for each in services(given, "*") for port in each.ports} == {0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"A=1\n= 2\n", "line 2, is '= 2'"),
        (b"A=1\nB='2\n", 'line 2, is "B=\'2"'),
        (b"\xff=1\n", "is not UTF-8"),
    ],
)
def test_a_line_that_is_no_setting_is_named(tmp_path: Path, text: bytes, said: str) -> None:
    """It is not left out."""
    file = tmp_path / ".env"
    file.write_bytes(text)
    with pytest.raises(LabError, match="env") as raised:
        settings.read(file)
    assert said in str(raised.value)


def test_a_setting_of_the_environment_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an empty one, which asks for the default; ~ is the home in both."""
    file = tmp_path / ".env"
    file.write_text("A=1\nB=2\nC=3\nWIRELAB_AUTHKEY_FILE=~/key\n")
    monkeypatch.setenv("HOME", "/home/guido")
    monkeypatch.setenv("A", "4")
    monkeypatch.setenv("B", "")
    monkeypatch.setenv("C", "5")
    monkeypatch.delenv("C")
    monkeypatch.setenv("SSL_CERT_FILE", "~/ca.pem")
    monkeypatch.setenv("WIRELAB_AUTHKEY_FILE", "")
    monkeypatch.delenv("WIRELAB_AUTHKEY_FILE")
    settings.load(file)
    environ = os.environ
    assert [environ[name] for name in "ABC"] == ["4", "", "3"]
    assert environ["WIRELAB_AUTHKEY_FILE"] == "/home/guido/key"
    assert environ["SSL_CERT_FILE"] == "/home/guido/ca.pem"


def test_the_bundle_that_is_named_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are meant for other programs are taken where they are files."""
    for name in settings.CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert settings.ca_bundle() == ""
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "none"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", __file__)
    assert settings.ca_bundle() == __file__
    monkeypatch.setenv("WIRELAB_CA_BUNDLE", str(tmp_path / "none"))
    with pytest.raises(LabError, match="Not a file"):
        settings.ca_bundle()


# As engines of version 20.10 to 28 and Compose 2.26 to 2.40 write them.
ERRORS = {
    "could not find an available, non-overlapping IPv4 address pool among the defaults to assign"
    " to the network": "docker network prune",
    "all predefined address pools have been fully subnetted": "docker network prune",
    "write /var/lib/docker/tmp/x: no space left on device": "docker system prune",
    "Bind for 127.0.0.1:8080 failed: port is already allocated": "make doctor",
    "listen tcp4 127.0.0.1:8080: bind: address already in use": "make doctor",
    "listen tcp4 192.0.2.1:8080: bind: cannot assign requested address": "WIRELAB_BIND",
    "network wirelab_default id 5f0 has active endpoints": "docker network disconnect",
    "pull access denied for nowhere, repository does not exist": "PYTHON_IMAGE",
    "python:none: failed to resolve source metadata for docker.io/library/python": "PYTHON_IMAGE",
    "No such image: wirelab-rest:latest": "`make up` builds",
    "permission denied while trying to connect to the Docker daemon socket": "group docker",
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock": "make doctor",
    "remove wirelab_sockets: volume is in use - [4b1]": "docker ps --all --filter volume=",
}


@pytest.mark.parametrize("said", ERRORS)
def test_an_error_of_the_engine_is_followed_by_what_to_do(said: str) -> None:
    """What it said stays, as it names the thing."""
    first, advice = reasons.explained(f"Error response from daemon: {said}\n").split("\n")
    assert first == f"Error response from daemon: {said}"
    assert ERRORS[said] in advice


def test_an_error_that_is_not_known_stays_as_it_is() -> None:
    """Nothing is made up."""
    assert reasons.explained("exit code 17\n") == "exit code 17"


def test_settings_that_are_mistyped_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the one that may be meant; what is like none of them is somebody else's."""
    for name in list(os.environ):
        if name.startswith("WIRELAB_"):
            monkeypatch.delenv(name)
    for name in ("REST_PORT", "KV_ADDRESS", "LANGUAGE", "RELAY_KV_PROT", "QUIXOTE"):
        monkeypatch.setenv(f"WIRELAB_{name}", "1")
    monkeypatch.setenv("REST_PROT", "1")
    monkeypatch.setenv("wirelab_bind", "1")
    assert list(settings.mistyped()) == [
        "nothing reads WIRELAB_RELAY_KV_PROT; did you mean WIRELAB_RELAY_KV_PORT?",
        "nothing reads wirelab_bind; did you mean WIRELAB_BIND?",
    ]
