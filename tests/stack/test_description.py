"""The lab reads compose.yaml as Compose does: without an engine it has nothing else to go by."""

import json
from typing import Any

import docker
import pytest

from lab import description
from lab.stack import Stack
from tests.support.relay import ANY_PORTS

SETTINGS: dict[str, dict[str, str]] = {
    "none": {},
    "ports of one's own": {
        "WIRELAB_REST_PORT": "9090",
        "WIRELAB_RELAY_REST_PORT": "9091",
        "WIRELAB_RELAY_PORT": "9092",
        "WIRELAB_KV_SINGLE_PORT": "9093",
    },
    "any ports": dict(ANY_PORTS),
    "all addresses": {"WIRELAB_BIND": "0.0.0.0"},
    "values that are empty": {
        "WIRELAB_REST_PORT": "",
        "WIRELAB_BIND": "",
        "ECHO_TRANSFORM": "",
        "WIRELAB_HOSTS": "",
        "WIRELAB_RELAY_SEED": "",
    },
    "values that would mean something in YAML or to a shell": {
        "ECHO_TRANSFORM": "{a: [1, yes]} # not a comment",
        "WIRELAB_HOSTS": "one:1,$HOME,${WIRELAB_BIND:-x},$$,two\\",
        "WIRELAB_RELAY_SEED": "007",
    },
    "another name": {"COMPOSE_PROJECT_NAME": "another-lab"},
}
PROFILES = ("", "variants", "*")


def compose_has(settings: dict[str, str], profile: str) -> dict[str, Any]:
    """Return what `docker compose config` makes of the file."""
    stack = Stack(description.project(settings), settings)
    done = stack.run("config", "--format", "json", capture=True, profile=profile)
    assert done.returncode == 0, done.stderr
    # It is a compose file again, in which a dollar is written twice.
    document: dict[str, Any] = json.loads(done.stdout.replace("$$", "$"))
    return document


@pytest.mark.parametrize("profile", PROFILES, ids=["default", "variants", "all"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_both_read_the_same(
    engine: docker.DockerClient,  # noqa: ARG001 - skipped where there is no Compose
    settings: dict[str, str],
    profile: str,
) -> None:
    """Which servers there are, and of each its profiles, command, environment, ports, volumes."""
    document = compose_has(settings, profile)
    assert description.project(settings) == document["name"]
    theirs = {
        name: {
            "profiles": block.get("profiles", []),
            "speaks": block["healthcheck"]["test"][-1],
            "command": block["command"],
            "environment": block.get("environment") or {},
            "ports": [
                (port["host_ip"], int(port["published"]), port["target"], port["protocol"])
                for port in block["ports"]
            ],
            "volumes": {
                each["source"]: each["target"]
                for each in block.get("volumes", ())
                if each["type"] == "volume"
            },
        }
        for name, block in document["services"].items()
        if "ports" in block
    }
    ours = {
        each.name: {
            "profiles": each.profiles,
            "speaks": each.speaks,
            "command": each.command,
            "environment": each.environment,
            "ports": [(port.host, port.published, port.target, port.protocol)
                      for port in each.ports],
            "volumes": each.volumes,
        }
        for each in description.services(settings, profile)
    }  # fmt: skip
    assert ours == theirs


def test_both_know_what_is_built_and_what_is_ephemeral(
    engine: docker.DockerClient,  # noqa: ARG001 - skipped where there is no Compose
) -> None:
    """Images, volumes, and what the clients are told."""
    document = compose_has({}, "*")
    blocks = document["services"]
    built = [name for name in blocks if "build" in blocks[name]]
    assert sorted(description.built("cluster")) == sorted(built)
    assert description.clients_environment() == blocks["clients"]["environment"]
    (ephemeral,) = {frozenset(each.ephemeral) for each in description.services({})}
    assert ephemeral == {
        name
        for name, volume in document["volumes"].items()
        if "wirelab.ephemeral" in (volume or {}).get("labels", {})
    }


def test_a_setting_is_the_variable_of_its_port(
    engine: docker.DockerClient,  # noqa: ARG001 - skipped where there is no Compose
) -> None:
    """Each by itself, given another number, moves the port that the lab says it does."""
    ports = [port for each in description.services({}, "*") for port in each.ports]
    settings = {port.setting: str(30_000 + number) for number, port in enumerate(ports)}
    assert len(settings) == len(ports)
    document = compose_has(settings, "*")
    moved = {
        (name, port["target"], port["protocol"]): port["published"]
        for name, block in document["services"].items()
        for port in block.get("ports", ())
    }
    assert moved == {
        (port.server, port.target, port.protocol): settings[port.setting] for port in ports
    }
