"""A project of `docker compose`, without an engine: how its commands end."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest

from lab import LabError
from lab.compose import NotHealthy, Project, failing
from lab.stack import Stack
from lab.testing import plugin
from lab.up import undone_if_it_fails


class Restarting(Project):
    """A project whose container ends at once, and happens to run when Compose is asked again."""

    def run(
        self,
        *arguments: str,
        **_: object,
    ) -> "subprocess.CompletedProcess[str]":
        """Answer what Compose 2.26 was seen to: `ps` asks for the state and the health in turn."""
        shown = json.dumps(
            {"ID": "", "Name": "x-web-1", "Service": "web", "State": "running", "Health": "",
             "Status": "Up Less than a second"}
        )  # fmt: skip
        if "up" in arguments:
            said = "container x-web-1 is unhealthy\n"
            return subprocess.CompletedProcess(arguments, 1, "", said)
        logged = "x-web-1  | 2026-01-01T00:00:00.0Z no such setting\n"
        return subprocess.CompletedProcess(
            arguments, 0, logged if "logs" in arguments else shown, ""
        )


def test_a_failed_start_names_a_container_that_is_restarted_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when it has just been started once more, and seems to be well."""
    monkeypatch.setattr("lab.compose.last_check", lambda _: "")
    with pytest.raises(LabError) as failed:
        Restarting("x").start()
    assert str(failed.value).splitlines() == [
        "x-web-1  | no such setting",
        "web: Up Less than a second",
        "container x-web-1 is unhealthy",
        "not healthy: web",
    ]


def container(service: str, state: str, health: str) -> dict[str, str]:
    """Return what `docker compose ps` says of a container."""
    return {"Name": f"x-{service}-1", "Service": service, "State": state, "Health": health}


@pytest.mark.parametrize(
    ("states", "failed"),
    [
        pytest.param({"web": "unhealthy", "relay": "healthy"}, ["web"], id="one of them by now"),
        pytest.param({"web": "unhealthy", "relay": "starting"}, ["web"], id="one still starts"),
        pytest.param({"web": "healthy", "relay": "starting"}, ["relay"], id="nobody else"),
        pytest.param({"web": "healthy", "relay": "healthy"}, [], id="all by now"),
    ],
)
def test_who_is_healthy_by_now_has_not_failed(states: dict[str, str], failed: list[str]) -> None:
    """Compose waits no longer than until the first check that fails, and the next may pass."""
    containers = [container(service, "running", health) for service, health in states.items()]
    said = "container x-web-1 is unhealthy"
    assert [found["Service"] for found in failing(containers, said)] == failed
    ended = container("cache", "exited", "")
    assert failing([*containers, ended], said)[-1] == ended


def test_a_start_succeeds_if_all_are_healthy_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else Compose complains about is an error."""
    monkeypatch.setattr(Project, "containers", lambda _: [container("web", "running", "healthy")])
    Project("x").check_started("container x-web-1 is unhealthy")
    with pytest.raises(LabError, match="docker compose up failed:\nno space left"):
        Project("x").check_started("no space left")


@pytest.mark.parametrize(
    ("running", "said"),
    [(["web"], "The rest of the lab goes on: `make logs SERVICE=web` "), ([], "stopped again")],
    ids=["ran before", "did not"],
)
def test_make_up_that_fails_says_what_to_do(running: list[str], said: str) -> None:
    """After the reason, which stands below the logs; a lab that did not run before is stopped."""
    stopped = []

    class Failing(Stack):
        def running(self) -> list[str]:
            return running

        def down(self, **_: bool) -> None:
            stopped.append(True)

    with pytest.raises(LabError) as raised, undone_if_it_fails(Failing("x")):
        raise NotHealthy("web-1  | no such setting", ["web"])
    *_, reason, last = str(raised.value).splitlines()
    assert reason == "not healthy: web"
    assert said in last
    assert bool(stopped) is not bool(running)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("services:\n  web: [\n", "yaml: line", id="no YAML"),
        pytest.param("services:\n  web: {imagine: x}\n", "imagine", id="an unknown key"),
        pytest.param("services:\n  web: {image: x, ports: [any]}\n", "any", id="no port"),
        pytest.param("services:\n  web: {image: '${WEB:?not set}'}\n", "not set", id="no value"),
        pytest.param("", "empty", id="empty"),
    ],
)
def test_a_file_that_compose_cannot_use_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Whatever was to be done with it: of some errors Compose says only the line."""
    if not shutil.which("docker"):
        pytest.skip("no docker command")
    file = tmp_path / "stack.yaml"
    file.write_text(text)
    project = Project("x", {"DOCKER_HOST": "tcp://127.0.0.1:1"}, [file])
    for use in (project.build, project.services):
        with pytest.raises(LabError) as failed:
            use()
        first, *others = str(failed.value).splitlines()
        assert first == f"{file} cannot be used:"
        assert said in "\n".join(others)


def test_other_errors_are_not_blamed_on_the_file(tmp_path: Path) -> None:
    """As that there is no engine."""
    if not shutil.which("docker"):
        pytest.skip("no docker command")
    file = tmp_path / "stack.yaml"
    file.write_text("services:\n  web: {image: x}\n")
    with pytest.raises(LabError, match=r"^docker compose ps failed:\n.*127\.0\.0\.1:1"):
        Project("x", {"DOCKER_HOST": "tcp://127.0.0.1:1"}, [file]).running()


@pytest.mark.parametrize("value", ["", "0", "-1", "nan", "inf", "1e9", "a minute"])
def test_a_timeout_that_is_none_is_named(value: str) -> None:
    """Compose takes 0 for no limit at all."""

    class Config:
        def getini(self, _: str) -> str:
            return value

    with pytest.raises(LabError, match=f"^stack_timeout has value '{value}'. Not a number of"):
        plugin.timeout(cast("pytest.Config", Config()))


def test_a_start_waits_for_whole_seconds() -> None:
    """Less than one would be 0, and so no limit."""

    class Said(Project):
        def run(self, *arguments: str, **_: object) -> "subprocess.CompletedProcess[str]":
            said.append(arguments[-1])
            return subprocess.CompletedProcess(arguments, 0, "", "")

    said: list[str] = []
    Said("x").start(seconds=0.4)
    Said("x").start(seconds=60.0)
    assert said == ["1", "60"]
