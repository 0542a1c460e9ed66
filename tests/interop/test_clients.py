"""Each client makes its checks against the containers."""

import subprocess
from pathlib import Path
from typing import cast

import pytest
from docker.models.containers import Container

from lab.stack import Stack
from tests.interop import pythons
from tests.interop.matrix import (
    PROGRAMS,
    PYTHON,
    SECTIONS,
    Client,
    Outcome,
    Section,
    read,
    unexpected,
)

FOREIGN = [
    pytest.param(section, client, id=f"{client.name} at {section.arguments[0]}")
    for section in SECTIONS
    for client in section.clients
    if client not in PYTHON
]


def run_inside(machine: Container, *command: str) -> str:
    """Run a program in the container and return what it printed; it complains of nothing."""
    status, output = machine.exec_run(list(command), demux=True)
    printed, complaints = cast("tuple[bytes, bytes | None]", output)
    assert (status, complaints) == (0, None)
    return printed.decode()


def run_here(*command: str) -> str:
    """Run a program on this machine and return what it printed; it complains of nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def judge(section: Section, client: Client, outcomes: list[Outcome]) -> None:
    """Fail unless all checks were made, and came to what is known of this client."""
    assert [outcome.check for outcome in outcomes] == client.checks
    found = unexpected(section, client, outcomes)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("section", "client"), FOREIGN)
def test_a_client_of_another_language(
    machine: Container,
    results: dict[tuple[str, str], list[Outcome]],
    section: Section,
    client: Client,
) -> None:
    """It does what its users expect; where it does not, that is known, and so is the reason."""
    program = Path(client.program).stem if client.name == "Java" else client.program
    outcomes = read(run_inside(machine, *client.command, program, *section.arguments))
    judge(section, client, outcomes)
    results[section.title, client.name] = outcomes


@pytest.mark.parametrize("client", PYTHON, ids=str)
def test_the_client_of_another_python(
    stack: Stack,
    machine: Container,
    key_file: Path,
    results: dict[tuple[str, str], list[Outcome]],
    versions: dict[str, str],
    client: Client,
) -> None:
    """The Python of the image makes the checks, and those that this machine has."""
    section, minor = SECTIONS[-1], client.name.removeprefix("Python ")
    if versions["Python"].startswith(f"{client.name}."):
        version = versions["Python"]
        printed = run_inside(machine, "python3", client.program, *section.arguments)
    elif found := pythons.find(minor):
        python, version = found[0], f"Python {found[1]}"
        addresses = stack.addresses()
        servers = [str(addresses[service]) for service in ("object-echo", "rpc")]
        printed = run_here(python, str(PROGRAMS / client.program), *servers, str(key_file))
    else:
        pytest.skip(f"neither the image nor this machine has Python {minor}")
    outcomes = read(printed)
    judge(section, client, outcomes)
    results[section.title, client.name] = outcomes
    versions[client.name] = version
