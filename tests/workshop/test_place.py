"""`MINE=tcp-echo make up` without an engine: whose place is taken, by which file, and how long."""

import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lab.workshop.lesson import lesson
from tests.support.relay import ANY_PORTS
from tests.workshop.houses import NO_ENGINE, lab

SERVER = re.compile(r"^tcp-echo +process (\d+)", re.MULTILINE)


@pytest.fixture
def settings(house: Path) -> Iterator[dict[str, str]]:
    """Lend the settings of a lab of its own, without an engine; end it."""
    found = {
        **NO_ENGINE,
        **ANY_PORTS,
        "COMPOSE_PROJECT_NAME": f"wirelab-test-{secrets.token_hex(4)}",
    }
    yield found
    lab(house, "down", **found)


def solved(house: Path, number: int) -> Path:
    """Put our solution of a lesson where the participant's file is, and return that."""
    assert lab(house, "lesson", str(number)).returncode == 0
    file = house / "workshop/mine" / lesson(number).edit
    shutil.copyfile(lesson(number).solution, file)
    return file


def test_the_latest_file_takes_the_place_until_it_is_put_back(
    house: Path, settings: dict[str, str]
) -> None:
    """A change of the file restarts it, and nothing else."""
    file = solved(house, 4)

    def up(*arguments: str) -> psutil.Process:
        done = lab(house, "up-local", *arguments, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("tcp-echo is your workshop/mine/second_client.py" in done.stderr) is bool(arguments)
        return psutil.Process(int(SERVER.findall(lab(house, "ps", **settings).stdout)[0]))

    first = up("--mine=tcp-echo")
    assert first.cmdline()[1:] == [str(file)]
    assert up("--mine=tcp-echo") == first
    file.write_text(file.read_text() + "# the same, but for this\n")
    assert up("--mine=tcp-echo") != first
    assert up().cmdline()[1:] == ["-m", "services.tcp_echo.evented"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--mine=rest"],
            "MINE has value 'rest'. Not a service that a lesson writes: tcp-echo or object-echo",
        ),
        (
            ["--mine=tcp-echo", "--lesson=9"],
            "N has value 9. Not a lesson that writes tcp-echo: 1, 2, 3, 4, 5, 6",
        ),
        (
            ["--mine=tcp-echo", "--lesson=4"],
            "there is no workshop/mine/second_client.py: `make lesson N=4` makes it",
        ),
        (
            ["--mine=object-echo"],
            "there is no workshop/mine/objects_and_a_key.py: `make lesson N=9` makes it",
        ),
    ],
)
@pytest.mark.parametrize("command", ["up", "up-local"])
def test_what_has_no_place_is_named(
    house: Path, settings: dict[str, str], command: str, arguments: list[str], said: str
) -> None:
    """Nothing starts."""
    done = lab(house, command, *arguments, **settings)
    assert (done.returncode, done.stderr) == (1, f"wirelab: {said}\n")


def test_a_server_that_does_not_answer_as_the_service_is_named(
    house: Path, settings: dict[str, str]
) -> None:
    """Nothing stays: the one of lesson 2 speaks in lines that tcp-echo's clients do not know."""
    solved(house, 2)
    done = lab(house, "up-local", "--mine=tcp-echo", **settings)
    assert done.returncode == 1
    assert "tcp-echo does not get healthy: tcp-echo: WrongAnswer: the echo" in done.stderr
    assert SERVER.findall(lab(house, "ps", **settings).stdout) == []


def test_every_service_that_a_lesson_writes_can_be_taken(
    house: Path, settings: dict[str, str]
) -> None:
    """object-echo as well; that it has no UNIX socket is what the clients' table says."""
    solved(house, 9)
    done = lab(house, "up-local", "--mine=object-echo", **settings)
    assert "object-echo is your workshop/mine/objects_and_a_key.py now" in done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert [line.split(maxsplit=2)[2] for line in failed] == ["the same over the UNIX socket"]
