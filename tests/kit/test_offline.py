"""From a USB stick to the clients' table, on a bare machine without a network."""

import re

import pytest

from tests.kit.conftest import INSTALLED, Machine

STARTED = 400.0  # seconds for an engine, an environment, images and containers


@pytest.fixture(scope="module")
def said(machine: Machine) -> str:
    """Install the kit, and return what was printed."""
    assert len(machine.run("cat /proc/net/route").splitlines()) == 1, "there is a route"
    return machine.run("cd /media/stick && WIRELAB_YES=1 ./install", seconds=STARTED)


@pytest.mark.timeout(600)
def test_bare_machine_shows_the_table_of_the_clients(said: str) -> None:
    """All checks of all servers, which run as containers; and where everything listens."""
    found = re.search(r"(\d+) of (\d+) checks held", said)
    assert found, said
    assert found[1] == found[2]
    assert "make demo: the clients again" in said


def test_servers_are_containers_of_an_engine_there(machine: Machine, said: str) -> None:  # noqa: ARG001
    """The engine came from the kit, as did Compose."""
    names = machine.run("docker ps --format '{{.Names}}'").split()
    assert len(names) >= 8
    assert machine.run("docker compose version --short")


def test_nothing_was_built(said: str) -> None:
    """The images are the kit's."""
    assert "loading the images of the kit" in said
    assert "building" not in said


@pytest.mark.timeout(300)
def test_first_lesson_is_passed_there(machine: Machine, said: str) -> None:  # noqa: ARG001
    """By our solution; what one starts from fails."""
    lesson = f"cd {INSTALLED} && export WIRELAB_LANGUAGE=en && make lesson N=1 >/dev/null"
    with machine.start(f"{lesson} && make check N=1") as process:
        process.communicate(timeout=100)
    assert process.returncode != 0
    solution = "cp workshop/01-one-socket/solution.py workshop/mine/one_socket.py"
    assert "1.1" in machine.run(f"{lesson} && {solution} && make check N=1")


@pytest.mark.timeout(600)
def test_server_that_is_changed_is_built_there(machine: Machine, said: str) -> None:  # noqa: ARG001
    """Without a network: the packages are the kit's; and the clients see no difference."""
    file = f"{INSTALLED}/services/kv/methods.py"
    output = machine.run(f"echo '# changed' >>{file} && cd {INSTALLED} && make up", seconds=STARTED)
    assert "building the images: done" in output
    found = re.search(r"(\d+) of (\d+) checks held", output)
    assert found, output
    assert found[1] == found[2]


def test_packets_are_captured_there(machine: Machine, said: str) -> None:  # noqa: ARG001
    """With the image that has tcpdump."""
    machine.run(f"cd {INSTALLED} && make capture SERVICE=rest SECONDS=1")
    assert machine.run(f"ls {INSTALLED}/captures").endswith(".pcap\n")


@pytest.mark.timeout(300)
def test_second_installation_says_what_is_there(machine: Machine, said: str) -> None:  # noqa: ARG001
    """And changes nothing."""
    with machine.start("cd /media/stick && ./install") as process:
        output, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    assert f"install: {INSTALLED} is there already: " in output


@pytest.mark.timeout(300)
def test_nothing_is_left_by_distclean(machine: Machine, said: str) -> None:  # noqa: ARG001
    """As anywhere: it is the last test here."""
    machine.run(f"cd {INSTALLED} && make distclean")
    with machine.start("docker ps --quiet --all") as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode != 0 or output == ""
