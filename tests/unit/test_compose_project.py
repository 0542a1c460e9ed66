"""A project of `docker compose`, without an engine: how its commands end."""

import json
import subprocess

import pytest

from lab import LabError
from lab.compose import Project


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
        "not healthy: web",
        "container x-web-1 is unhealthy",
        "web: Up Less than a second",
        "x-web-1  | no such setting",
    ]
